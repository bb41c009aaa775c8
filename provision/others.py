"""What a host may know of the other hosts of a run while its next batch is made: data, given as an argument.

Owns how places in a play compare. Must not know who gathers this; that is `board.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import field
from typing import Any

from provision.agent.record import record
from provision.errors import ProvisionError
from provision.render import Unsettled

__all__ = ["ALONE", "Elsewhere", "Once", "Others", "Position"]

Position = tuple[int, ...]
"""A place in a play; of two, the smaller comes first. All tasks before it are done and judged."""


class Elsewhere(Unsettled):
    """What was asked for is known once another host has come as far as this one."""

    def __init__(self, host: str, name: str) -> None:
        super().__init__(name)
        self.host = host


@record(frozen=True, slots=True)
class Once:
    """What came of a task that one host ran for all: values for each, or the error that ended it for each."""

    values: Mapping[str, Any] = field(default_factory=dict)
    failed: ProvisionError | None = None


@record(frozen=True, slots=True)
class Others:
    """Other hosts, as known now.

    `active` take part in the present wave and are still in it; `passed` says how far they have come. `live` gives
    the hosts of the play that have not failed, `wave` those of the present wave, None where nobody counts them.
    `once` holds what tasks that run once came to; `chosen` is the one that this host is to run for all.
    """

    active: Set[str] = frozenset()
    passed: Mapping[str, Position] = field(default_factory=dict)
    live: Callable[[], Sequence[str]] | None = None
    wave: Callable[[], Sequence[str]] | None = None
    once: Mapping[str, Once] = field(default_factory=dict)
    chosen: str = ""

    def behind(self, host: str, position: Position) -> bool:
        """Whether a host of this wave has yet to do a task before a position."""
        return host in self.active and (host not in self.passed or self.passed[host] < position)


ALONE = Others()
