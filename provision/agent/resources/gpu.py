"""What must be true of a host's GPUs and their driver; changes nothing.

Takes the facts that nvidia-smi gave at the start of the run, and asks it again only where they may have changed.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, Dict, List, Optional, Tuple

from .. import gpu_absence, gpu_host, gpus
from ..record import record
from ..resource import Action, Emit, Refusal
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]


@record(frozen=True)
class Spec:
    """Minimal driver, its CUDA, number, memory (MiB each) and compute capability; `kind` is part of a name.

    - gpu:
        driver: "520.61.05"
        count: 2
        memory_mb: 22000
        compute_capability: "8.0"
        kind: RTX 4090

    Without any of these it only looks, for `register`.
    """

    driver: Optional[str] = None
    cuda: Optional[str] = None
    count: Optional[int] = None
    memory_mb: Optional[int] = None
    compute_capability: Optional[str] = None
    kind: Optional[str] = None

    def __post_init__(self) -> None:
        for name in ("driver", "cuda", "compute_capability"):
            value = getattr(self, name)
            if value is not None and not all(part.isdigit() for part in value.split(".")):
                raise ValueError("%s %r is no version like 520.61.05; quote it" % (name, value))


@record(frozen=True)
class State:
    """What nvidia-smi told. `error`: why it did not. `seen`: what the host shows without it (`gpu_host.Seen`).
    `awaited`: in check mode, an earlier step would change the driver, so that nothing can be said yet.
    """

    driver: Optional[str] = None
    cuda: Optional[str] = None
    devices: List[Dict[str, Any]] = field(default_factory=list)
    simulated: bool = False
    error: str = ""
    seen: Dict[str, Any] = field(default_factory=dict)
    awaited: bool = False


def observe(spec: Spec, system: System) -> State:
    """Take the facts, asked again where there are none or packages changed, and look at the host itself."""
    facts = system.facts.get("gpu") or {}
    late = "gave no answer" in facts.get("error", "")
    if system.notes.get("packages_changed") or not (facts.get("devices") or late):
        facts = system.facts["gpu"] = gpus.ask()
    return State(
        facts.get("driver"),
        facts.get("cuda"),
        facts.get("devices") or [],
        bool(facts.get("simulated") or gpu_host.place()),
        facts.get("error", ""),
        vars(gpu_host.look(gpu_host.place())),
        system.check and any("nvidia" in target for target in system.pending),
    )


def decide(spec: Spec, state: State) -> List[Action]:
    """Nothing; Refusal that names each requirement and each GPU that does not meet it."""
    if spec == Spec() or state.awaited:
        return []
    if not state.devices and spec.count != 0:
        raise Refusal("this host's GPUs cannot be used", *_absence(state), fields(spec, state))
    found = [*_host_problems(spec, state), *_device_problems(spec, state)]
    if found:
        raise Refusal(
            "this host's GPUs do not meet the requirements",
            "\n".join(found),
            "leave this host out, lower what is required, or install a newer driver where that is what is lacking",
            fields(spec, state),
        )
    return []


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """There is nothing to apply."""
    return {}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`driver`, `cuda`, `count`, `devices` (each with what it `lacks`), `kinds` (name: how many), `simulated`, `reboot`
    (why the driver needs one, or ""), and what the host shows itself: see `gpu_host.Seen`.
    """
    kinds: Dict[str, int] = {}
    for device in state.devices:
        kinds[str(device.get("name"))] = kinds.get(str(device.get("name")), 0) + 1
    seen = gpu_host.Seen(**state.seen)
    return {
        **vars(seen),
        "driver": state.driver,
        "cuda": state.cuda,
        "count": len(state.devices),
        "devices": [{**device, "lacks": _lacks(spec, device)} for device in state.devices],
        "kinds": kinds,
        "simulated": state.simulated,
        "reboot": "" if state.awaited else gpu_absence.reboot_reason(seen, state.error),
    }


def _absence(state: State) -> Tuple[str, str]:
    cause, hint = gpu_absence.explain(gpu_host.Seen(**state.seen), state.error)
    return ("this host's GPUs are simulated\n" if state.simulated else "") + cause, hint


def _host_problems(spec: Spec, state: State) -> List[str]:
    found = []
    if spec.driver and version(state.driver) < version(spec.driver):
        found.append("driver %s is older than %s" % (state.driver or "(unknown)", spec.driver))
    if spec.cuda and version(state.cuda) < version(spec.cuda):
        found.append("the driver runs CUDA up to %s, %s is required" % (state.cuda or "?", spec.cuda))
    if spec.count is not None and len(state.devices) < spec.count:
        bus = len(state.seen.get("bus") or [])
        more = "; the PCI bus shows %d" % bus if bus > len(state.devices) else ""
        found.append("%d GPUs are there, %d are required%s" % (len(state.devices), spec.count, more))
    return found


def _device_problems(spec: Spec, state: State) -> List[str]:
    """A line for each GPU where they differ, one for all where they do not; none where none lacks anything."""
    lacking = [_lacks(spec, device) for device in state.devices]
    if not any(lacking):
        return []
    names = {str(device.get("name")) for device in state.devices}
    if len(names) == 1 and len(state.devices) > 1 and all(lacks == lacking[0] for lacks in lacking):
        return ["all %d GPUs (%s): %s" % (len(state.devices), names.pop(), "; ".join(lacking[0]))]
    return [
        "GPU %s %s (%s): %s"
        % (device.get("index"), device.get("uuid"), device.get("name"), "; ".join(lacks) or "right")
        for device, lacks in zip(state.devices, lacking)
    ]


def _lacks(spec: Spec, device: Dict[str, Any]) -> List[str]:
    found = []
    memory, capability = device.get("memory_mb"), device.get("compute_capability")
    if spec.kind and spec.kind.lower() not in str(device.get("name", "")).lower():
        found.append("is no %s" % spec.kind)
    if spec.memory_mb is not None and (memory or 0) < spec.memory_mb:
        has = "has %d MiB of memory" % memory if memory else "does not tell its memory"
        found.append("%s, %d are required" % (has, spec.memory_mb))
    if spec.compute_capability and version(capability) < version(spec.compute_capability):
        found.append("has compute capability %s, %s is required" % (capability or "unknown", spec.compute_capability))
    return found


def version(text: Optional[str]) -> Tuple[int, ...]:
    """Numbers to compare by; what is no version is below all."""
    parts = (text or "").split(".")
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()
