"""Which GPUs a build runs on: compute capabilities, as CUDA and torch have code for them. Pure; knows no host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from provision.agent.record import record
from provision.conda import recipes

__all__ = ["Kind", "Use", "Uses", "first_driver", "kind", "kinds", "range_of", "runs"]


@record(frozen=True, slots=True)
class Kind:
    """A kind of GPU and its compute capability ("9.0")."""

    name: str
    capability: str


@record(frozen=True, slots=True)
class Use:
    """What a file is for, where a play says so: its platform, and the kinds of GPUs that it may meet."""

    platform: str
    gpus: tuple[Kind, ...] = ()


Uses = Mapping[Path, Use]


def kinds() -> list[Kind]:
    """All kinds in the table."""
    return [Kind(name, capability) for name, capability in recipes.data()["gpus"].items()]


@cache
def kind(text: str) -> Kind | None:
    """The kind that a name means: nvidia-smi's "NVIDIA A100-SXM4-80GB", or "b200"; None when the table has none."""
    words = _words(text)
    fitting = [found for found in kinds() if _within(_words(found.name), words)]
    return max(fitting, key=lambda found: len(found.name), default=None)


@cache
def runs(capability: str, cuda: str, torch: str = "") -> bool | None:
    """Whether a GPU of a compute capability runs what was built for a CUDA; None when the table does not say.

    With `torch`, its version, the answer is that of torch's own builds, which hold code for fewer GPUs.
    """
    built = _built(cuda, torch) if torch else None
    if built is None:
        bounds = recipes.data()["cuda"]["capability"].get(_minor(cuda))
        return not recipes.below(capability, bounds[0]) and not _beyond(capability, bounds[1]) if bounds else None
    code, ptx = built
    newest = recipes.highest(code) or ""
    return any(_same_major(capability, one) and not recipes.below(capability, one) for one in code) or (
        ptx and not recipes.below(capability, newest)
    )


@cache
def range_of(cuda: str, torch: str = "") -> str:
    """What `runs` judges by, in words for people ("7.5 to 12.0"); "" when the table does not say."""
    built = _built(cuda, torch) if torch else None
    if built:
        code, ptx = built
        return f"{_lowest(code)} to {recipes.highest(code)}{' and newer' if ptx else ''}"
    bounds = recipes.data()["cuda"]["capability"].get(_minor(cuda))
    return f"{bounds[0]} to {bounds[1]}" if bounds else ""


def first_driver(capability: str) -> tuple[str, str] | None:
    """The driver of the first CUDA that has code for a capability, and that CUDA; None when the table does not say."""
    for cuda, bounds in recipes.data()["cuda"]["capability"].items():
        own = recipes.toolkit_driver(cuda)
        if own and not recipes.below(capability, bounds[0]) and not _beyond(capability, bounds[1]):
            return own, cuda
    return None


def _built(cuda: str, torch: str) -> tuple[list[str], bool] | None:
    for entry in recipes.data()["architectures"]:
        releases = entry.get("torch")
        if _minor(cuda) in entry["cuda"] and (not releases or any(recipes.under(torch, one) for one in releases)):
            return entry["code"], entry.get("ptx", False)
    return None


def _beyond(capability: str, last: str) -> bool:
    """Whether no code for `last` or older runs there: code runs on later GPUs of its own major version only."""
    return recipes.below(last, capability) and not _same_major(capability, last)


def _same_major(one: str, other: str) -> bool:
    return one.split(".")[0] == other.split(".")[0]


def _lowest(code: Iterable[str]) -> str:
    return min(code, key=lambda text: tuple(int(part) for part in text.split(".")))


def _minor(cuda: str) -> str:
    return ".".join(cuda.split(".")[:2])


def _words(text: str) -> list[str]:
    """A name's words; a letter of a form factor or a size is a word of its own: A100-SXM4 is A100 and SXM4."""
    cleaned = "".join(letter if letter.isalnum() else " " for letter in text.upper())
    return [word for word in cleaned.split() if word not in ("NVIDIA", "TESLA", "GEFORCE")]


def _within(some: list[str], words: list[str]) -> bool:
    return any(words[start : start + len(some)] == some for start in range(len(words) - len(some) + 1))
