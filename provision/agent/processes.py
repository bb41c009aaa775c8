"""Reads /proc about running processes; must not signal or start any."""

from __future__ import annotations

import os
from typing import Dict, List, Optional, Set

__all__ = [
    "APP",
    "age",
    "alive",
    "control_group_processes",
    "describe",
    "environment",
    "name",
    "of_app",
    "of_unit",
    "unit_of",
]

APP = "PROVISION_APP"
"""Where there are no control groups, an app's processes carry its name in this variable."""


def environment(pid: int) -> Dict[str, str]:
    """The variables that a process was started with; empty where it is gone or may not be read."""
    text = _read("/proc/%d/environ" % pid).decode("utf-8", "surrogateescape")
    pairs = (entry.partition("=") for entry in text.split("\0") if "=" in entry)
    return {key: value for key, _, value in pairs}


def name(pid: int) -> str:
    """The short name of a process, "" where it is gone."""
    return _read("/proc/%d/comm" % pid).decode("utf-8", "replace").strip()


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    fields = _read("/proc/%d/stat" % pid).rpartition(b")")[2].split()
    return bool(fields) and fields[0] not in (b"Z", b"X")


def age(pid: int) -> float:
    """Seconds since a process started; 0 where it is gone."""
    fields = _read("/proc/%d/stat" % pid).rpartition(b")")[2].split()
    uptime = _read("/proc/uptime").split()
    if len(fields) < 20 or not uptime:
        return 0.0
    return max(0.0, float(uptime[0]) - int(fields[19]) / os.sysconf("SC_CLK_TCK"))


def describe(pid: int) -> str:
    """A process as people know it: name, pid and, where it belongs to one, its unit."""
    unit = unit_of(pid)
    return "`%s` (pid %d%s)" % (name(pid) or "?", pid, ", unit %s" % unit if unit else "")


def unit_of(pid: int) -> Optional[str]:
    """The unit that a process belongs to, or None."""
    app = environment(pid).get(APP)
    if app:
        return app + ".service"
    for line in _read("/proc/%d/cgroup" % pid).decode("utf-8", "replace").splitlines():
        for part in reversed(line.split("/")):
            if part.endswith(".service") and not part.startswith("user@"):
                return part
    return None


def of_unit(name: str, pid: int, group: str) -> Set[int]:
    """All processes of a unit: its main one, and those of its control group or, where it has none, of its name."""
    return {pid, *(control_group_processes(group) if group else of_app(name))}


def of_app(name: str) -> List[int]:
    """The processes that carry an app's name."""
    mark = ("\0%s=%s\0" % (APP, name)).encode()
    pids = (entry for entry in os.listdir("/proc") if entry.isdigit())
    return [int(pid) for pid in pids if mark in b"\0" + _read("/proc/%s/environ" % pid)]


def control_group_processes(group: str) -> List[int]:
    """The processes of a control group as `systemctl show` names it, with those of groups below it."""
    for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"):
        folder = root + group
        if group.strip("/") and os.path.exists(os.path.join(folder, "cgroup.procs")):
            return [pid for path, _, _ in os.walk(folder) for pid in _pids(os.path.join(path, "cgroup.procs"))]
    return []


def _pids(path: str) -> List[int]:
    return [int(word) for word in _read(path).split() if word.isdigit()]


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return b""
