"""Plans as files: what is read back, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from provision.errors import ProvisionError
from provision.plans import inputs, is_plan, keys
from provision.plans.document import HostPlan, Plan, Planned, keyed, read, write

ACTION = {"verb": "change", "target": "/etc/motd", "before": "a\n", "after": "b\n"}
STEPS = (
    Planned(0, "Motd", "play.yaml:3:7", "file", "abc", "changed", actions=(ACTION,), notifies=("h1",)),
    Planned(0, "Said", "play.yaml:9:7", status="skipped", unknown="`stdout` of a step that has not run"),
)


def plan(folder: Path) -> tuple[Plan, str]:
    chosen = {"directory": str(folder), "inventory": ["hosts.yaml"], "playbook": "play.yaml"}
    identity, key = keys.make(folder / ".provision" / "plans")
    hosts = {"gpu-01": HostPlan(STEPS), "gpu-02": HostPlan(incomplete="unreachable")}
    return Plan(identity, "2026-11-25T04:00:00Z", "0.1.0", chosen, {"/x": "12"}, {"abc": {"spec": 1}}, hosts), key


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "p.plan"
    write(path, *plan(tmp_path))
    return path


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    made, key = plan(tmp_path)
    path = tmp_path / "p.plan"
    write(path, made, key)
    assert read(path, ()) == (made, key)
    assert is_plan(path) and path.stat().st_mode & 0o777 == 0o600
    assert key not in path.read_text()
    (kept,) = (tmp_path / ".provision" / "plans").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600


def test_a_playbook_is_no_plan(tmp_path: Path) -> None:
    (tmp_path / "play.yaml").write_text("- hosts: all\n")
    assert not is_plan(tmp_path / "play.yaml") and not is_plan(tmp_path / "nothing")


BROKEN: dict[str, Callable[[str], str]] = {
    "cut in its content": lambda text: text[:-40],
    "cut in its first line": lambda text: text[:30],
    "garbled first line": lambda text: text.replace("provision-plan 1", "provision-plan one", 1),
    "another version": lambda text: text.replace("provision-plan 1 ", "provision-plan 2 ", 1),
    "edited": lambda text: text.replace("/etc/motd", "/etc/issue"),
    "no JSON": lambda text: text.replace('"hosts"', '"hosts', 1),
}


@pytest.mark.parametrize("how", BROKEN)
def test_what_is_not_whole_is_refused(
    how: str, written: Path, monkeypatch: pytest.MonkeyPatch, snapshot: SnapshotAssertion
) -> None:
    written.write_text(BROKEN[how](written.read_text()))
    monkeypatch.chdir(written.parent)
    folder = written.parent / ".provision" / "plans"
    with pytest.raises(ProvisionError) as caught:
        read(Path("p.plan"), (folder,))
    assert str(caught.value) == snapshot


def test_not_utf_8(written: Path) -> None:
    written.write_bytes(written.read_bytes() + b"\xff}\n")
    with pytest.raises(ProvisionError, match="cannot be used") as caught:
        read(written, ())
    assert "not UTF-8" in caught.value.cause


def test_without_its_key_a_plan_is_refused(written: Path, snapshot: SnapshotAssertion) -> None:
    (kept,) = (written.parent / ".provision" / "plans").iterdir()
    kept.unlink()
    with pytest.raises(ProvisionError) as caught:
        read(written, ())
    text = str(caught.value).replace(str(written), "p.plan").replace(kept.stem, "ID")
    assert text == snapshot


def test_the_key_of_another_plan_does_not_serve(written: Path, tmp_path: Path) -> None:
    (kept,) = (written.parent / ".provision" / "plans").iterdir()
    kept.write_text("0" * 32 + "\n")
    with pytest.raises(ProvisionError) as caught:
        read(written, ())
    assert "edited or garbled" in caught.value.cause


def test_keys_are_looked_for_by_plain_names_only(tmp_path: Path) -> None:
    (tmp_path / "x.key").write_text("secret")
    assert keys.known("../x", (tmp_path / "plans",)) is None
    assert keys.known("x", (tmp_path,)) == "secret"


def test_keys_of_plans_that_are_long_past_go(tmp_path: Path) -> None:
    old, _ = keys.make(tmp_path)
    os.utime(tmp_path / f"{old}.key", (0, 0))
    new, _ = keys.make(tmp_path)
    assert [path.stem for path in tmp_path.iterdir()] == [new]


def test_a_hash_tells_nothing_without_its_key() -> None:
    assert keyed("secret", "a" * 32) != keyed("secret", "b" * 32)
    assert keyed({"a": 1, "b": 2}, "k") == keyed({"b": 2, "a": 1}, "k")


def test_files_that_changed_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, snapshot: SnapshotAssertion
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("same.yaml").write_text("a")
    Path("other.yaml").write_text("b")
    digest = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
    inputs.refuse_changed({"same.yaml": digest}, "play.yaml")
    with pytest.raises(ProvisionError) as caught:
        inputs.refuse_changed({"same.yaml": digest, "other.yaml": digest, "gone.yaml": digest}, "play.yaml")
    assert str(caught.value) == snapshot
    inputs.refuse_new({"same.yaml": digest}, ["same.yaml"], "play.yaml")
    with pytest.raises(ProvisionError) as caught:
        inputs.refuse_new({"same.yaml": digest}, ["same.yaml", "new.yaml"], "play.yaml")
    assert str(caught.value) == snapshot
