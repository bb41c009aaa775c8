"""Variables, groups and patterns of inventories, generated and kept, as ansible-core has them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
import yaml
from compared_inventories import compare
from differences import unlisted
from generated_inventories import Written, inventories
from hypothesis import HealthCheck, given, seed, settings
from oracle import Oracle

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
CASES = sorted((HERE / "cases" / "inventories").glob("*.yaml"))
COUNT = int(os.environ.get("PROVISION_INVENTORIES", "20"))
SEED = int(os.environ.get("PROVISION_SEED", "20"))


@seed(SEED)
@settings(max_examples=COUNT, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(written=inventories())
def test_generated_inventories_agree(written: Written, oracle: Oracle) -> None:
    # a folder of its own for each: the original remembers files by their path
    with tempfile.TemporaryDirectory() as folder:
        found = unlisted(compare(written, oracle, Path(folder)))
    assert not found, "\n".join(map(str, found))


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_kept_inventory_agrees(case: Path, oracle: Oracle, tmp_path: Path) -> None:
    content = yaml.safe_load(case.read_text())
    written = Written(content["files"], content["inventory"], "play", tuple(content.get("patterns", ())))
    found = unlisted(compare(written, oracle, tmp_path))
    assert not found, "\n".join(map(str, found))
