"""Variants of an environment: which of several files a host gets, by its architecture and its GPUs.

Pure. A host gets exactly one, or an error that names what it has; must not look into locks
itself: `unfit` says which GPUs a variant's lock does not run on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from provision.agent.record import record
from provision.conda.capability import Kind
from provision.errors import Mark, ProvisionError
from provision.playbook import Task
from provision.source import Sequence as Listed
from provision.source import nearest

__all__ = ["Variant", "choose", "described", "of_task", "read"]

ARCHITECTURES = {"linux-64": "x86_64", "linux-aarch64": "aarch64"}
"""Conda's name of a platform to the kernel's name of its architecture."""
_KEYS = ("file", "platform", "when_gpu")
_RANGES = ("compute_capability", "driver", "cuda", "memory_mb")
_GPU_KEYS = (*_RANGES, "kind")
_OF_KIND = ("compute_capability", "kind")
_BOUND = re.compile(r"\s*(>=|<=|==|=|!=|<|>|)\s*([0-9]+(?:\.[0-9]+)*)\s*\Z")
Device = Mapping[str, Any]
Unfit = Callable[["Variant", Device], str]
"""Why a GPU does not run what a variant's lock holds; "" where it does or nothing is known."""


@record(frozen=True, slots=True)
class Variant:
    """One file and for whom it is.

    `when_gpu` None: for hosts without GPUs, and for all of the platform where no variant of it has one.
    """

    file: str
    platform: str = "linux-64"
    when_gpu: Mapping[str, Any] | None = None

    def takes(self, kind: Kind) -> bool:
        """Whether a GPU of this kind may be meant; what a kind does not tell (driver, memory) counts as met."""
        told = {"compute_capability": kind.capability, "name": kind.name}
        return not any(
            _fails(key, wanted, told) for key, wanted in (self.when_gpu or {}).items() if key in _OF_KIND and wanted
        )


@record(slots=True)
class _Host:
    """What is chosen by."""

    architecture: str
    driver: str
    cuda: str
    devices: Sequence[Device] = field(default_factory=tuple)
    simulated: bool = False


def read(values: Any, where: Mark | None, context: str = "", places: Sequence[Mark] = ()) -> list[Variant]:
    """The variants that a play names, already rendered; raises ProvisionError for what is no variant.

    `places` are those of the items, where they stand in a file as they are.
    """
    if not isinstance(values, list) or not values:
        raise ProvisionError("`variants` is a list of files", where=where, context=context)
    known = [*places] if len(places) == len(values) else [where] * len(values)
    found = [_variant(value, place, context) for value, place in zip(values, known, strict=True)]
    seen: dict[str, str] = {}
    for variant in found:
        if seen.setdefault(variant.file, variant.platform) != variant.platform:
            raise ProvisionError(
                f"`{variant.file}` is the file of two platforms",
                where=where,
                context=context,
                cause="a lock is of one platform, and stands beside its file under the name in it",
                hint="give each variant a file of its own, with a `name` of its own",
            )
    return found


def choose(name: str, variants: Sequence[Variant], facts: Mapping[str, Any], unfit: Unfit) -> Variant:
    """The variant of a host; raises ProvisionError, with what the host has, where none or several fit.

    On GPUs of different kinds, of the variants that are meant for some of them the one whose lock runs on all.
    """
    host = _host(facts)
    own = [variant for variant in variants if ARCHITECTURES[variant.platform] == host.architecture]
    told = {variant.file: _misses(variant, host) for variant in own if variant.when_gpu is not None}
    fitting = [variant for variant in own if variant.when_gpu is not None and not told[variant.file]]
    if len(fitting) > 1:
        lines = [f"{v.file}: fits" for v in fitting]
        raise _refused(name, f"{len(fitting)} variants of `{name}` fit", host, lines)
    if fitting:
        lines = _unfit_lines(fitting[0], host, unfit)
        if lines:
            raise _refused(name, f"the variant of `{name}` for this host does not run on its GPUs", host, lines)
        return fitting[0]
    some = [variant for variant in own if variant.when_gpu is not None and _meant_for_some(variant, host)]
    if some:
        return _for_all(name, some, host, unfit)
    rest = [variant for variant in own if variant.when_gpu is None and not (host.devices and told)]
    if len(rest) == 1:
        return rest[0]
    lines = [f"{file}: {misses[0]}" for file, misses in told.items()]
    lines += [f"{v.file}: is for {v.platform}" for v in variants if v not in own] + [f"{v.file}: fits" for v in rest]
    summary = f"{len(rest)} variants of `{name}` fit" if rest else f"no variant of `{name}` fits"
    raise _refused(name, summary, host, lines)


def of_task(task: Task, values: Any) -> list[Variant]:
    """The variants of a task, already rendered; raises ProvisionError also where it has no name for all of them."""
    raw, where, context = task.arguments["variants"], task.arguments.value_mark("variants"), f'task "{task.title}"'
    if "file" in task.arguments or "name" not in task.arguments:
        raise ProvisionError(
            "an environment with `variants` has a `name` and no `file`",
            where=where,
            context=context,
            cause="apps refer to all of its variants by that one name",
        )
    return read(values, where, context, raw.marks if isinstance(raw, Listed) else ())


def _variant(value: Any, where: Mark | None, context: str) -> Variant:
    if not isinstance(value, dict) or not isinstance(value.get("file"), str):
        raise ProvisionError("a variant names a `file`", where=where, context=context, hint="write `- file: NAME.yml`")
    _known(value, _KEYS, "a variant", where, context)
    platform = value.get("platform", "linux-64")
    if platform not in ARCHITECTURES:
        hint = f"it can be {' or '.join(f'`{name}`' for name in ARCHITECTURES)}"
        raise ProvisionError(f"the platform `{platform}` is not supported", where=where, context=context, hint=hint)
    when = value.get("when_gpu")
    if when is not None:
        _check_condition(when, where, context)
    return Variant(value["file"], platform, when)


def _check_condition(when: Any, where: Mark | None, context: str) -> None:
    if not isinstance(when, dict) or not when:
        hint = 'write `when_gpu: {compute_capability: ">=10.0"}`'
        raise ProvisionError("`when_gpu` is a mapping", where=where, context=context, hint=hint)
    _known(when, _GPU_KEYS, "`when_gpu`", where, context)
    for key, wanted in when.items():
        if key == "kind":
            good = isinstance(wanted, str) or (isinstance(wanted, list) and all(isinstance(one, str) for one in wanted))
        else:
            good = isinstance(wanted, str) and all(_BOUND.match(part) for part in wanted.split(","))
        if not good:
            hint = "write a name, or a list of names" if key == "kind" else 'write it in quotes, such as ">=7.5,<10.0"'
            raise ProvisionError(f"`{key}` cannot be `{wanted}`", where=where, context=context, hint=hint)


def _known(value: Mapping[str, Any], keys: Sequence[str], what: str, where: Mark | None, context: str) -> None:
    for key in value:
        if key not in keys:
            hint = nearest(str(key), set(keys)) or f"it has {', '.join(f'`{name}`' for name in keys)}"
            raise ProvisionError(f"{what} has no key `{key}`", where=where, context=context, hint=hint)


def _host(facts: Mapping[str, Any]) -> _Host:
    gpu = facts.get("gpu") or {}
    return _Host(
        architecture=str(facts.get("architecture") or ""),
        driver=str(gpu.get("driver") or ""),
        cuda=str(gpu.get("cuda") or ""),
        devices=tuple(gpu.get("devices") or ()),
        simulated=bool(gpu.get("simulated")),
    )


def _misses(variant: Variant, host: _Host) -> list[str]:
    """Why a variant is not for a host, a line a reason; empty where it is: every GPU is as it wants."""
    if not host.devices:
        return ["the host has no GPU"]
    return [line for device in host.devices for line in _misses_of(variant, host, device)]


def _misses_of(variant: Variant, host: _Host, device: Device) -> list[str]:
    told = {**device, "driver": host.driver, "cuda": host.cuda}
    failing = [key for key, wanted in (variant.when_gpu or {}).items() if _fails(key, wanted, told)]
    return [
        f"`{key}: {_worded((variant.when_gpu or {})[key])}` does not hold for {described(device)}" for key in failing
    ]


def _fails(key: str, wanted: Any, told: Mapping[str, Any]) -> bool:
    if key == "kind":
        names = [wanted] if isinstance(wanted, str) else wanted
        return not any(one.lower() in str(told.get("name", "")).lower() for one in names)
    have = str(told.get(key) or "")
    return not have or not all(_holds(part, have) for part in str(wanted).split(","))


def _holds(bound: str, have: str) -> bool:
    found = _BOUND.match(bound)
    if not found:
        return False
    one, other = _numbers(have), _numbers(found[2])
    return {
        ">=": one >= other,
        "<=": one <= other,
        ">": one > other,
        "<": one < other,
        "!=": one != other,
    }.get(found[1], one == other)


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(part) if part.isdigit() else 0 for part in version.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def _meant_for_some(variant: Variant, host: _Host) -> bool:
    return any(not _misses_of(variant, host, device) for device in host.devices)


def _for_all(name: str, some: Sequence[Variant], host: _Host, unfit: Unfit) -> Variant:
    """Of variants that are each meant for some of a host's GPUs, the one that runs on all."""
    told = {variant.file: _unfit_lines(variant, host, unfit) for variant in some}
    whole = [variant for variant in some if not told[variant.file]]
    if len(whole) == 1:
        return whole[0]
    lines = [line for lines in told.values() for line in lines] + [f"{v.file}: runs on all of them" for v in whole]
    what = "several variants run" if whole else "no variant runs"
    raise _refused(name, f"{what} on all GPUs of this host for `{name}`", host, lines)


def _unfit_lines(variant: Variant, host: _Host, unfit: Unfit) -> list[str]:
    found = dict.fromkeys(unfit(variant, device) for device in host.devices)
    return [f"{variant.file}: {line}" for line in found if line]


def _refused(name: str, summary: str, host: _Host, lines: Sequence[str]) -> ProvisionError:
    has = ", ".join(described(device) for device in host.devices) or "no GPU"
    has += " (simulated)" if host.simulated and host.devices else ""
    driver = f", driver {host.driver}" if host.driver else ""
    return ProvisionError(
        summary,
        cause="\n".join([f"the host is {host.architecture}{driver}, with {has}", *dict.fromkeys(lines)]),
        hint=f"add a variant of `{name}` for it or change `when_gpu`, so that exactly one fits; or leave this host out",
    )


def described(device: Device) -> str:
    """A GPU as people read it: `GPU 0 NVIDIA B200 (10.0)`."""
    return f"GPU {device.get('index')} {device.get('name')} ({device.get('compute_capability') or 'unknown'})"


def _worded(wanted: Any) -> str:
    return wanted if isinstance(wanted, str) else ", ".join(map(str, wanted))
