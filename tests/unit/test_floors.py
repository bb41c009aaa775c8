"""Libraries are newer than their known weaknesses, in what is asked for, in what is installed, and in what CI pins."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ASKED = PROJECT["project"]["dependencies"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
MENDED = {"paramiko": "5.0", "pyyaml": "5.4", "jinja2": "3.1.6", "py-rattler": "0.24"}
"""The first release without: weak defaults of SHA-1; code in YAML; ways out of the sandbox; paths out of a package."""
_PIN = re.compile(r"^(\S+)==(\S+)(?: ; .+?)? \\$")
_HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}(?: \\)?$")


def pins(name: str) -> dict[str, Version]:
    """Versions by name; every line is one, or a hash."""
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    found = {}
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        pin = _PIN.match(line)
        assert pin or _HASH.match(line), line
        if pin:
            assert _HASH.match(following), f"{line} has no hash"
            found[normal(pin[1])] = Version(pin[2])
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize(("name", "mended"), MENDED.items())
def test_a_release_with_a_known_weakness_is_never_taken(name: str, mended: str) -> None:
    asked = next(one for one in map(Requirement, ASKED) if one.name.lower() == name)
    floors = [Version(one.version) for one in asked.specifier if one.operator == ">="]
    assert floors and floors[0] >= Version(mended)
    assert Version(version(name)) >= Version(mended)
    assert pins("ci.txt")[name] >= Version(mended)


def test_ci_installs_what_the_project_asks_for_by_hash() -> None:
    pinned = pins("ci.txt")
    wanted = [*ASKED, *EXTRAS["lab"], *EXTRAS["test"], *PROJECT["build-system"]["requires"]]
    for one in map(Requirement, wanted):
        assert pinned[normal(one.name)] in one.specifier, f"{one}: run `make pins`"


def test_the_oracle_is_pinned_as_well() -> None:
    (asked,) = [line for line in (ROOT / "requirements/oracle.in").read_text().splitlines() if line[0] != "#"]
    assert pins("oracle.txt")["ansible-core"] in Requirement(asked).specifier
