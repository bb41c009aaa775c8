"""What earlier steps of a check would change, which also tells whether a step has asked for some of it."""

from __future__ import annotations

from typing import Any, Iterator, Set

__all__ = ["Pending", "rested"]


class Pending(set):  # type: ignore[type-arg]
    """A set that notes in `found` that somebody was told of what is in it."""

    found = False

    def __contains__(self, name: object) -> bool:
        there = set.__contains__(self, name)
        self.found = self.found or there
        return there

    def __iter__(self) -> Iterator[Any]:
        self.found = self.found or len(self) > 0
        return set.__iter__(self)

    def __rand__(self, other: Any) -> Any:
        both = set(other).intersection(self.copied())
        self.found = self.found or bool(both)
        return both

    def copied(self) -> Set[str]:
        """The same names, without noting that somebody asked."""
        return set(set.__iter__(self))


def rested(pending: Set[str]) -> bool:
    """Whether a step was told of what earlier steps would change since this was asked the last time."""
    found = bool(getattr(pending, "found", False))
    if found:
        pending.found = False  # type: ignore[attr-defined]
    return found
