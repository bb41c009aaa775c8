"""Schedules sessions: bounded concurrency, barriers at section ends, interruption.

Prints nothing, connects nothing itself, and knows nothing of what a play says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Protocol

__all__ = ["Runnable", "run_sessions"]

LEAVE = 1.5
"""Seconds that an interrupted run waits for its sessions to end before it gives control back."""


class Runnable(Protocol):
    """What the runner needs of a session."""

    def advance(self) -> bool:
        """Go on until the next barrier; False when there is nothing more to do. Never raises."""

    def cancel(self) -> None:
        """Stop at the next safe point, from another thread; `advance` returns False soon after."""


def run_sessions(
    plays: Sequence[Callable[[], Mapping[str, Runnable]]],
    *,
    forks: int,
    clock: Callable[[], float] = time.monotonic,
    interrupted: Callable[[], None] = lambda: None,
) -> bool:
    """Take hosts through plays, `forks` at a time; within a play hosts wait for each other at each barrier.

    Each item of `plays` begins one play and gives the sessions that take part. Returns True when a keyboard
    interrupt ended the run; `interrupted` is called and sessions are cancelled then, and control returns within two
    seconds.
    """
    pool = ThreadPoolExecutor(max_workers=forks, thread_name_prefix="host")
    running: list[Runnable] = []
    futures: list[Future[bool]] = []
    try:
        for begin in plays:
            running = list(begin().values())
            while running:
                futures = [pool.submit(session.advance) for session in running]
                more = [future.result() for future in futures]
                running = [session for session, goes_on in zip(running, more, strict=True) if goes_on]
    except KeyboardInterrupt:
        interrupted()
        _interrupt(running, futures, clock() + LEAVE, clock)
        pool.shutdown(wait=False, cancel_futures=True)
        return True
    pool.shutdown()
    return False


def _interrupt(
    running: Sequence[Runnable], futures: Sequence[Future[bool]], deadline: float, clock: Callable[[], float]
) -> None:
    for session in running:
        session.cancel()
    for future in futures:
        future.cancel()
    wait(futures, timeout=max(0.0, deadline - clock()))
