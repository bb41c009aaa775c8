"""Events to what people and programs read: text, a live screen, JSON, JSON lines, JUnit.

The only importer of rich. Must not know how a run is made; everything shown comes from events.
"""

from __future__ import annotations

from typing import Protocol

from provision.events import Event

__all__ = ["Report"]


class Report(Protocol):
    """Takes the events of one run in the order in which they happen; calls are made by one thread at a time."""

    def add(self, event: Event) -> None: ...

    def close(self) -> None:
        """Write what is written at the end; called once, also after an interruption."""
