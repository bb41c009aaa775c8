"""Checks of an environment.yml over what runs on GPUs: torch and its kin, CUDA, drivers, and pairs of packages.

Each gives what lint.py makes findings of; the knowledge is data (recipes.toml, torch_sets.toml).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from provision.agent.record import record
from provision.conda import recipes
from provision.conda.capability import Kind, first_driver, range_of, runs
from provision.conda.environment import CondaSpec, Environment, PipLine
from provision.conda.floor import meant_cuda
from provision.conda.mirrors import Settings, canonical_channels
from provision.conda.pairs import may_be, sign_of
from provision.errors import Mark

__all__ = ["CHECKS", "Found", "Subject", "listed", "own_builds", "pinned", "stack"]

TORCHES = ("pytorch", "torch", "pytorch-gpu")
_COMPANIONS = ("torchvision", "torchaudio")
_SECOND_CUDA = re.compile(r"(torch|triton|pytorch-triton|nvidia-.+)\Z")
_CUDA_TAG = re.compile(r"\+cu(\d{2})(\d)\Z")
Pin = tuple[str, str, Mark]
"""Name as written, version, place."""


@record(frozen=True, slots=True)
class Subject:
    """What a check looks at: a file, the inventory's settings, and the kinds of GPUs that it is to run on."""

    environment: Environment
    settings: Settings
    gpus: Sequence[Kind]


Found = Iterator[tuple[str, str, Mark | None, dict[str, str]]]
"""Rule, summary, place, and what is filled into the rule's `mend`; `severity` there is another than the rule's own."""


def _torch_set(of: Subject) -> Found:
    environment = of.environment
    torch = pinned(environment, *TORCHES)
    row = recipes.torch_set(torch[1]) if torch else None
    if not torch or not row:
        return
    for companion in _COMPANIONS:
        pin = pinned(environment, companion)
        wanted = row[companion]
        if pin and not any(recipes.under(version, pin[1]) or recipes.under(pin[1], version) for version in wanted):
            sign = "==" if environment.line(companion) else "="
            values = {"name": companion, "sign": sign, "version": wanted[0], "set": _set_of(row)}
            yield "torch-set", f"{companion} {pin[1]} does not belong to torch {torch[1]}", pin[2], values


def _torch_python(of: Subject) -> Found:
    torch, python = pinned(of.environment, *TORCHES), pinned(of.environment, "python")
    row = recipes.torch_set(torch[1]) if torch and own_builds(of.environment) else None
    if not torch or not python or not row or python[1] == "3":
        return
    if not any(recipes.under(python[1], version) for version in row["python"]):
        values = {"python": row["python"][-1], "torch": row["torch"]}
        yield "torch-python", f"torch {torch[1]} has no builds for Python {python[1]}", python[2], values


def _torch_cuda(of: Subject) -> Found:
    torch, cuda, where = stack(of.environment)
    row = recipes.torch_set(torch) if torch else None
    asked = of.environment.spec("pytorch-cuda")
    tag = _CUDA_TAG.search(of.environment.line("torch").exact) if of.environment.line("torch") else None  # type: ignore[union-attr]
    if not row or not row["cuda"] or not cuda or not (asked or tag) or cuda in row["cuda"]:
        return
    newest = row["cuda"][-1]
    right = f"pytorch-cuda={newest}" if asked else f"torch=={torch}+cu{newest.replace('.', '')}"
    values = {"right": right, "torch": row["torch"], "cudas": ", ".join(row["cuda"])}
    yield "torch-cuda", f"torch {torch} has no builds for CUDA {cuda}", where, values


def _torch_channel(of: Subject) -> Found:
    environment = of.environment
    cuda, urls = environment.spec("pytorch-cuda"), canonical_channels(environment.channels)
    missing = [name for name in ("pytorch", "nvidia") if not any(url.endswith(f"/{name}") for url in urls)]
    if cuda and missing:
        summary = f"`pytorch-cuda` without {listed(missing)} among the channels"
        yield "torch-channel", summary, environment.marks.get("channels"), {}
    torch, last = environment.spec("pytorch"), recipes.data()["pytorch_channel"]["last"]
    if torch and cuda and torch.exact and recipes.below(last, torch.exact) and not recipes.under(torch.exact, last):
        summary = f"torch {torch.exact} is not in the channel `pytorch`"
        yield "torch-channel-ended", summary, torch.where, {"version": torch.exact, "last": last}


def _channel_order(of: Subject) -> Found:
    channels = list(of.environment.channels)
    if not of.environment.spec("pytorch-cuda") or "conda-forge" not in channels:
        return
    later = [name for name in ("pytorch", "nvidia") if name in channels[channels.index("conda-forge") :]]
    if later:
        rest = [name for name in channels if name not in ("pytorch", "nvidia")]
        right = [name for name in ("pytorch", "nvidia") if name in channels] + rest
        summary = f"{listed(later)} after `conda-forge` among the channels"
        yield "channel-order", summary, of.environment.marks.get("channels"), {"channels": ", ".join(right)}


def _two_cudas(of: Subject) -> Found:
    names = ("pytorch-cuda", "cuda-version", "cudatoolkit")
    asked = [spec for spec in of.environment.conda if spec.name in names and spec.exact]
    for other in asked[1:]:
        first, second = (".".join(spec.exact.split(".")[:2]) for spec in (asked[0], other))
        if not recipes.under(first, second) and not recipes.under(second, first):
            summary = f"`{other.text}` beside `{asked[0].text}`"
            yield "two-cudas", summary, other.where, {"name": other.name, "version": first}


def _two_torches(of: Subject) -> Found:
    torch = of.environment.spec("pytorch", "pytorch-gpu", "pytorch-cpu")
    for line in of.environment.pip if torch else ():
        if torch and _SECOND_CUDA.match(line.name):
            yield "two-torches", f"`{line.text}` in the pip part beside conda's torch", line.where, {}


def _driver(of: Subject) -> Found:
    _, cuda, where = stack(of.environment)
    oldest, own = (recipes.oldest_driver(cuda), recipes.toolkit_driver(cuda)) if cuda else (None, None)
    driver = of.settings.driver
    if not driver or not oldest or not cuda:
        return
    if recipes.below(driver, oldest):
        summary = f"CUDA {cuda} needs driver {oldest}, the floor is {driver}"
        yield "cuda-driver", summary, where, {"oldest": oldest, "driver": driver}
    elif own and recipes.below(driver, own):
        yield "cuda-toolkit-driver", f"CUDA {cuda} runs on driver {driver} by compatibility only", where, {"own": own}


def _capability(of: Subject) -> Found:
    torch, cuda, where = stack(of.environment)
    torch = torch if own_builds(of.environment) else ""
    bad = [gpu for gpu in of.gpus if cuda and runs(gpu.capability, cuda, torch) is False]
    if not bad:
        return
    named = ", ".join(f"{gpu.name} ({gpu.capability})" for gpu in bad[:3]) + (", …" if len(bad) > 3 else "")
    what = f"torch {torch} for CUDA {cuda}" if torch else f"CUDA {cuda}"
    values = {"mend": _other_cuda(bad[0].capability, cuda)}
    if len(bad) < len(of.gpus):
        values["severity"] = "warning"
    yield "cuda-capability", f"{what} has code for {range_of(cuda, torch)}, none for {named}", where, values


def _other_cuda(capability: str, cuda: str) -> str:
    first = first_driver(capability)
    if first and recipes.below(cuda, first[1]):
        return f"take CUDA {first[1]} or newer, whose own driver is {first[0]}, or leave these GPUs to another variant"
    return "take an older CUDA, which still has code for them, or leave these GPUs to another variant"


def _pairs(of: Subject) -> Found:
    for rule in recipes.rules():
        if rule.pair:
            yield from _pair(of.environment, rule, rule.pair)


def _pair(environment: Environment, rule: recipes.Rule, pair: recipes.Pair) -> Found:
    one = pinned(environment, *pair.package)
    if not one or not recipes.within(one[1], pair.start, pair.end):
        return
    if pair.channel and not (environment.spec(*pair.package) and _has_channel(environment, pair.channel)):
        return
    names = (pair.other, pair.other.replace("-", "_"))
    asked = next((item for item in asked_items(environment) if item.name in names), None)
    state = may_be(asked, pair.other_start, pair.other_end)
    if state == "no":
        return
    first = f"{one[0]} {one[1]}"
    sign, place = sign_of(asked, environment.spec(*pair.package) is not None), asked.where if asked else one[2]
    if state == "yes" and asked:
        yield rule.id, f"{first} with {pair.other} {_of_version(asked)}", place, {"sign": sign}
    elif pair.open and not pinned(environment, *pair.held_by):
        held = f"below {pair.other_start}" if not pair.other_end else f"out of {pair.other_start} to {pair.other_end}"
        summary = f"{first}, and nothing holds {pair.other} {held}"
        yield rule.id, summary, place, {"sign": sign, "severity": "warning"}


def _of_version(asked: CondaSpec | PipLine) -> str:
    return asked.exact or (asked.version if isinstance(asked, CondaSpec) else str(asked.requirement.specifier))  # type: ignore[union-attr]


CHECKS: tuple[Callable[[Subject], Found], ...] = (
    _torch_set,
    _torch_python,
    _torch_cuda,
    _torch_channel,
    _channel_order,
    _two_cudas,
    _two_torches,
    _driver,
    _capability,
    _pairs,
)


def pinned(environment: Environment, *names: str) -> Pin | None:
    """The exact version asked of conda, else of pip, for the first of these names that is pinned."""
    for item in asked_items(environment):
        if item.name in names and item.exact:
            return item.name, item.exact.partition("+")[0], item.where
    return None


def asked_items(environment: Environment) -> tuple[CondaSpec | PipLine, ...]:
    return (*environment.conda, *environment.pip)


def _set_of(row: dict[str, Any]) -> str:
    return f"torch {row['torch']}, torchvision {row['torchvision'][0]}, torchaudio {row['torchaudio'][0]}"


def stack(environment: Environment) -> tuple[str, str, Mark | None]:
    """The torch and the CUDA that a file asks for, "" where it asks for none, and where it does.

    A torch of the pip part without a tag is PyPI's, whose CUDA the table knows.
    """
    pin = pinned(environment, *TORCHES)
    torch = pin[1] if pin else ""
    cuda = meant_by_packages(environment)
    spec = environment.spec("pytorch-cuda", "cuda-version", "cudatoolkit")
    line = environment.line("torch")
    if not cuda and line and torch and "+" not in line.exact:
        row = recipes.torch_set(torch)
        cuda = row["pypi_cuda"] if row else ""
    place = spec.where if spec else line.where if line and cuda else environment.marks.get("name")
    return torch, cuda or meant_cuda(environment) or "", place


def own_builds(environment: Environment) -> bool:
    """Whether the torch that a file asks for is built by its makers: a wheel, or of their channel.

    The tables are of those; conda-forge builds for other Pythons, CUDA versions and GPUs.
    """
    return environment.line("torch") is not None or _has_channel(environment, "pytorch")


def meant_by_packages(environment: Environment) -> str:
    """The CUDA that the packages ask for, whatever the name says."""
    return meant_cuda(replace(environment, name="")) or ""


def _has_channel(environment: Environment, name: str) -> bool:
    return any(url.endswith(f"/{name}") for url in canonical_channels(environment.channels))


def listed(names: Sequence[str]) -> str:
    """Names as people read them: `a` and `b`."""
    return " and ".join(f"`{name}`" for name in names)
