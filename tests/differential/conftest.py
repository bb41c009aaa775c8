"""The oracle and the hosts that comparisons run on."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from oracle import Oracle, interpreter
from pairs import Pair

from provision.lab.fleet import Lab


@pytest.fixture(scope="session")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    """One process with ansible-core; `make .venv-oracle/.installed` makes its virtual environment."""
    assert interpreter().exists(), "there is no oracle: run `make .venv-oracle/.installed`"
    one = Oracle(tmp_path_factory.mktemp("oracle"))
    yield one
    one.close()


@pytest.fixture(scope="session")
def pair() -> Iterator[Pair]:
    """Three hosts of a lab of this process's own; `$PROVISION_DIFFERENTIAL_LAB` names one that is up and stays up."""
    kept = os.environ.get("PROVISION_DIFFERENTIAL_LAB")
    lab = Lab(kept or f"test-{os.getpid()}-of")
    try:
        lab.up({"gpu": 3})
        yield Pair(lab)
    finally:
        if not kept:
            lab.down()
