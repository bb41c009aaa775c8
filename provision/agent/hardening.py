"""What an app's unit may not do: the directives that confine it, and the named ways to relax them.

Pure, but for `minors`, which reads what the driver tells of its GPUs.

Within what CUDA needs: memory that is written and then run (its compiler), NVIDIA's device nodes, which nobody makes
for it at boot, homes (apps live under /root), and locked memory. Directives: systemd.exec(5), and
systemd.resource-control(5).
"""

from __future__ import annotations

import os
from dataclasses import field
from typing import Any, Dict, List, Optional, Sequence

from .record import record
from .unit_text import quote

__all__ = ["RELAXATIONS", "Confinement", "check", "lines", "minors"]

RELAXATIONS: Dict[str, type] = {
    "writable": list,
    "devices": list,
    "capabilities": list,
    "address_families": list,
    "shared_tmp": bool,
    "namespaces": bool,
    "new_privileges": bool,
    "system_calls": bool,
    "unconfined": bool,
}
"""What an app may ask for beyond what apps have, and the type of each."""
_FAMILIES = ("AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK")
_OF_FILES = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID")
_OF_PROCESSES = ("CAP_IPC_LOCK", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SETGID", "CAP_SETUID", "CAP_SYS_NICE")
"""What is left of root: files of others on shared data, other users for its own children, ports, locked memory."""
_REFUSED_CALLS = "~@clock @cpu-emulation @module @mount @obsolete @raw-io @reboot @swap"
_CONTROL = ("/dev/nvidiactl", "/dev/nvidia-modeset", "char-nvidia-uvm", "char-nvidia-caps*", "char-nvidia-nvswitch*")
_EVERY = ("char-nvidia*",)
_ALWAYS = [
    "ProtectSystem=strict",
    "ProtectKernelTunables=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelLogs=yes",
    "ProtectControlGroups=yes",
    "ProtectClock=yes",
    "ProtectHostname=yes",
    "LockPersonality=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "SystemCallArchitectures=native",
    "DevicePolicy=closed",
]


@record(frozen=True)
class Confinement:
    """What an app is given. `paths`: what it may write, where they are there; `hidden`: what it may not see.

    `minors`: numbers of the GPUs' device nodes, None for all GPUs, [] for none; `count`: how many there are.
    `relaxed`: the options of RELAXATIONS that it asks for.
    """

    user: str
    paths: Sequence[str]
    hidden: Sequence[str] = ()
    minors: Optional[Sequence[int]] = ()
    count: int = 0
    relaxed: Dict[str, Any] = field(default_factory=dict)


def check(relaxed: Dict[str, Any]) -> None:
    """Raise ValueError for an option that is none, or of another type."""
    for key, value in relaxed.items():
        if key not in RELAXATIONS:
            raise ValueError("hardening: unknown key `%s`; it knows %s" % (key, ", ".join(RELAXATIONS)))
        if not isinstance(value, RELAXATIONS[key]):
            raise ValueError("hardening: `%s` is %s" % (key, _NOUNS[RELAXATIONS[key]]))
    for path in relaxed.get("writable", ()):
        if not str(path).startswith("/"):
            raise ValueError("hardening: writable %r is no absolute path" % path)
    for device in relaxed.get("devices", ()):
        if not str(device).startswith(("/dev/", "char-", "block-")) or len(str(device).split()) != 1:
            raise ValueError("hardening: devices are paths under /dev, or groups such as char-infiniband*")
    for key, start, such in (("capabilities", "CAP_", "CAP_SYS_NICE"), ("address_families", "AF_", "AF_VSOCK")):
        if not all(str(name).startswith(start) and str(name).isidentifier() for name in relaxed.get(key, ())):
            raise ValueError("hardening: %s are names such as %s" % (key, such))


_NOUNS = {list: "a list", bool: "true or false"}


def lines(given: Confinement) -> List[str]:
    """The directives of a unit's `[Service]`."""
    relaxed = given.relaxed
    nodes = _nodes(given)
    if relaxed.get("unconfined"):
        return nodes
    devices = [*_devices(given.minors), *relaxed.get("devices", ())]
    kept = [*([*_OF_FILES, *_OF_PROCESSES] if given.user == "root" else []), *relaxed.get("capabilities", ())]
    families = [*_FAMILIES, *relaxed.get("address_families", ())]
    shared = ("/tmp", "/var/tmp") if relaxed.get("shared_tmp") else ()
    writable = [*given.paths, *shared, *relaxed.get("writable", ())]
    found = [*nodes, *_ALWAYS]
    found += ["ReadWritePaths=" + " ".join(quote("-" + path) for path in dict.fromkeys(writable))]
    found += ["InaccessiblePaths=" + " ".join(quote("-" + path) for path in given.hidden)] if given.hidden else []
    found += ["DeviceAllow=%s rw" % device for device in dict.fromkeys(devices)]
    found += ["CapabilityBoundingSet=" + " ".join(dict.fromkeys(kept))]
    found += ["RestrictAddressFamilies=" + " ".join(dict.fromkeys(families))]
    found += [] if relaxed.get("new_privileges") else ["NoNewPrivileges=yes"]
    found += [] if relaxed.get("shared_tmp") else ["PrivateTmp=yes"]
    found += [] if relaxed.get("namespaces") else ["RestrictNamespaces=yes"]
    if not relaxed.get("system_calls"):
        calls = _REFUSED_CALLS.replace(" @mount", "") if relaxed.get("namespaces") else _REFUSED_CALLS
        found += ["SystemCallFilter=" + calls, "SystemCallErrorNumber=EPERM"]
    return found


def _devices(numbers: Optional[Sequence[int]]) -> List[str]:
    if numbers is None:
        return list(_EVERY)
    return [*("/dev/nvidia%d" % number for number in numbers), *_CONTROL] if numbers else []


def _nodes(given: Confinement) -> List[str]:
    """NVIDIA's setuid helper makes nodes on demand, which an app that gains no privileges cannot call: root does."""
    numbers = range(given.count) if given.minors is None else given.minors
    if not numbers:
        return []
    words = " ".join("-c=%d" % number for number in numbers)
    command = "if command -v nvidia-modprobe >/dev/null; then nvidia-modprobe -u %s; fi" % words
    return ["ExecStartPre=+-/bin/sh -c " + quote(command, command=True)]


def minors(
    gpus: Sequence[Any], devices: Sequence[Dict[str, Any]], folder: str = "/proc/driver/nvidia/gpus"
) -> Optional[List[int]]:
    """The numbers of the device nodes of GPUs named by index or UUID; None where one cannot be told, as of MIG."""
    by_uuid = _minor_by_uuid(folder)
    uuids = {str(device["index"]): str(device["uuid"]) for device in devices}
    found = [by_uuid.get(uuids.get(str(gpu), str(gpu))) for gpu in gpus]
    numbers = [number for number in found if number is not None]
    return sorted(set(numbers)) if len(numbers) == len(found) else None


def _minor_by_uuid(folder: str) -> Dict[str, int]:
    found = {}
    try:
        names = os.listdir(folder)
    except OSError:
        return {}
    for name in names:
        try:
            with open(os.path.join(folder, name, "information"), encoding="utf-8", errors="replace") as stream:
                rows = [line.partition(":") for line in stream]
        except OSError:
            continue
        values = {key.strip(): value.strip() for key, _, value in rows}
        if values.get("Device Minor", "").isdigit():
            found[values.get("GPU UUID", "")] = int(values["Device Minor"])
    return found
