"""Sessions go on together, wait for each other, and end early or by an interruption."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest

from provision.runner import READY, Wave, run_waves, startable
from provision.waits import Waits
from provision.waves import cut, ordered, too_many

BARRIER = Waits((1,), barrier=True)


class Scripted:
    """A session that waits for the things that it is given, one after another, and then ends or is lost."""

    def __init__(
        self, name: str, script: Sequence[Waits], log: list[str], *, lost: str = "", fatal: bool = False
    ) -> None:
        self.name, self.log = name, log
        self.lost, self.fatal = "", False
        self.halted = False
        self.doing: Callable[[], None] = lambda: None
        self._end = (lost, fatal)
        self._script: Iterator[Waits] = iter(script)

    def advance(self, chosen: str = "") -> Waits | None:
        self.log.append(f"{self.name}{' for ' + chosen if chosen else ''}")
        self.doing()
        waits = None if self.halted else next(self._script, None)
        if waits is None and not self.halted:
            self.lost, self.fatal = self._end
        return waits

    def halt(self) -> None:
        self.halted = True

    def cancel(self) -> None:
        raise AssertionError("nobody interrupts here")


def ran(
    sessions: Mapping[str, Scripted],
    *,
    forks: int = 8,
    most: float | None = None,
    told: Callable[[str], bool] = lambda _: True,
    size: int | None = None,
) -> str:
    """Why the run of one wave ended early, or ""."""
    reasons: list[str] = []
    wave = Wave(sessions, len(sessions) if size is None else size, most, told)
    assert run_waves([lambda: wave], forks=forks, ended=reasons.append) is False
    return "".join(reasons)


def test_hosts_wait_for_each_other_at_barriers() -> None:
    log: list[str] = []
    assert ran({name: Scripted(name, [BARRIER], log) for name in "abc"}) == ""
    assert sorted(log[:3]) == ["a", "b", "c"]
    assert sorted(log[3:]) == ["a", "b", "c"]


def test_a_wave_may_be_larger_than_the_forks_although_all_wait_in_it() -> None:
    log: list[str] = []
    ran({str(number): Scripted(str(number), [BARRIER], log) for number in range(20)}, forks=2)
    assert len(set(log[:20])) == 20


def test_waves_follow_one_another_and_a_wave_of_the_lost_ends_the_run() -> None:
    log: list[str] = []
    first = {"a": Scripted("a", [], log), "b": Scripted("b", [], log, lost="failed")}
    second = {"c": Scripted("c", [], log, lost="unreachable")}
    third = {"d": Scripted("d", [], log)}
    reasons: list[str] = []
    waves = [lambda wave=wave: Wave(wave, len(wave)) for wave in (first, second, third)]
    run_waves(waves, forks=1, ended=reasons.append)
    assert log == ["a", "b", "c"]
    assert reasons == ["no host is left"]


def test_hosts_that_were_lost_before_count_in_the_size_of_a_wave() -> None:
    assert ran({"b": Scripted("b", [], [], lost="failed")}, size=2) == ""


@pytest.mark.parametrize(("most", "stops"), [(None, False), (50, False), (49.9, True)])
def test_more_failures_than_allowed_end_the_run_just_as_many_do_not(most: float | None, stops: bool) -> None:
    log: list[str] = []
    sessions = {name: Scripted(name, [], log, lost="failed") for name in "ab"}
    sessions |= {name: Scripted(name, [BARRIER, Waits((2,), barrier=True)], log) for name in "cd"}
    assert ran(sessions, most=most) == ("2 of 4 hosts failed, more than 49.9 %" if stops else "")
    assert sessions["c"].halted is stops
    assert log.count("c") == 2 if stops else 3


def test_unreachable_hosts_are_not_among_the_failed() -> None:
    sessions = {"a": Scripted("a", [], [], lost="unreachable"), "b": Scripted("b", [], [])}
    assert ran(sessions, most=10) == ""


def test_a_fatal_failure_halts_hosts_that_run_and_hosts_that_wait() -> None:
    begun = threading.Event()
    running, waiting = Scripted("r", [READY], []), Scripted("w", [BARRIER], [])
    failing = Scripted("f", [], [], lost="failed", fatal=True)
    running.doing = lambda: [begun.set(), _until(lambda: running.halted)]  # type: ignore[assignment,return-value]
    failing.doing = lambda: _until(lambda: begun.is_set())
    assert ran({"r": running, "w": waiting, "f": failing}) == "a failure that is fatal for all hosts"
    assert waiting.halted


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_one_host_runs_for_all_when_all_have_come() -> None:
    log: list[str] = []
    done: list[str] = []
    once = Waits((3,), once="task")
    sessions = {name: Scripted(name, [once, READY], log) for name in "ba"}
    sessions["c"] = Scripted("c", [], log)

    def note() -> None:
        if log[-1] == "b for task":
            done.append("task")

    sessions["b"].doing = note
    ran(sessions, told=lambda key: key in done, forks=1)
    assert log[:3] == ["b", "a", "c"]
    assert log[3] == "b for task"
    assert "a for task" not in log


def test_when_the_chosen_host_is_lost_another_runs_for_all() -> None:
    log: list[str] = []
    done: list[str] = []
    once = Waits((3,), once="task")
    sessions = {"a": Scripted("a", [once], log, lost="failed"), "b": Scripted("b", [once], log)}
    sessions["b"].doing = lambda: done.append("task") if log[-1] == "b for task" else None
    ran(sessions, told=lambda key: key in done, forks=1)
    assert log == ["a", "b", "a for task", "b for task"]


def go_on(waiting: Mapping[str, Waits], running: Mapping[str, Waits] | None = None, **at: tuple[int, ...]) -> list[str]:
    return [host for host, _ in startable(waiting, running or {}, at, lambda _: False)]


def test_who_needs_another_waits_until_it_has_come_as_far_or_is_gone() -> None:
    needs = {"a": Waits((0, 2), hosts=frozenset("b"))}
    assert go_on(needs, {"b": READY}, a=(0, 2)) == []
    assert go_on(needs, {"b": READY}, a=(0, 2), b=(0, 1)) == []
    assert go_on(needs, {"b": READY}, a=(0, 2), b=(0, 2)) == ["a"]
    assert go_on(needs, {"c": READY}, a=(0, 2)) == ["a"]
    assert go_on({**needs, "b": Waits((1, 0), barrier=True)}, {"c": READY}, a=(0, 2), b=(1, 0)) == ["a"]


def test_hosts_that_need_each_other_do_not_lock() -> None:
    both = {"a": Waits((0, 2), hosts=frozenset("b")), "b": Waits((0, 2), hosts=frozenset("a"))}
    assert go_on(both, a=(0, 2), b=(0, 2)) == ["a", "b"]


def test_of_hosts_that_all_stand_still_the_earliest_go_on() -> None:
    waiting = {"a": Waits((1, 0), barrier=True), "b": Waits((0, 4), once="x"), "c": Waits((0, 4), once="x")}
    assert startable(waiting, {}, {}, lambda _: False) == [("b", "x")]
    assert startable(waiting, {"d": READY}, {}, lambda _: False) == []


def test_no_more_than_the_throttle_are_at_one_task_at_once() -> None:
    two = Waits((0, 1), throttle=("task", 2))
    other = Waits((0, 1), throttle=("other", 1))
    waiting = {"a": two, "b": two, "c": other, "d": READY}
    assert go_on(waiting, {"e": two}) == ["a", "c", "d"]
    assert go_on({"a": two}, {"e": two, "f": two}) == []


class Hanging:
    """A session that only a cancel ends."""

    lost = ""
    fatal = False

    def __init__(self) -> None:
        self.ended = threading.Event()

    def advance(self, chosen: str = "") -> Waits | None:
        self.ended.wait(20)
        return None

    def halt(self) -> None:
        raise AssertionError("nothing fails here")

    def cancel(self) -> None:
        self.ended.set()


class Interrupting:
    """A session whose end is an interruption of the main thread."""

    lost = ""
    fatal = False

    def advance(self, chosen: str = "") -> Waits | None:
        time.sleep(0.05)
        raise KeyboardInterrupt

    def halt(self) -> None:
        raise AssertionError("nothing fails here")

    def cancel(self) -> None:
        pass


def test_an_interruption_cancels_all_and_returns_soon() -> None:
    hanging = Hanging()
    begun = time.monotonic()
    assert run_waves([lambda: Wave({"a": Interrupting(), "b": hanging}, 2)], forks=4) is True
    assert hanging.ended.is_set()
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    ("serial", "sizes"),
    [
        (None, [10]),
        (0, [10]),
        (4, [4, 4, 2]),
        ("30%", [3, 3, 3, 1]),
        ("4%", [1] * 10),
        ([1, "50%"], [1, 5, 4]),
        (["3"], [3, 3, 3, 1]),
        ([], [10]),
    ],
)
def test_waves_of_ten_hosts(serial: object, sizes: list[int]) -> None:
    waves = cut([str(number) for number in range(10)], serial, None)
    assert [len(wave) for wave in waves] == sizes
    assert [host for wave in waves for host in wave] == [str(number) for number in range(10)]


def test_orders() -> None:
    hosts = ["b", "c", "a"]
    assert ordered(hosts, None) == ordered(hosts, "inventory") == ("b", "c", "a")
    assert ordered(hosts, "reverse_inventory") == ("a", "c", "b")
    assert ordered(hosts, "sorted") == ("a", "b", "c")
    assert ordered(hosts, "reverse_sorted") == ("c", "b", "a")
    assert sorted(ordered(hosts, "shuffle")) == ["a", "b", "c"]


def test_a_percentage_must_be_exceeded() -> None:
    assert not too_many("ab", 4, 50)
    assert too_many("abc", 4, 50)
    assert too_many("a", 4, 0)
    assert not too_many("abcd", 4, None)
