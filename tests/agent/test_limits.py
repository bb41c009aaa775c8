"""What the agent does where the host does not let it work: no root, no room, no right."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from agent_parts import Agent, Start

from provision.agent.blobs import Blobs
from provision.agent.crew import identity
from provision.agent.journal import Journal
from provision.agent.outbox import CAP, Outbox
from provision.agent.protocol import Blob, ProtocolError, Result, Step
from provision.transport import archive

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.fixture
def full(agent: Agent) -> Iterator[Agent]:
    """An agent whose folders for handlers and content cannot be made: files are in their place."""
    for name in ("journal", "blobs"):
        shutil.rmtree(agent.state / name, ignore_errors=True)
        (agent.state / name).touch()
    yield agent


def test_a_handler_that_cannot_be_noted_fails_the_step_before_it_acts(full: Agent, tmp_path: Path) -> None:
    path = tmp_path / "conf"
    (result,) = full.results(Step(1, "file", {"path": str(path), "content": "x", "mode": "0644"}, notify=["restart"]))
    assert result.error is not None and result.error["summary"] == "cannot write the journal of handlers"
    assert result.actions == [] and not path.exists()


def test_a_change_that_cannot_be_noted_is_told_anyway(full: Agent, tmp_path: Path) -> None:
    (result,) = full.results(Step(1, "file", {"path": str(tmp_path / "x"), "content": "x", "mode": "0644"}))
    assert result.status == "changed"


def test_content_that_cannot_be_stored_fails_its_step(full: Agent, tmp_path: Path) -> None:
    step = Step(1, "file", {"path": str(tmp_path / "x"), "content_blob": EMPTY, "mode": "0644"}, on_failure="continue")
    results = full.results(step, Step(2, "command", {"argv": ["true"]}), blobs={EMPTY: b""})
    assert [result.status for result in results] == ["failed", "changed"]
    assert results[0].error is not None and results[0].error["summary"] == "cannot store what the step needs"


def test_only_root_becomes_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    assert identity(None) is None and identity("nobody") is None
    with pytest.raises(PermissionError, match="not started as root"):
        identity("root")
    with pytest.raises(KeyError):
        identity("nemo-42")


def test_a_state_that_is_a_file_is_named(start: Start, tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    fatal = start().first
    assert getattr(fatal, "kind", "") == "state"
    assert getattr(fatal, "summary", "") == f"the agent cannot be stored in `{tmp_path}/state/agent`"


def test_output_beyond_what_a_run_may_send_is_kept_and_then_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provision.agent.outbox.SPOOL_LIMIT", 5)
    reads, writes = os.pipe()
    box = Outbox(writes, str(tmp_path / "output"))
    for _ in range(17):
        assert not box.full()
        box.put_output(b"x" * (1 << 20))
        while box:
            box.flush()
            os.read(reads, 1 << 20)
    assert box.full()
    for text in ("abc", "def", "gh"):
        box.spool(3, text)
    assert Path(box.spool_path(3)).read_text() == "abcgh"
    assert box.spooled(3) == (5, 3)
    os.close(reads)
    os.close(writes)


def test_a_pipe_that_nobody_reads_holds_nobody(tmp_path: Path) -> None:
    reads, writes = os.pipe()
    box = Outbox(writes, str(tmp_path / "output"))
    (tmp_path / "output").mkdir()
    (tmp_path / "output/output-of-step-9").write_text("of an earlier run")
    while not box.full():
        box.put(b"x" * (CAP // 8))
    box.spool(3, "ab")
    box.spool(3, "cd")
    assert Path(box.spool_path(3)).read_text() == "abcd"
    assert [path.name for path in (tmp_path / "output").iterdir()] == ["output-of-step-3"]
    assert (box.spooled(3), box.spooled(3)) == ((4, 0), (0, 0))
    os.close(reads)
    box.flush()
    assert box.closed and not box
    os.close(writes)


def test_content_is_checked(tmp_path: Path) -> None:
    blobs = Blobs(str(tmp_path))
    for name in ("../../etc/shadow", "E3" + EMPTY[2:], EMPTY[1:]):
        with pytest.raises(ProtocolError):
            blobs.want(name, 0)
    assert blobs.take(Blob(EMPTY, b"not asked for", True)) is None
    uid = os.geteuid()
    assert [blobs.want(EMPTY, uid), blobs.want(EMPTY, uid)] == [True, False]
    with pytest.raises(ProtocolError, match="instead of"):
        blobs.take(Blob(EMPTY, b"wrong", True))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_content_that_does_not_come_fails_its_step(
    resources: Callable[[str, str], None], start: Start, tmp_path: Path
) -> None:
    path = archive._SOURCE / "blobs.py"
    path.write_text(path.read_text().replace("PATIENCE = 120.0", "PATIENCE = 0.3"))
    pump = archive._SOURCE / "protocol.py"
    pump.write_text(pump.read_text().replace("BEAT_EVERY = 5.0", "BEAT_EVERY = 0.2"))
    archive.archive.cache_clear()
    archive._start.cache_clear()
    agent = start()
    agent.link._supply = lambda wanted: None  # type: ignore[method-assign]
    step = Step(1, "file", {"path": str(tmp_path / "x"), "content_blob": EMPTY, "mode": "0644"})
    (result,) = agent.results(step)
    assert result.error == {
        "summary": "the control node does not send what the step needs",
        "cause": "no byte of it came for 0 s",
        "hint": "run again",
    }


def test_a_damaged_journal_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal/handlers.json").write_text("[1, ")
    journal = Journal(str(tmp_path))
    assert journal.pending() == []
    journal.notify(["b", "a", "b"], "run")
    journal.forget(["none"])
    assert Journal(str(tmp_path)).pending() == ["b", "a"]


def test_the_list_of_changes_is_turned_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from provision.agent import journal as module

    monkeypatch.setattr(module, "_LIMIT", 100)
    journal = Journal(str(tmp_path))
    for number in range(3):
        journal.changed({"run": "r"}, Step(number, "file", {"lock": "ab"}, name="n"), Result(number, "changed"))
    assert sorted(path.name for path in (tmp_path / "journal").iterdir()) == ["changes", "changes.1"]
    assert '"lock": "ab"' in (tmp_path / "journal/changes").read_text()
