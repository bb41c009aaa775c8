"""What an operator reads when an inventory, a playbook or a role is wrong: each file in `language/` is one mistake.

A case is a mapping of file names to their text; `inventory` and `play.yaml` are what is read.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from syrupy.assertion import SnapshotAssertion

from provision import schedule
from provision.compile import HostVariables, Run, next_batch, start
from provision.errors import ProvisionError
from provision.inventory import load_inventory
from provision.preflight import check, environment_files
from provision.roles import load_playbook

CASES = sorted((Path(__file__).parent / "language").glob("*.yaml"))


def written(case: Path, folder: Path) -> None:
    files = {"inventory": "all:\n  hosts:\n    gpu-01:\n", "play.yaml": "- hosts: all\n"}
    files |= yaml.safe_load(case.read_text())
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def run() -> None:
    """Everything that a run does on the control node."""
    inventory = load_inventory(["inventory"])
    plays = load_playbook("play.yaml").plays
    shared = Run(inventory)
    hosts = {play: inventory.select(play.hosts, where=play.where) for play in plays}
    check(plays, shared, hosts)
    environment_files(plays, shared, hosts)
    schedule.check(plays, [hosts[play] for play in plays], shared)
    for play in plays:
        batch, _ = next_batch(play, start(play), HostVariables(shared, "gpu-01", {"user": "root"}, ("gpu-01",)), {})
        if batch.failed:
            raise batch.failed


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_error(case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, snapshot: SnapshotAssertion) -> None:
    written(case, tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProvisionError) as caught:
        run()
    assert str(caught.value) == snapshot
