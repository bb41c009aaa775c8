"""A control group for each host: systemd in a host makes its own below, and the host's processor time is counted.

With version 1 a host gets a group in the hierarchies that matter for that, with version 2 there is one hierarchy.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Sequence
from pathlib import Path

__all__ = ["cpu_seconds", "kill", "make", "paths", "remove"]

TOP = Path("/sys/fs/cgroup")
HIERARCHIES = ("cpuacct", "systemd", "unified")
PARENT = "provision-lab"


def paths(lab: str, host: str) -> list[Path]:
    """The groups of a host, made or not."""
    if (TOP / "cgroup.controllers").exists():
        tops = [TOP]
    else:
        tops = [TOP / name for name in HIERARCHIES if (TOP / name / "cgroup.procs").exists()]
    return [top / PARENT / lab / host for top in tops]


def make(groups: Sequence[Path]) -> None:
    """Make groups where they are not."""
    for group in groups:
        group.mkdir(parents=True, exist_ok=True)


def kill(groups: Sequence[Path], seconds: float = 5) -> None:
    """Kill every process that is in the groups or below them, and wait for their end, at most so long."""
    deadline = time.monotonic() + seconds
    while (found := _processes(groups)) and time.monotonic() < deadline:
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def _processes(groups: Sequence[Path]) -> set[int]:
    found: set[int] = set()
    for group in groups:
        for folder, _, _ in os.walk(group):
            with contextlib.suppress(OSError):
                found |= {int(pid) for pid in Path(folder, "cgroup.procs").read_text().split()}
    return found - {0}  # one of another namespace


def remove(groups: Sequence[Path]) -> None:
    """Remove groups with all below them, and those above that are the lab's and have become empty."""
    for group in groups:
        for path, _, _ in os.walk(group, topdown=False):
            _remove(Path(path))
        if _remove(group.parent):
            _remove(group.parent.parent)


def cpu_seconds(groups: Sequence[Path]) -> float:
    """The processor time that was used in a host's groups; 0 where the kernel keeps no such account."""
    for group in groups:
        counted = group / "cpuacct.usage"
        if counted.exists():
            return int(counted.read_text()) / 1e9
    for group in groups:
        counted = group / "cpu.stat"
        found = re.search(r"^usage_usec (\d+)", counted.read_text(), re.MULTILINE) if counted.exists() else None
        if found:
            return int(found[1]) / 1e6
    return 0.0


def _remove(group: Path) -> bool:
    """Remove one group; false where it is not empty: a process just ends, or it is another host's too."""
    try:
        group.rmdir()
    except OSError:
        return not group.exists()
    return True
