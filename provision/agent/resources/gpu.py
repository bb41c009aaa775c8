"""What must be true of a host's GPUs and their driver; changes nothing.

Reads the facts that nvidia-smi gave at the start of the run; must not run programs on the GPUs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

from ..resource import Action, Emit, Refusal
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]


@dataclass(frozen=True)
class Spec:
    """Minimal driver, its CUDA, number, memory (MiB each) and compute capability; `kind` is part of a name.

    - gpu:
        driver: "520.61.05"
        count: 2
        memory_mb: 22000
        compute_capability: "8.0"
        kind: RTX 4090
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

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


@dataclass(frozen=True)
class State:
    """What nvidia-smi told. `missing` says in words why there is nothing to tell."""

    driver: Optional[str] = None
    cuda: Optional[str] = None
    devices: List[Dict[str, Any]] = field(default_factory=list)
    simulated: bool = False
    missing: str = ""


def observe(spec: Spec, system: System) -> State:
    """Take the facts; where there are none, find out what is missing."""
    facts = system.facts.get("gpu") or {}
    devices, driver = facts.get("devices") or [], facts.get("driver")
    missing = "" if driver else _what_is_missing()
    return State(driver, facts.get("cuda"), devices, bool(facts.get("simulated")), missing)


def decide(spec: Spec, state: State) -> List[Action]:
    """Nothing; Refusal that names each requirement and each GPU that does not meet it."""
    if spec == Spec():
        return []
    if state.missing:
        raise Refusal("this host's GPUs cannot be used", state.missing, "install the NVIDIA driver, then run again")
    found = [
        *_host_problems(spec, state),
        *(line for device in state.devices for line in _device_problems(spec, device)),
    ]
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
    """`driver`, `cuda`, `count`, `devices` and `simulated`."""
    return {
        "driver": state.driver,
        "cuda": state.cuda,
        "count": len(state.devices),
        "devices": state.devices,
        "simulated": state.simulated,
    }


def _host_problems(spec: Spec, state: State) -> List[str]:
    found = []
    if spec.driver and version(state.driver) < version(spec.driver):
        found.append("driver %s is older than %s" % (state.driver, spec.driver))
    if spec.cuda and version(state.cuda) < version(spec.cuda):
        found.append("the driver runs CUDA up to %s, %s is required" % (state.cuda or "?", spec.cuda))
    if spec.count is not None and len(state.devices) < spec.count:
        found.append("%d GPUs are there, %d are required" % (len(state.devices), spec.count))
    return found


def _device_problems(spec: Spec, device: Dict[str, Any]) -> List[str]:
    found = []
    name, memory = str(device.get("name", "")), int(device.get("memory_mb") or 0)
    capability = device.get("compute_capability")
    if spec.kind and spec.kind.lower() not in name.lower():
        found.append("it is no %s" % spec.kind)
    if spec.memory_mb is not None and memory < spec.memory_mb:
        found.append("it has %d MiB of memory, %d are required" % (memory, spec.memory_mb))
    if spec.compute_capability and version(capability) < version(spec.compute_capability):
        found.append(
            "its compute capability is %s, %s is required" % (capability or "unknown", spec.compute_capability)
        )
    return ["GPU %s (%s): %s" % (device.get("index"), name, problem) for problem in found]


def version(text: Optional[str]) -> Tuple[int, ...]:
    """Numbers to compare by; what is no version is below all."""
    parts = (text or "").split(".")
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()


def _what_is_missing() -> str:
    loaded = os.path.exists("/proc/driver/nvidia/version")
    paths = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
    tool = any(os.access(os.path.join(path, "nvidia-smi"), os.X_OK) for path in paths)
    if not tool and not loaded:
        return "neither `nvidia-smi` nor the kernel module `nvidia` is there"
    if not tool:
        return "the kernel module `nvidia` is loaded, but there is no `nvidia-smi`"
    if not loaded:
        return "`nvidia-smi` does not answer: the kernel module `nvidia` is not loaded"
    return "`nvidia-smi` does not answer: module and tools may be of different versions; a reboot mends that"
