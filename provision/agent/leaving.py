"""The last of provision on a host: its folder of state, which holds the agent itself and can only go when that ends.

A step leaves a mark for the very process that serves the run; without it, or after a crash, nothing is removed.
"""

from __future__ import annotations

import os

__all__ = ["leave", "mark"]

_MARK = "leaving"


def mark(state: str, pump: int) -> None:
    """Say that the state is to go when the process `pump` has served its run."""
    with open(os.path.join(state, _MARK), "w", encoding="ascii") as file:
        file.write(_identity(pump))


def leave(state: str) -> bool:
    """Remove the state if it is marked for this process; whether it was. Refusal where a mount lies in it."""
    try:
        with open(os.path.join(state, _MARK), encoding="ascii", errors="replace") as file:
            wanted = file.read(64)
    except OSError:
        return False
    if wanted != _identity(os.getpid()):
        return False
    from . import trees

    trees.remove(state)
    return True


def _identity(pid: int) -> str:
    """A process by its number and when it started: numbers are given again."""
    with open("/proc/%d/stat" % pid, "rb") as file:
        return "%d %s" % (pid, file.read().rpartition(b")")[2].split()[19].decode())
