"""Runs are kept while they go on, shown again, and taken up where they ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from provision import apply as applying
from provision.agent.protocol import Result
from provision.errors import Mark, ProvisionError
from provision.events import (
    Connected,
    Event,
    HostEnded,
    HostFailed,
    HostUnreachable,
    RunEnded,
    RunStarted,
    StepEnded,
)
from provision.history import command, recorder, report
from provision.history.recorder import Recorder, without_values
from provision.history.retry import retry
from provision.history.store import Store
from provision.options import Inventories

PLACE = Mark("roles/web/tasks/main.yaml", 14, 3)
FILE = {"verb": "change", "target": "/etc/web.conf", "before": "port 80\n", "after": "port <81>\n"}
ERROR = {"summary": "cannot link `/srv/a`", "cause": "the path is a directory with 212 files", "hint": "move it"}


@pytest.fixture
def inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "inventory.yaml"
    path.write_text("all: {hosts: {n1: , n2: , n3: , n4: }}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setattr(recorder.time, "time", lambda: 1_790_000_000.0)
    return path


def events(run: str = "20261125T000000Z-aaaaaa") -> list[Event]:
    changed = Result(1, "changed", [FILE], seconds=0.2)
    return [
        RunStarted("apply", run, ("n1", "n2", "n3", "n4"), check=False),
        Connected("n1", {"simulated": True}, 0.1),
        StepEnded("n1", "web : Configured (a)", PLACE, changed),
        StepEnded("n1", "web : Configured (b)", PLACE, Result(2, "ok")),
        StepEnded("n2", "web : Configured (a)", PLACE, changed),
        HostEnded("n1", 1.0),
        StepEnded("n2", "web : Linked", PLACE, Result(2, "failed", error=ERROR)),
        HostFailed("n2", ProvisionError("`n2` failed")),
        HostUnreachable("n3", ProvisionError("`n3` refused the connection", cause="port 22", exit_code=4)),
        HostEnded("n2", 1.5, complete=False),
    ]


def keep(inventory: Path, told: list[Event], *, argv: tuple[str, ...] = ("apply", "site.yaml", "-y")) -> list[str]:
    """Record events; gives what was warned of."""
    warned: list[str] = []
    path = inventory.parent / ".provision" / "history.db"
    kept = Recorder(
        lambda: Store(path, writable=True),
        warned.append,
        argv=argv,
        operator="ops@control",
        inputs=lambda: {"site.yaml": "ab" * 32},
    )
    for event in told:
        kept.add(event)
    kept.close()
    return warned


def test_a_run_is_shown_as_it_was(
    inventory: Path, snapshot: SnapshotAssertion, capsys: pytest.CaptureFixture[str]
) -> None:
    assert keep(inventory, [*events(), RunEnded(2.5)]) == []
    where = Inventories(inventory=[inventory])
    for call in (
        lambda: command.runs(where=where),
        lambda: command.show("last", diff=True, where=where),
        lambda: command.host("n2", where=where),
        lambda: command.task("web : Configured (a)", where=where),
    ):
        assert call() == 0
    assert capsys.readouterr().out == snapshot
    assert command.show("20261125", output="json", where=where) == 0
    document = json.loads(capsys.readouterr().out)
    moments = [result.pop("ended") for result in document["results"]]
    assert moments == sorted(moments)
    assert 0 <= 1_790_000_000 - document.pop("began") < 60
    assert document == snapshot(name="json")


def test_who_cannot_be_shown_is_named(inventory: Path, snapshot: SnapshotAssertion) -> None:
    where = Inventories(inventory=[inventory])
    said = []
    for call in (
        lambda: command.runs(where=where),
        lambda: keep(inventory, [*events(), RunEnded(2.5)]) or command.show("2031", where=where),
        lambda: keep(inventory, [*events("20261125T000001Z-b"), RunEnded(1.0)]) or command.show("2026", where=where),
        lambda: command.host("n9", where=where),
        lambda: command.task("web : Configurd (a)", where=where),
    ):
        with pytest.raises(ProvisionError) as caught:
            call()
        said.append(str(caught.value).replace(str(inventory.parent), "DIR"))
    assert "\n\n".join(said) == snapshot


def test_a_run_that_was_killed_is_in_the_history_up_to_its_last_seconds(
    inventory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(recorder, "EVERY", 0.0)
    keep(inventory, events())
    command.show("last", output="json", where=Inventories(inventory=[inventory]))
    document = json.loads(capsys.readouterr().out)
    assert document["exit_code"] is None
    assert [host["state"] for host in document["hosts"].values()] == ["done", "failed", "unreachable", "open"]
    assert len(document["results"]) == 4


def test_a_history_that_cannot_be_written_is_said_once_and_stops_nothing(inventory: Path) -> None:
    (inventory.parent / ".provision").mkdir()
    (inventory.parent / ".provision" / "history.db").write_text("this is no database, but long enough" * 40)
    (warned,) = keep(inventory, [*events(), RunEnded(2.5)])
    assert warned.startswith("this run is not kept: the history")


def test_equal_diffs_are_kept_once_and_old_runs_go(inventory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        keep(inventory, [*events(f"2026-{number}"), RunEnded(1.0)])
    where = Inventories(inventory=[inventory])
    store = Store(inventory.parent / ".provision" / "history.db")
    with store.writing() as connection:
        assert connection.execute("SELECT count(*) FROM detail").fetchone()[0] == 2
    assert command.prune(keep=1, where=where) == 0
    assert capsys.readouterr().out == "2 runs forgotten, 1 kept at most\n"
    assert [run.id for run in store.runs()] == ["2026-2"]
    assert len(store.results(store.run("last").number)) == 4
    store.close()


@pytest.mark.parametrize(
    ("argv", "kept"),
    [
        ("apply site.yaml -e a=b --extra-vars=token=x -ec=d", "apply site.yaml -e a=… --extra-vars=token=… -ec=…"),
        ("apply -e @vars.yaml -e {a:b}", "apply -e @vars.yaml -e …"),
        ("run -l gpu -- env -e a=b", "run -l gpu -- env -e a=b"),
        ("apply --extra-vars a=b -y", "apply --extra-vars a=… -y"),
    ],
)
def test_values_that_may_be_secrets_are_not_kept(argv: str, kept: str) -> None:
    assert " ".join(without_values(argv.split())) == kept


class Applied:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.said: Mapping[str, Any] = {}
        monkeypatch.setattr(applying, "apply", self)

    def __call__(self, playbook: Path, **said: Any) -> int:
        self.said = {"playbook": playbook, **said}
        return 0


def test_a_retry_takes_up_all_hosts_that_did_not_get_to_the_end(
    inventory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = ("apply", "site.yaml", "-y", "-l", "all", "-t", "web", "-e", "a=…", "-e", "@vars.yaml")
    keep(inventory, [*events(), RunEnded(2.5)], argv=argv)
    keep(inventory, [RunStarted("plan", "2027", ("n1",), check=True), Connected("n1", {}, 0.1), RunEnded(1.0)])
    applied = Applied(monkeypatch)
    assert retry(extra_vars=["a=1"], where=Inventories(inventory=[inventory])) == 0
    assert applied.said["playbook"] == Path("site.yaml")
    assert applied.said["where"].limit == "n2,n3,n4"
    assert applied.said["where"].extra_vars == ["@vars.yaml", "a=1"]
    assert applied.said["what"].tags == ["web"]
    assert applied.said["yes"] is True


def test_what_cannot_be_retried_is_named(inventory: Path, snapshot: SnapshotAssertion) -> None:
    where = Inventories(inventory=[inventory])
    said = []
    keep(inventory, [RunStarted("plan", "2027", ("n1",), check=True), Connected("n1", {}, 0.1), RunEnded(1.0)])
    for name in ("last", "2027"):
        with pytest.raises(ProvisionError) as caught:
            retry(name, where=where)
        said.append(str(caught.value))
    keep(inventory, [*events(), RunEnded(2.5)], argv=("apply", "site.yaml", "-e", "a=…"))
    with pytest.raises(ProvisionError) as caught:
        retry(where=where)
    assert "\n\n".join([*said, str(caught.value)]) == snapshot


def test_there_is_nothing_to_retry_after_a_whole_run(inventory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(
        inventory,
        [events()[0], Connected("n1", {}, 0.1), *(HostEnded(f"n{n}", 1.0) for n in (1, 2, 3, 4)), RunEnded(1.0)],
    )
    assert retry(where=Inventories(inventory=[inventory])) == 0
    assert "nothing to retry" in capsys.readouterr().err


def test_the_page_escapes_what_hosts_said_and_shares_rows(inventory: Path) -> None:
    told = [*events(), RunEnded(2.5)]
    told[2] = StepEnded("n1", "web : <b>Configured</b>", PLACE, Result(1, "changed", [FILE], seconds=0.2))
    keep(inventory, told)
    target = inventory.parent / "run.html"
    assert report.report(html=target, where=Inventories(inventory=[inventory])) == 0
    text = target.read_text()
    assert "<b>Configured" not in text and "&lt;b&gt;Configured" in text
    assert "+port &lt;81&gt;" in text
    assert "<script" not in text and "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "n3 (unreachable)" in text and "n4 (open)" in text
