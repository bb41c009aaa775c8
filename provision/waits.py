"""Why a host stands still in a play: data that a session gives and the runner reads."""

from __future__ import annotations

from provision.agent.record import record
from provision.others import Position

__all__ = ["Waits"]


@record(frozen=True, slots=True)
class Waits:
    """Why a session stands still at a place of its play; with nothing of it given, it may go on at once.

    `barrier`: until all hosts stand still. `once`: until one host has run the task of this name, or it is the one.
    `hosts`: until these have come as far, or are gone. `throttle`: until fewer than so many run what has this name.
    """

    position: Position = ()
    barrier: bool = False
    once: str = ""
    hosts: frozenset[str] = frozenset()
    throttle: tuple[str, int] | None = None
