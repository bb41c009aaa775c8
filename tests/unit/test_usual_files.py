"""An inventory that nobody named is not read where every user can write to it or its folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from provision.errors import ProvisionError
from provision.linting import lint
from provision.listing import inventory_paths
from provision.options import Where
from provision.usual_files import inventory_there


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "inventory.yaml").write_text("all: {hosts: {gpu-01: }}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("what", "mode"), [("", 0o777), ("", 0o1777), ("inventory.yaml", 0o666)])
def test_what_others_can_write_is_not_read(folder: Path, what: str, mode: int, snapshot: SnapshotAssertion) -> None:
    (folder / what).chmod(mode)
    assert not inventory_there()
    with pytest.raises(ProvisionError) as refused:
        inventory_paths(Where())
    assert str(refused.value).replace(str(folder), "/srv/shared") == snapshot
    named = Where(inventory=[Path("inventory.yaml")])
    assert inventory_paths(named) == named.inventory, "what the operator names is the operator's matter"


def test_what_only_the_operator_can_write_is_read(folder: Path) -> None:
    assert inventory_there()
    assert inventory_paths(Where()) == [Path("inventory.yaml")]


def test_rules_are_judged_without_an_inventory_that_others_can_write_and_it_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = folder / "environment.yml"
    environment.write_text("name: tool\nchannels: [conda-forge, nodefaults]\ndependencies: [python=3.11]\n")
    folder.chmod(0o777)
    assert lint([environment], where=Where()) == 0
    told = capsys.readouterr().err
    assert told.startswith("warning: `inventory.yaml` is not read: every user of this machine can write to ")
    (folder / "inventory.yaml").unlink()
    assert lint([environment], where=Where()) == 0
    assert not capsys.readouterr().err.startswith("warning")


def test_without_one_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not inventory_there()
