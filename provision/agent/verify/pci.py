"""Which NVIDIA devices the PCI bus has, whatever the driver knows of them: from sysfs alone, without lspci."""

from __future__ import annotations

import os
from typing import List, NamedTuple

__all__ = ["Devices", "devices"]

_NVIDIA = "0x10de"
_GPUS = ("0x0300", "0x0302")
"""VGA and 3D controllers; the sound function of a card has a class of its own."""
_SWITCH = "0x0680"
"""A bridge of another kind: with NVIDIA's vendor id, an NVSwitch."""


class Devices(NamedTuple):
    """Addresses as sysfs names them."""

    gpus: List[str]
    switches: List[str]


def devices(root: str = "") -> Devices:
    """What is on the bus, sorted; nothing where there is no such bus."""
    folder = root + "/sys/bus/pci/devices"
    found = Devices([], [])
    for address in _names(folder):
        if _line(os.path.join(folder, address, "vendor")) != _NVIDIA:
            continue
        kind = _line(os.path.join(folder, address, "class"))[:6]
        if kind in _GPUS:
            found.gpus.append(address)
        elif kind == _SWITCH:
            found.switches.append(address)
    return found


def _names(folder: str) -> List[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _line(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.readline().strip()
    except OSError:
        return ""
