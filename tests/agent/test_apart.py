"""A child that tells, crashes, falls silent, or is no longer wanted."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from provision.agent import apart
from provision.agent.system import Cancelled


def never() -> bool:
    return False


def test_messages_come_in_order() -> None:
    heard: list[dict[str, Any]] = []

    def count(tell: apart.Tell) -> None:
        for number in range(1000):
            tell({"number": number})

    apart.run(count, heard.append, 10, never)
    assert [message["number"] for message in heard] == list(range(1000))


def test_an_exception_becomes_a_crash_with_its_words() -> None:
    def fail(tell: apart.Tell) -> None:
        raise OSError("no space left")

    with pytest.raises(apart.Crashed, match=r"it failed: OSError: no space left"):
        apart.run(fail, lambda message: None, 10, never)


def test_a_signal_becomes_a_crash() -> None:
    def die(tell: apart.Tell) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)

    with pytest.raises(apart.Crashed, match="signal 11"):
        apart.run(die, lambda message: None, 10, never)


def test_a_silent_child_is_given_up() -> None:
    with pytest.raises(apart.Crashed, match="nothing was heard"):
        apart.run(lambda tell: time.sleep(60), lambda message: None, 0.1, never)


def test_a_cancel_ends_it() -> None:
    with pytest.raises(Cancelled):
        apart.run(lambda tell: time.sleep(60), lambda message: None, 60, lambda: True)


def test_the_child_holds_no_lock_of_its_parent(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        open_files: list[Any] = []
        apart.run(
            lambda tell: tell({"open": [str(entry) for entry in Path("/proc/self/fd").iterdir()]}),
            open_files.append,
            10,
            never,
        )
    # Streams, the pipe to the parent, and the listing's own descriptor.
    assert len(open_files[0]["open"]) <= 5


def test_the_child_dies_with_its_parent(tmp_path: Path) -> None:
    note = tmp_path / "child"

    def parent() -> None:
        def child(tell: apart.Tell) -> None:
            note.write_text(str(os.getpid()))
            time.sleep(60)

        apart.run(child, lambda message: None, 60, never)

    pid = os.fork()
    if pid == 0:
        parent()
        os._exit(0)
    _wait(lambda: note.exists() and bool(note.read_text()))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    _wait(lambda: not Path(f"/proc/{note.read_text()}").exists() or _zombie(note.read_text()))


def _zombie(pid: str) -> bool:
    return " Z " in Path(f"/proc/{pid}/stat").read_text()


def _wait(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
