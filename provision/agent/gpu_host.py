"""What a host shows of NVIDIA GPUs without asking their driver: PCI bus, kernel modules, libraries, containers.

Reads small files below /sys, /proc, /lib and /dev; must not run a program and not decide what is required.
"""

from __future__ import annotations

import os
from dataclasses import field
from typing import List, Optional

from .record import record
from .spawn import CLEAN_PATH
from .verify import kernel as modules
from .verify import pci

__all__ = ["SIMULATED", "Seen", "look", "place"]

SIMULATED = "/etc/provision-lab/tree"
"""Stands for the hardware of a lab's host: its /sys, /proc and libraries."""
_SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
_PROGRAMS = CLEAN_PATH.split(":")


@record(frozen=True)
class Seen:
    """`bus`: PCI addresses of NVIDIA GPUs; `nvswitches`: how many NVSwitches are there. `loaded`: version of the kernel
    module `nvidia` that is loaded, "" where it tells none, None where it is not loaded. `module`: a file of it is
    there for the running `kernel`. `library`: version of the driver's user space. `tool`: nvidia-smi is there.
    `container`: its kind, "" on a machine. `secure_boot`: None where the host does not boot by EFI or hides it.
    """

    bus: List[str] = field(default_factory=list)
    nvswitches: int = 0
    nouveau: bool = False
    loaded: Optional[str] = None
    module: bool = False
    library: Optional[str] = None
    tool: bool = False
    device_node: bool = False
    container: str = ""
    secure_boot: Optional[bool] = None
    kernel: str = ""
    kernel_headers: bool = False


def place() -> str:
    """Where to look: "" for the host itself, a folder for simulated hardware."""
    return SIMULATED if os.path.exists(SIMULATED + "/SIMULATED") else ""


def look(root: str = "", kernel: str = "") -> Seen:
    """Look at the host; what cannot be read counts as not there."""
    kernel = kernel or os.uname().release
    devices, loaded = pci.devices(root), modules.loaded("nvidia", root)
    version = modules.module_version(root)
    # packages go to the host itself, also where a folder stands for its hardware
    real = "" if root == SIMULATED else root
    return Seen(
        bus=devices.gpus,
        nvswitches=len(devices.switches),
        nouveau=modules.loaded("nouveau", root),
        loaded=version or ("" if loaded else None),
        module=loaded or version is not None or bool(modules.has_module(kernel, root)),
        library=modules.library_version(root),
        tool=any(os.access("%s%s/nvidia-smi" % (real, path), os.X_OK) for path in _PROGRAMS),
        device_node=os.path.exists(root + "/dev/nvidiactl"),
        container=_container(root),
        secure_boot=_secure_boot(root),
        kernel=kernel,
        kernel_headers=os.path.exists("%s/lib/modules/%s/build" % (real, kernel)),
    )


def _container(root: str) -> str:
    said = _text(root + "/run/systemd/container")
    if said:
        return said
    marks = {"/.dockerenv": "docker", "/run/.containerenv": "podman", "/var/run/secrets/kubernetes.io": "kubernetes"}
    found = next((kind for path, kind in marks.items() if os.path.exists(root + path)), "")
    if found:
        return found
    variables = _text(root + "/proc/1/environ").split("\0")
    return next((entry.partition("=")[2] for entry in variables if entry.startswith("container=")), "")


def _secure_boot(root: str) -> Optional[bool]:
    """The fifth byte of the variable, behind four of attributes."""
    try:
        with open(root + _SECURE_BOOT, "rb") as file:
            content = file.read(8)
    except OSError:
        return None
    return content[4] == 1 if len(content) > 4 else None


def _text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(65536).decode("utf-8", "replace").strip()
    except OSError:
        return ""
