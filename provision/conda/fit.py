"""Whether a host's GPUs and driver run a locked environment, in words with the numbers. Pure; looks at no host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from provision.conda import recipes
from provision.conda.capability import kind, range_of, runs
from provision.conda.locked import Lock

__all__ = ["Stack", "capability_of", "stack_of", "unfit_device", "unfit_driver", "unfit_glibc"]

Stack = tuple[str, str]
"""Torch's version and CUDA's, "" for none."""


def stack_of(lock: Lock) -> Stack:
    """The torch and the CUDA that a lock brings; torch only where its makers built it, since the table is of theirs."""
    torch = next((package for package in lock.packages if package.name == "pytorch"), None)
    own = torch is None or "/pytorch/" in torch.url
    return str(lock.expect.get("torch") or "") if own else "", str(lock.floor.get("cuda") or "")


def unfit_device(stack: Stack, device: Mapping[str, Any]) -> str:
    """Why a GPU does not run a stack; "" where it does, or nothing is known of it."""
    torch, cuda = stack
    capability = capability_of(device)
    if not cuda or not capability or runs(capability, cuda, torch) is not False:
        return ""
    what = f"torch {torch} for CUDA {cuda}" if torch else f"CUDA {cuda}"
    named = f"GPU {device.get('index')} {device.get('name')} ({capability})"
    return f"{what} has code for {range_of(cuda, torch)}, not for {named}"


def unfit_driver(oldest: str | None, cuda: str, driver: str | None) -> str:
    """Why a driver does not run a CUDA whose oldest is `oldest`; "" where it does or none is needed."""
    if not oldest or not cuda:
        return ""
    if not driver:
        return f"CUDA {cuda} needs driver {oldest} or newer, the host has none"
    return f"CUDA {cuda} needs driver {oldest} or newer, not {driver}" if recipes.below(driver, oldest) else ""


def unfit_glibc(oldest: str | None, glibc: str | None) -> str:
    """Why a system's glibc does not run what needs `oldest`; "" where it does, or nothing is known of it."""
    if not oldest or not glibc or not recipes.below(glibc, oldest):
        return ""
    return f"its packages need glibc {oldest} or newer, not {glibc}"


def capability_of(device: Mapping[str, Any]) -> str:
    """A GPU's compute capability: as the driver says, else by its name; "" where neither tells."""
    said = str(device.get("compute_capability") or "")
    found = None if said.replace(".", "").isdigit() else kind(str(device.get("name") or ""))
    return said if said.replace(".", "").isdigit() else found.capability if found else ""
