"""The order of Debian's versions, against dpkg's own."""

from __future__ import annotations

import itertools
import shutil
import subprocess

import pytest

from provision.agent.debian_version import compare, fits

VERSIONS = [
    "1.0~rc1-1",
    "1.0~~",
    "1.0",
    "1.0-0",
    "1.0-1",
    "1.0-1+b1",
    "1.0-1~bpo12",
    "1.0a",
    "1.0+dfsg",
    "1.00",
    "1.2",
    "1.10",
    "1:0.5",
    "535.54.03-0ubuntu1",
    "535.104.05-0ubuntu0.22.04.4",
    "535.104.05-0ubuntu0.22.04.12",
    "550.90.07-1",
    "2.0-rc-3",
]


@pytest.mark.skipif(not shutil.which("dpkg"), reason="there is no dpkg to compare with")
def test_versions_are_ordered_as_dpkg_orders_them() -> None:
    for one, other in itertools.product(VERSIONS, VERSIONS[::3]):
        order = compare(one, other)
        word = "lt" if order < 0 else "gt" if order > 0 else "eq"
        done = subprocess.run(["dpkg", "--compare-versions", one, word, other], check=False)
        assert done.returncode == 0, f"{one} is not {word} {other}"


def test_a_version_with_a_star_fits_what_begins_so() -> None:
    assert fits("535.104.05*", "535.104.05-0ubuntu1")
    assert not fits("535.104.05*", "535.129.03-0ubuntu1")
    assert fits("1.0-1", "1.0-1")
    assert not fits("1.0", "1.0-1")
