"""Schedules sessions: bounded concurrency, waves, hosts that wait for each other, early ends, interruption.

Prints nothing, connects nothing itself, and knows nothing of what a play says.

A host that waits holds no thread, so a wave may be larger than `forks`. Nobody waits for ever: when all hosts of a wave
stand still, those at the earliest place of the play go on, and a host that is gone is waited for by none.
"""

from __future__ import annotations

import queue
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import field
from typing import Protocol

from provision.agent.record import record
from provision.others import Position
from provision.waits import Waits
from provision.waves import too_many

__all__ = ["READY", "Runnable", "Wave", "run_waves", "startable"]

LEAVE = 1.5
"""Seconds that an interrupted run waits for its sessions to end before it gives control back."""


READY = Waits()


class Runnable(Protocol):
    """What the runner needs of a session."""

    @property
    def lost(self) -> str:
        """ "failed" or "unreachable" once the host is lost, else ""."""

    @property
    def fatal(self) -> bool:
        """Whether what lost the host ends the run for all."""

    def advance(self, chosen: str = "") -> Waits | None:
        """Go on until there is something to wait for; None when there is nothing more to do. Never raises.

        `chosen`: the task that this host is to run for all.
        """

    def halt(self) -> None:
        """End the host's part behind the step that runs, from another thread; the next `advance` winds up."""

    def cancel(self) -> None:
        """Stop at the next safe point, from another thread; `advance` returns None soon after."""


@record(frozen=True, slots=True)
class Wave:
    """Sessions that go through a play together, in the play's order; `size` counts hosts that were lost before as well.

    Of more than `max_fail_percentage` that failed, or all that are lost, the run ends. `told` says whether a task that
    one host runs for all is done; `lenient`: no loss of hosts ends the run.
    """

    sessions: Mapping[str, Runnable]
    size: int
    max_fail_percentage: float | None = None
    told: Callable[[str], bool] = lambda _: False
    lenient: bool = False


@record(slots=True)
class _Standing:
    """Where the hosts of a wave are; those that are `parked` wait for nothing that one host alone can bring about."""

    waiting: dict[str, Waits]
    parked: dict[str, Waits] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)
    running: dict[str, Waits] = field(default_factory=dict)
    at: dict[str, Position] = field(default_factory=dict)


def run_waves(
    waves: Sequence[Callable[[], Wave]],
    *,
    forks: int,
    clock: Callable[[], float] = time.monotonic,
    interrupted: Callable[[], None] = lambda: None,
    ended: Callable[[str], None] = lambda _: None,
) -> bool:
    """Take hosts through waves, one wave after another and `forks` hosts at a time.

    Each item of `waves` begins one and gives the sessions that take part. `ended` is called with the reason when the
    loss of hosts ends the run early. Returns True when a keyboard interrupt ended it; `interrupted` is called and
    sessions are cancelled then, and control returns within two seconds.
    """
    pool = ThreadPoolExecutor(max_workers=forks, thread_name_prefix="host")
    runs: list[_WaveRun] = []
    try:
        for number, begin in enumerate(waves, 1):
            runs = [_WaveRun(begin(), pool)]
            runs[0].run()
            if reason := runs[0].ends("no host is left" if number < len(waves) else ""):
                ended(reason)
                break
    except KeyboardInterrupt:
        interrupted()
        for run in runs:
            run.interrupt(clock() + LEAVE, clock)
        pool.shutdown(wait=False, cancel_futures=True)
        return True
    pool.shutdown()
    return False


class _WaveRun:
    """One wave while it runs; all but the sessions' own work happens in the thread that calls `run`."""

    def __init__(self, wave: Wave, pool: ThreadPoolExecutor) -> None:
        self._wave = wave
        self._pool = pool
        self._standing = _Standing(dict.fromkeys(wave.sessions, READY))
        self._returned: queue.SimpleQueue[tuple[str, Future[Waits | None]]] = queue.SimpleQueue()
        self._futures: dict[str, Future[Waits | None]] = {}
        self._reason = ""

    def run(self) -> None:
        """Take the wave to its end."""
        standing = self._standing
        while standing.waiting or standing.parked or standing.running:
            self._start_all()
            self._take(*self._returned.get())

    def ends(self, nobody: str) -> str:
        """Why the run ends behind the wave, or ""; `nobody` where that is for lack of hosts."""
        lost = sum(bool(session.lost) for session in self._wave.sessions.values())
        all_lost = lost > 0 and lost == self._wave.size and not self._wave.lenient
        return self._reason or (nobody if all_lost else "")

    def interrupt(self, deadline: float, clock: Callable[[], float]) -> None:
        for session in self._wave.sessions.values():
            session.cancel()
        for future in self._futures.values():
            future.cancel()
        wait(self._futures.values(), timeout=max(0.0, deadline - clock()))

    def _start_all(self) -> None:
        standing = self._standing
        told = {key for key in standing.keys if self._wave.told(key)}
        if told or not standing.running:
            freed = [host for host, waits in standing.parked.items() if not standing.running or waits.once in told]
            standing.waiting |= {host: standing.parked.pop(host) for host in freed}
            standing.keys = (
                {waits.once for waits in standing.parked.values() if waits.once} if standing.parked else set()
            )
        if not standing.running:  # then the order counts in which one is chosen
            waiting = standing.waiting
            standing.waiting = {host: waiting[host] for host in self._wave.sessions if host in waiting}
        for host, chosen in startable(standing.waiting, standing.running, standing.at, self._wave.told):
            standing.running[host] = standing.waiting.pop(host)
            self._start(host, chosen)

    def _start(self, host: str, chosen: str) -> None:
        future = self._pool.submit(self._wave.sessions[host].advance, chosen)
        self._futures[host] = future
        future.add_done_callback(lambda done: self._returned.put((host, done)))

    def _take(self, host: str, future: Future[Waits | None]) -> None:
        standing = self._standing
        standing.running.pop(host)
        waits = future.result()
        if waits is None:
            standing.at.pop(host, None)
        else:
            parks = waits.barrier or (waits.once and not self._wave.told(waits.once))
            place = standing.parked if parks and not self._reason else standing.waiting
            place[host] = READY if self._reason else waits
            standing.keys |= {waits.once} if parks and waits.once else set()
            standing.at[host] = max(waits.position, standing.at.get(host, ()))
        if not self._reason:
            self._reason = self._ends(self._wave.sessions[host])
            if self._reason:
                self._halt()

    def _ends(self, session: Runnable) -> str:
        """Why the loss of a host ends the run, or ""."""
        if not session.lost or self._wave.lenient:
            return ""
        if session.fatal:
            return "a failure that is fatal for all hosts"
        failed = [name for name, other in self._wave.sessions.items() if other.lost == "failed"]
        size, most = self._wave.size, self._wave.max_fail_percentage
        if too_many(failed, size, most):
            return f"{len(failed)} of {size} hosts failed, more than {most:g} %"
        return ""

    def _halt(self) -> None:
        standing = self._standing
        still = (*standing.waiting, *standing.parked)
        for host in (*standing.running, *still):
            self._wave.sessions[host].halt()
        standing.waiting, standing.parked = dict.fromkeys(still, READY), {}


def startable(
    waiting: Mapping[str, Waits],
    running: Mapping[str, Waits],
    at: Mapping[str, Position],
    told: Callable[[str], bool],
) -> list[tuple[str, str]]:
    """Which hosts go on now, each with the task that it is to run for all, or "".

    `waiting` is in the play's order; `running` are hosts at work, with what they waited for before; `at` says how far
    the hosts have come that are not gone.
    """
    used = Counter(waits.throttle[0] for waits in running.values() if waits.throttle)
    ready = [host for host, waits in waiting.items() if _may(waits, waiting, running, at, told, used)]
    if ready or running or not waiting:
        return [(host, "") for host in ready]
    return list(_earliest(waiting))


def _may(
    waits: Waits,
    waiting: Mapping[str, Waits],
    running: Mapping[str, Waits],
    at: Mapping[str, Position],
    told: Callable[[str], bool],
    used: Counter[str],
) -> bool:
    if waits.barrier:
        return False
    if waits.once:
        return told(waits.once)
    if waits.hosts:
        here = [host for host in waits.hosts if host in waiting or host in running]
        return all(at.get(host, ()) >= waits.position and host in at for host in here)
    if waits.throttle:
        name, most = waits.throttle
        used[name] += 1
        return used[name] <= most
    return True


def _earliest(waiting: Mapping[str, Waits]) -> Iterator[tuple[str, str]]:
    """Of hosts that all stand still, those at the earliest place: one for a task that runs once, else all."""
    place = min(waits.position for waits in waiting.values())
    there = {host: waits for host, waits in waiting.items() if waits.position == place}
    for host, waits in there.items():
        if waits.once:
            yield host, waits.once
            return
    yield from ((host, "") for host in there)
