"""Takes a worker out of the session that it was started from, into a transient scope of systemd.

What must finish, such as a run of dpkg, then also survives the end of that session: a killed sshd, a logout that
kills all that was left. The whole worker moves, since a command whose output nobody reads any more is ended by that.
"""

from __future__ import annotations

import os
import time
from typing import List

from .spawn import CLEAN_PATH, Watch, run

__all__ = ["leave_session"]

_DEADLINE = 5.0
_STOP_USEC = 600 * 1000 * 1000
"""How long systemd waits for it when the host is shut down."""
_MANAGER = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")


def leave_session(what: str, root: str = "/") -> bool:
    """Move this process, with what it starts from now on, into a scope of its own; `what` is its description.

    False where that cannot be: without systemd or busctl, and for who is not root. Then a process session of their
    own is all that commands have.
    """
    if os.geteuid() != 0 or not os.path.isdir(os.path.join(root, "run/systemd/system")):
        return False
    name = "provision-%d.scope" % os.getpid()
    if _inside(name, root):
        return True
    try:
        done = run(_call(name, what), timeout=_DEADLINE, environment={"PATH": CLEAN_PATH}, watch=Watch())
    except OSError:
        return False
    if done.returncode != 0:
        return False
    deadline = time.monotonic() + _DEADLINE
    while not _inside(name, root):  # systemd answers before it has moved the process
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def _call(name: str, what: str) -> List[str]:
    call = ["busctl", "--quiet", "--timeout=%d" % _DEADLINE, "call", *_MANAGER, "StartTransientUnit"]
    own = ["PIDs", "au", "1", str(os.getpid()), "Description", "s", "provision: %s" % what]
    place = ["Slice", "s", "system.slice", "TimeoutStopUSec", "t", str(_STOP_USEC)]
    return [*call, "ssa(sv)a(sa(sv))", name, "fail", "4", *own, *place, "0"]


def _inside(name: str, root: str) -> bool:
    try:
        with open(os.path.join(root, "proc/self/cgroup"), encoding="utf-8", errors="replace") as stream:
            return any(line.rstrip("\n").endswith("/" + name) for line in stream)
    except OSError:
        return False
