"""Agents on the control node that do tasks in the place of hosts: opened when first needed, lent to one host at a time.

Must not know what a step is. They hold no lock of their own: what is done here for hosts is no run on this machine.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from provision.transport import Unreachable

if TYPE_CHECKING:
    from provision.session import Opened

__all__ = ["Delegates", "nobody"]


class Delegates:
    """Agents that are ready; `open_link` starts one more and hears its greeting."""

    def __init__(self, open_link: Callable[[], Opened]) -> None:
        self._open_link = open_link
        self._lock = threading.Lock()
        self._idle: list[Opened] = []
        self._batch = 0

    @contextmanager
    def lent(self) -> Iterator[tuple[Opened, int]]:
        """An agent of one's own for a while, and the number of its next batch; raises Unreachable.

        One that was left in the middle of something is ended.
        """
        with self._lock:
            self._batch += 1
            batch = self._batch
            opened = self._idle.pop() if self._idle else None
        opened = opened or self._open_link()
        try:
            yield opened, batch
        except BaseException:
            opened.close()
            raise
        with self._lock:
            self._idle.append(opened)

    def close(self) -> None:
        """End all agents that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for opened in idle:
            opened.close()


def _nowhere() -> Opened:
    raise Unreachable("closed", "there is no agent on the control node")


def nobody() -> Delegates:
    """Of a run in which nothing is delegated."""
    return Delegates(_nowhere)
