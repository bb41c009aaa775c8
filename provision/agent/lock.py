"""The host's lock: one run at a time; the kernel frees it when its holder dies. Its file says who holds it.

A run that changes nothing shares it with its like. Must not wait longer than a moment: who comes second is told.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from typing import Any, Dict, List, Optional

__all__ = ["Held", "acquire", "holders", "note", "release"]

_PATIENCE = 1.0
"""Seconds in which a run that just died is given the time to be gone."""


class Held(Exception):
    """Somebody else holds the lock; `holder` says who, as far as it is known."""

    def __init__(self, holder: Dict[str, Any]) -> None:
        super().__init__("locked")
        self.holder = holder


def acquire(path: str, mode: str, holder: Dict[str, Any]) -> int:
    """A descriptor that holds the lock, "exclusive" or "shared", for as long as it, or a copy of it, is open.

    Raises Held, and OSError where the file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    operation = fcntl.LOCK_EX if mode == "exclusive" else fcntl.LOCK_SH
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > deadline:
                found = holders(path)
                os.close(descriptor)
                raise Held(found[-1] if found else {}) from None
            time.sleep(0.05)
    if mode == "exclusive":
        os.ftruncate(descriptor, 0)
    _append(descriptor, holder)
    return descriptor


def note(descriptor: int, holder: Dict[str, Any], doing: Optional[str]) -> None:
    """Say in the file what an exclusive holder does that cannot be interrupted, None when it is done."""
    os.ftruncate(descriptor, 0)
    _append(descriptor, {**holder, "doing": doing} if doing else holder)


def release(descriptor: int) -> None:
    """Give the lock back, once no copy of the descriptor is open."""
    os.close(descriptor)


def holders(path: str) -> List[Dict[str, Any]]:
    """Those that the file names and that still run, or that left something running."""
    found = []
    with open(path, "rb") as file:
        for line in file.read(65536).splitlines():
            try:
                holder = json.loads(line.decode())
            except ValueError:
                continue
            if isinstance(holder, dict):
                found.append(holder)
    living = [holder for holder in found if os.path.exists("/proc/%s" % holder.get("pid"))]
    return living or found


def _append(descriptor: int, holder: Dict[str, Any]) -> None:
    os.lseek(descriptor, 0, os.SEEK_END)
    os.write(descriptor, json.dumps(holder).encode() + b"\n")
