"""The keyed digest of what an app runs on, carried in the environment of its process.

One part for each kind of input, so that a difference can be named. The key never leaves the host: a digest tells
nothing about a short secret to those who may read units or environments.
"""

from __future__ import annotations

import os
from typing import Dict, List, Optional

from .system import System

__all__ = ["PARTS", "VARIABLE", "differing", "digest", "load_key", "store_key"]

VARIABLE = "PROVISION_DIGEST"
PARTS = ("generation", "code", "unit", "configuration", "secrets")
_NOTE = "app digest key"


def load_key(system: System) -> bytes:
    """This host's key; where it has none yet, a new one that `store_key` keeps with the first change."""
    try:
        return system.read(_path(system))
    except FileNotFoundError:
        key: bytes = system.notes.setdefault(_NOTE, os.urandom(32))
        return key


def store_key(system: System) -> None:
    """Keep the key that `load_key` made, unless the host has one."""
    key = system.notes.get(_NOTE)
    if key is not None and system.lstat(_path(system)) is None:
        system.mkdir(system.state_directory, 0o700)
        system.write(_path(system), key, mode=0o600)


def digest(key: bytes, parts: Dict[str, str]) -> str:
    """The digest of the five parts, 12 hex digits each; equal only for equal inputs under one key."""
    import hmac

    return "-".join(hmac.new(key, (part + "\0" + parts[part]).encode(), "sha256").hexdigest()[:12] for part in PARTS)


def differing(one: Optional[str], other: Optional[str]) -> List[str]:
    """Which parts two digests differ in; all of them where one is missing or is no digest."""
    left, right = (one or "").split("-"), (other or "").split("-")
    if len(left) != len(PARTS) or len(right) != len(PARTS):
        return [] if one == other else list(PARTS)
    return [part for part, a, b in zip(PARTS, left, right) if a != b]


def _path(system: System) -> str:
    return os.path.join(system.state_directory, "key")
