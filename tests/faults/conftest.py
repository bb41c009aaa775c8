"""The fault suite runs where it is asked for by its marker (`-m faults`)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_site import Site
from fault_table import Table

from provision.lab.fleet import Lab
from provision.lab.state import base_directory

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    asked = "faults" in (config.option.markexpr or "")
    kept = [item for item in items if asked or item.get_closest_marker("faults") is None]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("lab"))
            if os.geteuid() != 0:
                item.add_marker(pytest.mark.skip(reason="hosts of a lab need root"))


def _lab() -> Iterator[Lab]:
    """Two bare hosts; labs of test runs that were killed are taken down first."""
    for directory in (base_directory() / "labs").glob("faults-*"):
        found = re.fullmatch(r"faults-(\d+)", directory.name)
        if found and not Path("/proc", found[1]).exists():
            Lab(directory.name).down()
    own = Lab(f"faults-{os.getpid()}")
    try:
        own.up({"gpu": 2})
        yield own
    finally:
        own.down()


@pytest.fixture(scope="session")
def fault_lab() -> Iterator[Lab]:
    yield from _lab()


@pytest.fixture(scope="session")
def site(fault_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The full playbook on both hosts."""
    return Site(fault_lab, tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="session")
def small_site(fault_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """One app of the playbook on both hosts."""
    return Site(fault_lab, tmp_path_factory.mktemp("small"), tags="conda,llama", files=1000, calibrated=False)


@pytest.fixture(scope="session")
def table() -> Iterator[Table]:
    """What the trials came to; written to docs/faults.md when all kinds were tried."""
    own = Table()
    yield own
    own.write()
