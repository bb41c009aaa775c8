"""Every kind of fault at seeded random moments of a real apply, and a sample with one app alone: `make faults`.

PROVISION_FAULT_TRIALS: trials a kind; PROVISION_FAULT_SEED: another set of moments; PROVISION_FAULT_MINUTES: when to
stop trying further ones.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import kinds_of_connection
import kinds_on_host
import pytest
from fault_kinds import KINDS
from fault_site import Site
from fault_table import Table
from fault_trial import undergo

assert kinds_of_connection and kinds_on_host  # they make KINDS
TRIALS = int(os.environ.get("PROVISION_FAULT_TRIALS") or 2)
SEED = os.environ.get("PROVISION_FAULT_SEED") or "20261125"
MINUTES = float(os.environ.get("PROVISION_FAULT_MINUTES") or 24)
BEGUN = time.monotonic()
SAMPLED = ["agent killed", "Ctrl-C", "connection refused", "control process killed", "host key changed", "/tmp noexec"]


@pytest.mark.faults
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("number", range(TRIALS))
def test_fault(site: Site, table: Table, tmp_path: Path, name: str, number: int) -> None:
    if time.monotonic() - BEGUN > 60 * MINUTES:
        pytest.skip(f"the {MINUTES:g} minutes are over")
    verdict = undergo(site, KINDS[name], f"{SEED} {name} {number}", tmp_path)
    table.add(verdict)
    assert not verdict.problems, "\n".join(verdict.problems)


@pytest.mark.faults
def test_sample_of_faults(small_site: Site, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6) if SEED == "random" else SEED
    for name in random.Random(seed).sample(SAMPLED, 2):
        verdict = undergo(small_site, KINDS[name], f"{seed} {name}", tmp_path)
        assert not verdict.problems, "\n".join([name, str(seed), *verdict.problems])
