"""What taking hosts out of an inventory changes on this machine, and what is refused before any host is touched."""

from __future__ import annotations

from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from provision import fact_store
from provision.errors import ProvisionError
from provision.inventory import load_inventory
from provision.onboarding.offboard import edits, offboard
from provision.options import Shown, Where

GPUS = """\
all:
  vars: {ansible_port: 2222}
  children:
    gpu:
      hosts:
        gpu-[01:04]:   # one rack
    web:
      hosts:
        web-01:
          ansible_host: 10.0.0.7
"""
GROUPS = "noisy:\n  hosts:\n    gpu-02:\n    web-01:\n"
KEYS = "[gpu-02]:2222,[10.0.0.2]:2222 ssh-ed25519 AAAA2\n[10.0.0.7]:2222 ssh-ed25519 AAAA7\nweb-01 ssh-ed25519 AAAA8\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An inventory of two files with variables and keys beside them."""
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "inventory"
    (place / "host_vars").mkdir(parents=True)
    (place / "host_vars/gpu-02.yaml").write_text("nvidia_min_count: 8\n")
    (place / "a.yaml").write_text(GPUS)
    (place / "b.yaml").write_text(GROUPS)
    (place / "known_hosts").write_text(KEYS)
    return place


def test_a_host_goes_out_of_all_files_and_its_key_with_it(folder: Path) -> None:
    found = {edit.path.name: edit.after for edit in edits(load_inventory([folder]), ["gpu-02", "web-01"])}
    assert found == {
        "a.yaml": GPUS.replace("gpu-[01:04]:   # one rack", "gpu-01:   # one rack\n        gpu-[03:04]:").replace(
            "        web-01:\n          ansible_host: 10.0.0.7\n", ""
        ),
        "b.yaml": "noisy:\n  hosts:\n",
        "known_hosts": "[10.0.0.2]:2222 ssh-ed25519 AAAA2\nweb-01 ssh-ed25519 AAAA8\n",
    }


def test_to_forget_writes_the_files_and_leaves_what_belongs_to_the_host(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = Where(inventory=[folder])
    (folder / "host_vars/gpu-021.yaml").write_text("nvidia_min_count: 1\n")
    for name in ("gpu-01", "gpu-02"):
        fact_store.remember(load_inventory([folder]), name, {"cpus": 4})
    assert offboard(["gpu-02"], forget=True, yes=True, where=where, shown=Shown()) == 0
    assert (folder / "b.yaml").read_text() == "noisy:\n  hosts:\n    web-01:\n"
    assert sorted(load_inventory([folder]).hosts) == ["gpu-01", "gpu-03", "gpu-04", "web-01"]
    said = capsys.readouterr().err
    assert "-    gpu-02:\n" in said
    assert f"stays: {folder / 'host_vars/gpu-02.yaml'}\n" in said
    assert [path.name for path in (folder / ".provision/facts").iterdir()] == ["gpu-01.json"]
    names = {path.name for path in folder.iterdir()}
    assert names == {"a.yaml", "b.yaml", "known_hosts", "host_vars", ".provision"}


@pytest.mark.parametrize(
    ("names", "yes"), [(["gpu-05"], True), (["gpu-01"], False), (["gpu-*"], True)], ids=["near", "no terminal", "glob"]
)
def test_what_is_refused_before_anything(
    folder: Path, names: list[str], yes: bool, snapshot: SnapshotAssertion
) -> None:
    with pytest.raises(ProvisionError) as error:
        offboard(names, forget=False, yes=yes, where=Where(inventory=[folder]), shown=Shown())
    assert str(error.value).replace(str(folder), "inventory") == snapshot


def test_a_limit_that_leaves_a_host_out_is_refused_before_anything(folder: Path) -> None:
    where = Where(inventory=[folder], limit="gpu-01")
    with pytest.raises(ProvisionError, match="does not name just the hosts to be taken out"):
        offboard(["gpu-01", "gpu-02"], forget=False, yes=True, where=where, shown=Shown())
    assert (folder / "a.yaml").read_text() == GPUS


def test_an_entry_that_cannot_be_edited_is_said_before_a_host_is_touched(
    folder: Path, snapshot: SnapshotAssertion
) -> None:
    (folder / "b.yaml").write_text("noisy:\n  hosts: {gpu-02: }\n")
    with pytest.raises(ProvisionError) as error:
        offboard(["gpu-02"], forget=False, yes=True, where=Where(inventory=[folder]), shown=Shown())
    assert str(error.value).replace(str(folder), "inventory") == snapshot
    assert (folder / "a.yaml").read_text() == GPUS
