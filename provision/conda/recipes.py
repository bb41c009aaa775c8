"""The carried recipe data (recipes.toml, torch_sets.toml) and the questions that are asked of it.

Pure; knows no environment. The files are read when they are first asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from provision.agent.record import record
from provision.cache import cache_folder, once
from provision.whole_file import write_whole

__all__ = ["Pair", "Rule", "below", "data", "oldest_driver", "rule", "toolkit_driver", "torch_set", "under"]


@record(frozen=True, slots=True)
class Pair:
    """Of `package` from `start` and below `end`, together with `other` from `other_start` and below `other_end`.

    `open`: `other` that nothing holds outside of that range counts, unless one of `held_by` is pinned. `channel`: only
    of builds of that conda channel.
    """

    package: tuple[str, ...]
    other: str
    start: str = ""
    end: str = ""
    other_start: str = ""
    other_end: str = ""
    open: bool = False
    held_by: tuple[str, ...] = ()
    channel: str = ""


@record(frozen=True, slots=True)
class Rule:
    """One piece of knowledge. `severity` is "error", "warning" or "notice"; `mend` has its `{…}` not filled in."""

    id: str
    severity: str
    reason: str
    source: str
    mend: str
    pair: Pair | None = field(default=None, compare=False)


@once
def data() -> dict[str, Any]:
    """The whole table but for the sets of torch."""
    return _read("recipes.toml")


@once
def torch_sets() -> tuple[dict[str, Any], ...]:
    """What belongs to each torch, the oldest first."""
    return tuple(_read("torch_sets.toml")["torch"])


def _read(name: str) -> dict[str, Any]:
    """A table of this folder. TOML takes 5 ms to read, JSON none: that is kept, by the file's time and size."""
    path = Path(__file__).with_name(name)
    seen = path.stat()
    kept = cache_folder() / "tables" / f"{path.stem}-{seen.st_mtime_ns}-{seen.st_size}.json"
    try:
        return json.loads(kept.read_text("utf-8"))  # type: ignore[no-any-return]
    except (OSError, ValueError):
        pass
    import tomllib

    table = tomllib.loads(path.read_text("utf-8"))
    try:
        kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(kept, json.dumps(table), durable=False)
    except OSError:
        pass
    return table


@once
def rule(name: str) -> Rule:
    """The rule of that id; KeyError when there is none."""
    entry: Mapping[str, Any] = data()["rules"][name]
    told = {key: entry[key] for key in ("severity", "reason", "source", "mend")}
    return Rule(id=name, **told, pair=_pair(entry) if "package" in entry else None)


def rules() -> list[Rule]:
    """All rules, in the order of the file."""
    return [rule(name) for name in data()["rules"]]


def _pair(entry: Mapping[str, Any]) -> Pair:
    return Pair(
        package=tuple(entry["package"]),
        other=entry["with"],
        start=entry.get("from", ""),
        end=entry.get("below", ""),
        other_start=entry.get("with_from", ""),
        other_end=entry.get("with_below", ""),
        open=entry.get("open", False),
        held_by=tuple(entry.get("held_by", ())),
        channel=entry.get("channel", ""),
    )


def torch_set(version: str) -> dict[str, Any] | None:
    """What belongs to a torch ("2.0.1" or, for its newest, "2.0"); None when it is not in the table."""
    fitting = [row for row in torch_sets() if under(row["torch"], version)]
    return dict(fitting[-1]) if fitting else None


def oldest_driver(cuda: str) -> str | None:
    """The oldest driver that runs what was built for a CUDA ("11.8"); None when the table does not say."""
    found = data()["cuda"]["oldest_driver"].get(cuda.split(".")[0])
    return str(found) if found else toolkit_driver(cuda)


def toolkit_driver(cuda: str) -> str | None:
    """The driver that a CUDA toolkit shipped with; None when the table does not say."""
    found = data()["cuda"]["toolkit_driver"].get(".".join(cuda.split(".")[:2]))
    return str(found) if found else None


def newest_cuda(driver: str) -> str | None:
    """The newest CUDA whose own driver is not newer than this one; None where all are newer."""
    fitting = [cuda for cuda, own in data()["cuda"]["toolkit_driver"].items() if not below(driver, own)]
    return highest(fitting)


def under(version: str, beginning: str) -> bool:
    """Whether a version begins with another, part by part: 2.0.1 is under 2.0, 2.01 is not."""
    return version == beginning or version.startswith(beginning + ".")


def below(version: str, other: str) -> bool:
    """Whether one dotted version is lower than another; what is no number counts as 0."""
    return _numbers(version) < _numbers(other)


def within(version: str, start: str, end: str) -> bool:
    """Whether a version is not below `start` and is below `end`; "" stands for no bound."""
    return not (start and below(version, start)) and (not end or below(version, end))


def highest(versions: Iterable[str]) -> str | None:
    """The highest of some dotted versions, None when there are none."""
    return max(versions, key=_numbers, default=None)


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(part) if part.isdigit() else 0 for part in version.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
