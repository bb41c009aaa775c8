"""A batch as the pump goes through it: in order, cut into runs of steps of one user. Pure."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

from .protocol import Result

__all__ = ["Batch"]


class Batch:
    """Steps of one batch and how far they are."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.steps: List[Dict[str, Any]] = []
        self._sent = 0
        self._ended = 0

    def next_run(self) -> Tuple[Optional[str], List[Dict[str, Any]]]:
        """The steps that come next for one and the same user; none when all were given out."""
        rest = self.steps[self._sent :]
        user = rest[0].get("user") if rest else None
        count = next((index for index, step in enumerate(rest) if step.get("user") != user), len(rest))
        self._sent += count
        return user, rest[:count]

    def current(self) -> Optional[Dict[str, Any]]:
        """The first step without a result."""
        return self.steps[self._ended] if self._ended < len(self.steps) else None

    def ended(self) -> None:
        """The current step has its result."""
        self._ended += 1

    def rest(self) -> List[Result]:
        """Results of all steps that have none: they are not run."""
        results = [Result(step["id"], "skipped") for step in self.steps[self._ended :]]
        self._sent = self._ended = len(self.steps)
        return results
