"""What an app needs of its host, looked up and checked; each thing that is missing is a Refusal of its own.

Reads only. Must not know the app's spec: it is called with plain values.
"""

from __future__ import annotations

import os
import pwd
from typing import Any, Dict, Optional, Sequence, Union

from . import generations, ports, processes, unit_text, units
from .resource import Refusal
from .system import System

__all__ = [
    "file_hash",
    "find_generation",
    "home_of",
    "need_gpus",
    "need_own_unit",
    "need_user_and_directory",
    "port_holder",
]


def port_holder(name: str, port: int, shown: Dict[str, str], system: System) -> Optional[str]:
    """Who but the app's own unit listens on its port, in words; None where nobody does, or leaves in this plan."""
    own = processes.of_unit(name, int(shown.get("MainPID") or 0), shown.get("ControlGroup", ""))
    sockets = ports.known(system, port)
    pid = ports.owner(sockets, own)
    if not sockets or pid in own:
        return None
    if pid is None:
        return "a process that cannot be seen"
    unit = processes.unit_of(pid) or ""
    leaves = system.check and "process of %s" % unit[: -len(".service")] in system.pending
    return None if leaves or unit == units.full(name) else processes.describe(pid)


def find_generation(
    name: str, root: str, environment: str, lock: Optional[str], system: System
) -> Optional[generations.Generation]:
    """The newest generation of the lock, or without one what the link points at; None where a plan would build it."""
    if system.check and _will_be_built(root, environment, system):
        return None
    found = generations.serving(system, root, environment, lock)
    if found:
        return found
    raise Refusal(
        "app `%s` has no environment to run in" % name,
        "`%s` %s" % (environment, "has no generation with lock %s" % lock[:12] if lock else "is not installed"),
        "install it before the app: list it under `environments:`, or add a `conda_env` task",
    )


def _will_be_built(root: str, environment: str, system: System) -> bool:
    names = (generations.store(root, environment), generations.link_path(root, environment))
    return any(path == name or path.startswith(name + "/") for path in system.pending for name in names)


def need_user_and_directory(name: str, user: str, directory: str, system: System) -> None:
    """Refusal where one is not there, nor made by an earlier step of this plan."""
    if "user %s" % user not in system.pending:
        system.user_id(user)
    if directory not in system.pending and not os.path.isdir(directory):
        raise Refusal(
            "app `%s` has no directory" % name,
            "`%s` does not exist on this host" % directory,
            "create it or check the code out before the app starts",
        )


def home_of(user: str) -> str:
    """A user's home; of one that an earlier step of this plan makes, where it will be."""
    try:
        return pwd.getpwnam(user).pw_dir
    except KeyError:
        return "/home/" + user


def need_gpus(name: str, gpus: Sequence[Union[int, str]], facts: Dict[str, Any]) -> None:
    """Refusal where a GPU, by index or UUID, is not among those that nvidia-smi shows."""
    devices = facts.get("devices") or []
    known = {str(device[key]) for device in devices for key in ("index", "uuid")}
    lacking = [str(gpu) for gpu in gpus if str(gpu) not in known and gpu != "all" and not str(gpu).startswith("MIG-")]
    if lacking or (gpus == ["all"] and not devices):
        there = ", ".join("%s (%s)" % (device["index"], device["name"]) for device in devices)
        raise Refusal(
            "app `%s` cannot have GPU %s" % (name, ", ".join("`%s`" % gpu for gpu in lacking) or "`all`"),
            "this host has %s" % (there or "no GPU that nvidia-smi shows"),
            "give `gpus` that are there, or [] for none",
        )


def need_own_unit(name: str, path: str, unit: Optional[str], shown: Dict[str, str]) -> None:
    """Refusal where a unit of the app's name is not ours; `path` is where ours is."""
    other = shown.get("FragmentPath") or ""
    if (unit is None and other in ("", path)) or (unit or "").startswith(unit_text.MADE_BY):
        return
    raise Refusal(
        "app `%s` cannot have that name" % name,
        "`%s` is a unit that provision did not make" % (other or path),
        "give the app another name, or remove that unit",
    )


def file_hash(path: str, system: System) -> str:
    """SHA-256 of a configuration file; Refusal where it is none."""
    try:
        return system.sha256(path)
    except FileNotFoundError:
        if system.check and path in system.pending:
            return "pending"
    except IsADirectoryError:
        pass
    raise Refusal(
        "configuration `%s` is no file" % path,
        "it is a directory" if os.path.isdir(path) else "it does not exist on this host",
        "`configuration` names files; write them before the app starts",
    )
