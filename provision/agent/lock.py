"""The host's lock: one run at a time; the kernel frees it when its holder dies. Its file says who holds it.

A run that changes nothing shares it with its like and leaves no trace: its note is a file of its own beside the lock,
gone when it ends. Must not wait longer than a moment: who comes second is told.
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
        _forget_dead(path)
        os.ftruncate(descriptor, 0)
        _append(descriptor, holder)
    else:
        _leave_note(path, holder)
    return descriptor


def note(descriptor: int, holder: Dict[str, Any], doing: Optional[str]) -> None:
    """Say in the file what an exclusive holder does that cannot be interrupted, None when it is done."""
    os.ftruncate(descriptor, 0)
    _append(descriptor, {**holder, "doing": doing} if doing else holder)


def release(descriptor: int, path: str) -> None:
    """Give the lock at `path` back, once no copy of the descriptor is open."""
    try:
        os.unlink("%s.%d" % (path, os.getpid()))
    except OSError:
        pass  # an exclusive holder has none
    os.close(descriptor)


def holders(path: str) -> List[Dict[str, Any]]:
    """Those that the file and the notes beside it name and that still run, or that left something running."""
    found = [holder for name in [path, *_notes(path)] for holder in _named(name)]
    living = [holder for holder in found if os.path.exists("/proc/%s" % holder.get("pid"))]
    return living or found


def _named(path: str) -> List[Dict[str, Any]]:
    found = []
    try:
        with open(path, "rb") as file:
            lines = file.read(65536).splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        try:
            holder = json.loads(line.decode())
        except ValueError:
            continue
        if isinstance(holder, dict):
            found.append(holder)
    return found


def _notes(path: str) -> List[str]:
    """The notes of those that share the lock; those of killed runs may be among them."""
    folder, name = os.path.split(path)
    beginning = name + "."
    return [
        os.path.join(folder, entry)
        for entry in sorted(os.listdir(folder))
        if entry.startswith(beginning) and entry[len(beginning) :].isdigit()
    ]


def _leave_note(path: str, holder: Dict[str, Any]) -> None:
    note = "%s.%d" % (path, os.getpid())
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(note, flags, 0o600)
    try:
        _append(descriptor, holder)
    finally:
        os.close(descriptor)


def _forget_dead(path: str) -> None:
    """Nobody shares the lock now: what notes there are were left by killed runs."""
    for note in _notes(path):
        os.unlink(note)


def _append(descriptor: int, holder: Dict[str, Any]) -> None:
    os.lseek(descriptor, 0, os.SEEK_END)
    os.write(descriptor, json.dumps(holder).encode() + b"\n")
