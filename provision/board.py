"""What the hosts of a run tell each other: how far each is, its values, and what was run once for all.

Sessions write and read it from their threads. Must not decide who goes on; that is the runner's.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from provision.others import Once, Others, Position

__all__ = ["Board"]


class Board:
    """One for all plays of a run; `begin_play` and `begin_wave` say who takes part.

    `known` takes what is registered and set on each host.
    """

    def __init__(self, known: dict[str, Mapping[str, Any]]) -> None:
        self._lock = threading.Lock()
        self._known = known
        self._passed: dict[str, Position] = {}
        self._active: set[str] = set()
        self._lost: set[str] = set()
        self._play: tuple[str, ...] = ()
        self._wave: tuple[str, ...] = ()
        self._once: dict[str, Once] = {}
        self.awaited = False
        """Whether a host of this wave stands still until another has come further."""

    def begin_play(self, hosts: Sequence[str]) -> None:
        """A play begins for these hosts."""
        with self._lock:
            self._play, self._wave = tuple(hosts), ()

    def begin_wave(self, hosts: Sequence[str]) -> None:
        """Who takes part from here on; values of all hosts stay, places of this wave's begin anew."""
        with self._lock:
            self._wave, self._active = tuple(hosts), set(hosts)
            self._once, self._passed, self.awaited = {}, {}, False

    def pass_on(self, host: str, position: Position, values: Mapping[str, Any]) -> None:
        """A host has done everything before a position; `values` are all that is registered and set on it."""
        with self._lock:
            self._known[host] = values
            self._passed[host] = position

    def give(self, host: str, values: Mapping[str, Any]) -> None:
        """Set values on a host that takes no part now, for its later plays and for who asks for them."""
        if not values:
            return
        with self._lock:
            self._known[host] = {**self._known.get(host, {}), **values}

    def values(self, host: str) -> Mapping[str, Any]:
        """What is registered and set on a host so far."""
        return self._known.get(host, {})

    def tell_once(self, key: str, once: Once) -> None:
        """What a task that one host ran came to, for all hosts of the wave."""
        with self._lock:
            self._once[key] = once

    def told(self, key: str) -> bool:
        """Whether it is known what a task that one host ran came to."""
        return key in self._once

    def leave(self, host: str, lost: bool) -> None:
        """A host is done with the play; `lost`: it failed or could not be reached."""
        with self._lock:
            self._active.discard(host)
            if lost:
                self._lost.add(host)

    def others(self, chosen: str = "") -> Others:
        """What a host may know: a view, not a copy, as this is asked for at each batch of each host."""
        return Others(self._active, self._passed, self._live, self._live_wave, self._once, chosen)

    def _live(self) -> list[str]:
        return [host for host in self._play if host not in self._lost]

    def _live_wave(self) -> list[str]:
        return [host for host in self._wave if host not in self._lost]
