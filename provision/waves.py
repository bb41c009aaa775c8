"""The hosts of a play in their order and in waves, and when the failures of a wave end the run.

Pure: of names, numbers and what became of hosts. Must not know sessions.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

from provision.errors import Mark, ProvisionError

__all__ = ["cut", "ordered", "too_many"]


def ordered(hosts: Sequence[str], order: str | None) -> tuple[str, ...]:
    """The hosts in the order that a play asks for; without one, in that of the inventory."""
    match order:
        case "reverse_inventory":
            return tuple(reversed(hosts))
        case "sorted":
            return tuple(sorted(hosts))
        case "reverse_sorted":
            return tuple(sorted(hosts, reverse=True))
        case "shuffle":
            return tuple(random.sample(list(hosts), len(hosts)))
    return tuple(hosts)


def cut(hosts: Sequence[str], serial: Any, where: Mark | None) -> list[tuple[str, ...]]:
    """The waves that `serial` makes of hosts: a number, a percentage, or a list of both, whose last item repeats.

    Raises ProvisionError for what is neither.
    """
    sizes = [_size(item, len(hosts), where) for item in (serial if isinstance(serial, list) else [serial])]
    waves: list[tuple[str, ...]] = []
    rest = tuple(hosts)
    while rest:
        size = sizes[min(len(waves), len(sizes) - 1)] if sizes else 0
        size = size if size > 0 else len(rest)
        waves.append(rest[:size])
        rest = rest[size:]
    return waves


def _size(value: Any, hosts: int, where: Mark | None) -> int:
    text = str(value if value is not None else 0).strip()
    try:
        if text.endswith("%"):
            return int(float(text[:-1]) / 100 * hosts) or 1
        return int(text)
    except ValueError:
        raise ProvisionError(
            f"`serial` is a number of hosts or a percentage, not `{value}`",
            where=where,
            context="play",
            hint='such as `serial: 2`, `serial: "30%"` or `serial: [1, "50%"]`',
        ) from None


def too_many(failed: Iterable[str], size: int, percentage: float | None) -> bool:
    """Whether more than `percentage` of a wave of `size` hosts have failed; just as many are not too many."""
    return percentage is not None and size > 0 and len(list(failed)) / size > percentage / 100
