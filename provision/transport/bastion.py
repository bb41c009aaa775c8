"""One authenticated connection to a bastion for all hosts behind it.

Owns the sharing; how a connection is made comes as an argument. A failure is shared by all who waited for it, and the
next who asks tries again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, Protocol, TypeVar

__all__ = ["Shared"]


class Closable(Protocol):
    @property
    def alive(self) -> bool: ...

    def close(self) -> None: ...


C = TypeVar("C", bound=Closable)


class Shared(Generic[C]):
    """Connections by what they lead to, each made once, by whoever asks first; all others wait for that one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[Hashable, Future[C]] = {}

    def get(self, key: Hashable, make: Callable[[], C], timeout: float) -> C:
        """The live connection of `key`; raises what `make` raises, and TimeoutError after `timeout` s of waiting."""
        with self._lock:
            future = self._made.get(key)
            first = future is None or (future.done() and not future.result().alive)
            if future is None or first:
                future = self._made[key] = Future()
        if first:
            self._fill(key, future, make)
        return future.result(timeout)

    def close(self) -> None:
        """Close all of them; a later `get` makes them anew."""
        with self._lock:
            futures, self._made = list(self._made.values()), {}
        for future in futures:
            if future.done() and future.exception() is None:
                future.result().close()

    def _fill(self, key: Hashable, future: Future[C], make: Callable[[], C]) -> None:
        try:
            made = make()
        except BaseException as error:
            with self._lock:
                self._made.pop(key, None)
            future.set_exception(error)
            return
        future.set_result(made)
