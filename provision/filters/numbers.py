"""Filters over numbers, sizes, chance and dates, with Ansible's meaning."""

from __future__ import annotations

import math
import re
from collections.abc import MutableSequence, Sequence
from typing import TYPE_CHECKING, Any

from jinja2.exceptions import FilterArgumentError

if TYPE_CHECKING:
    import datetime
    import random

__all__ = [
    "human_readable", "human_to_bytes", "logarithm", "now", "power", "randomly", "root", "shuffled", "strftime",
    "to_datetime",
]  # fmt: skip

_SIZES = {letter: 1 << (10 * power) for power, letter in enumerate("BKMGTPEZY")}


def logarithm(value: float, base: float = math.e) -> float:
    return math.log10(value) if base == 10 else math.log(value, base)


def power(value: float, exponent: float) -> float:
    return math.pow(value, exponent)


def root(value: float, base: float = 2) -> float:
    return math.sqrt(value) if base == 2 else math.pow(value, 1.0 / float(base))


def human_readable(size: Any, isbits: bool = False, unit: str | None = None) -> str:
    """A number of bytes (or bits) with the largest unit that it fills, or the one that is asked for."""
    number = float(size)
    fitting = [letter for letter in reversed(_SIZES) if _SIZES[letter] <= number]
    letter = unit.upper()[:1] if unit else (fitting or ["B"])[0]
    if letter not in _SIZES:
        raise FilterArgumentError(f"human_readable: there is no unit `{unit}`")
    words = ("bits" if isbits else "Bytes") if letter == "B" else letter + ("b" if isbits else "B")
    return f"{number / _SIZES[letter]:.2f} {words}"


_PREFIXES = ("", "kilo", "mega", "giga", "tera", "peta", "exa", "zetta", "yotta")


def human_to_bytes(size: Any, default_unit: str | None = None, isbits: bool = False) -> int:
    """The bytes (or bits) of a size: `10 K`, `10 KB` and `10 kilobyte`, or with `Kb` and `kilobit` the bits."""
    match = re.match(r"^\s*([0-9]*\.?[0-9]+)(?:\s*([A-Za-z]+))?\s*$", str(size))
    if match is None:
        raise FilterArgumentError(f"human_to_bytes: `{size}` is no size")
    unit = match[2] or default_unit
    if not unit:
        return round(float(match[1]))
    small, word = ("b", "bit") if isbits else ("B", "byte")
    for letter, prefix in zip(_SIZES, _PREFIXES, strict=True):
        whole = unit.upper() == letter or unit.lower() == prefix + word
        if whole or (letter != "B" and unit == letter + small):
            return round(float(match[1]) * _SIZES[letter])
    raise FilterArgumentError(f"human_to_bytes: `{size}` has no unit of {word}s, such as `M{small}` or `mega{word}`")


def _chance(seed: Any) -> random.Random:
    import random

    return random.SystemRandom() if seed is None else random.Random(seed)  # noqa: S311 - as Ansible, to be repeatable


def randomly(end: Any, start: int | None = None, step: int | None = None, seed: Any = None) -> Any:
    """A number below `end`, or an item of a list; with a seed always the same, as Ansible's."""
    chance = _chance(seed)
    if isinstance(end, int):
        return chance.randrange(start or 0, end, step or 1)
    if start or step:
        raise FilterArgumentError("random: `start` and `step` go with a number")
    if not isinstance(end, Sequence):
        raise FilterArgumentError("random needs a number or a list")
    return chance.choice(end)


def shuffled(values: Any, seed: Any = None) -> Any:
    result: MutableSequence[Any] = list(values)
    _chance(seed).shuffle(result)
    return result


def strftime(text: str, second: Any = None, utc: bool = False) -> str:
    import time

    seconds = None if second is None else float(second)
    return time.strftime(text, time.gmtime(seconds) if utc else time.localtime(seconds))


def to_datetime(text: Any, format: str = "%Y-%m-%d %H:%M:%S") -> datetime.datetime:
    import datetime

    return datetime.datetime.strptime(str(text), format)


def now(utc: bool = False, fmt: str | None = None) -> Any:
    """The time of the control node, as text where a format is given."""
    import datetime

    found = datetime.datetime.now(datetime.UTC).replace(tzinfo=None) if utc else datetime.datetime.now()
    return found.strftime(fmt) if fmt else found
