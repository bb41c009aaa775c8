"""Which prefix a look at an environment's python is about, and whether a user can read it."""

from __future__ import annotations

import os
from typing import Dict, List, Optional

from .. import generations
from ..system import System

__all__ = ["NOWHERE", "closed_to", "of_environment", "quiet", "runner"]

NOWHERE = "/dev/null/provision"
"""A path below which nobody can make anything, root neither."""


def of_environment(system: System, root: str, name: str, lock: Optional[str]) -> Optional[generations.Generation]:
    """The newest generation of a lock, without one what the link leads to; None where there is none."""
    found = generations.serving(system, root, name, lock)
    return found if found and os.path.exists(os.path.join(found.path, "bin", "python")) else None


def closed_to(system: System, user: str, path: str) -> str:
    """The first folder on the way to a prefix that a user may not enter; "" where there is none."""
    import pwd

    uid = system.user_id(user)
    if uid == 0:
        return ""
    entry = pwd.getpwuid(uid)
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    return next((folder for folder in _ways(path) if not _may_enter(folder, uid, groups)), "")


def runner(system: System, user: str, path: str) -> str:
    """Who runs the python of a prefix: whoever was asked for, but root never what somebody else made."""
    from ..activation import stranger

    return stranger([path]) or user if system.user_id(user) == 0 else user


def quiet() -> Dict[str, str]:
    """Variables with which a python that only looks leaves nothing behind: no home, no caches, no bytecode."""
    homes = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR", "HF_HOME", "TORCH_HOME", "NUMBA_CACHE_DIR")
    return {
        **dict.fromkeys(homes, NOWHERE),
        "TRITON_CACHE_DIR": NOWHERE,
        "CUDA_CACHE_DISABLE": "1",
        "TMPDIR": "/dev/shm",
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _ways(path: str) -> List[str]:
    found = [path]
    while path != "/":
        path = os.path.dirname(path)
        found.append(path)
    return found[::-1]


def _may_enter(folder: str, uid: int, groups: List[int]) -> bool:
    status = os.stat(folder)
    if status.st_uid == uid:
        return bool(status.st_mode & 0o100)
    if status.st_gid in groups:
        return bool(status.st_mode & 0o010)
    return bool(status.st_mode & 0o001)
