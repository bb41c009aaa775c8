"""Sessions are advanced together, wait for each other at barriers, and end on an interruption."""

from __future__ import annotations

import threading
import time

from provision.runner import run_sessions


class Counted:
    """A session of a number of sections."""

    def __init__(self, sections: int, log: list[str], name: str) -> None:
        self.left, self.log, self.name = sections, log, name

    def advance(self) -> bool:
        self.log.append(self.name)
        self.left -= 1
        return self.left > 0

    def cancel(self) -> None:
        raise AssertionError("nobody interrupts here")


def test_hosts_wait_for_each_other_at_barriers() -> None:
    log: list[str] = []
    sessions = {name: Counted(2, log, name) for name in "abc"}
    assert run_sessions([lambda: sessions], forks=8) is False
    assert sorted(log[:3]) == ["a", "b", "c"]
    assert sorted(log[3:]) == ["a", "b", "c"]


def test_plays_follow_one_another() -> None:
    log: list[str] = []
    plays = [lambda: {"a": Counted(1, log, "first")}, lambda: {"a": Counted(1, log, "second")}]
    assert run_sessions(plays, forks=1) is False
    assert log == ["first", "second"]


class Hanging:
    """A session that only a cancel ends."""

    def __init__(self) -> None:
        self.ended = threading.Event()

    def advance(self) -> bool:
        self.ended.wait(20)
        return False

    def cancel(self) -> None:
        self.ended.set()


class Interrupting:
    """A session whose end is an interruption of the main thread."""

    def advance(self) -> bool:
        time.sleep(0.05)
        raise KeyboardInterrupt

    def cancel(self) -> None:
        pass


def test_an_interruption_cancels_all_and_returns_soon() -> None:
    hanging = Hanging()
    begun = time.monotonic()
    assert run_sessions([lambda: {"a": Interrupting(), "b": hanging}], forks=4) is True
    assert hanging.ended.is_set()
    assert time.monotonic() - begun < 2
