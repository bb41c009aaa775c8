"""Labs for tests: one that all share, and hosts of it that are given back as they were.

All lab tests are one xdist group, so that `-n N --dist loadgroup` boots one lab; with another way to spread them each
worker has a lab of its own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.lab.fleet import Lab
from provision.lab.state import base_directory

HERE = Path(__file__).parent
OWN = re.compile(r"test-(\d+)(-.*)?")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("lab"))
            if os.geteuid() != 0:
                item.add_marker(pytest.mark.skip(reason="hosts of a lab need root"))


def forget_dead() -> None:
    """Take down the labs of test runs that were killed."""
    for directory in (base_directory() / "labs").glob("test-*"):
        found = OWN.fullmatch(directory.name)
        if found and not Path("/proc", found[1]).exists():
            Lab(directory.name).down()


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A lab of three hosts with systemd that all tests share; its name is this process's own."""
    forget_dead()
    own = Lab(f"test-{os.getpid()}")
    try:
        own.up({"gpu": 3})
        yield own
    finally:
        own.down()
