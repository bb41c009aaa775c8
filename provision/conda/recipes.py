"""The carried recipe data (recipes.toml) and the questions that are asked of it. Pure; knows no environment."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

__all__ = ["Rule", "below", "data", "oldest_driver", "rule", "toolkit_driver", "torch_set", "under"]


@dataclass(frozen=True, slots=True)
class Rule:
    """`severity` is "error", "warning" or "notice"."""

    id: str
    severity: str
    reason: str
    source: str


@functools.cache
def data() -> dict[str, Any]:
    """The whole table."""
    return tomllib.loads(files(__package__).joinpath("recipes.toml").read_text("utf-8"))


def rule(name: str) -> Rule:
    """The rule of that id; KeyError when there is none."""
    return Rule(id=name, **data()["rules"][name])


def torch_set(version: str) -> dict[str, Any] | None:
    """What belongs to a torch ("2.0.1" or, for its newest, "2.0"); None when it is not in the table."""
    fitting = [row for row in data()["torch"] if under(row["torch"], version)]
    return dict(fitting[-1]) if fitting else None


def oldest_driver(cuda: str) -> str | None:
    """The oldest driver that runs what was built for a CUDA ("11.8"); None when the table does not say."""
    found = data()["cuda"]["oldest_driver"].get(cuda.split(".")[0])
    return str(found) if found else toolkit_driver(cuda)


def toolkit_driver(cuda: str) -> str | None:
    """The driver that a CUDA toolkit shipped with; None when the table does not say."""
    found = data()["cuda"]["toolkit_driver"].get(".".join(cuda.split(".")[:2]))
    return str(found) if found else None


def under(version: str, beginning: str) -> bool:
    """Whether a version begins with another, part by part: 2.0.1 is under 2.0, 2.01 is not."""
    return version == beginning or version.startswith(beginning + ".")


def below(version: str, other: str) -> bool:
    """Whether one dotted version is lower than another; what is no number counts as 0."""
    return _numbers(version) < _numbers(other)


def highest(versions: Iterable[str]) -> str | None:
    """The highest of some dotted versions, None when there are none."""
    return max(versions, key=_numbers, default=None)


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(part) if part.isdigit() else 0 for part in version.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
