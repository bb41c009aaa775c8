"""A process that people started by hand and that is what an app says: found, compared, and left alone.

Reads only. Of secrets, names are compared and never values.
"""

from __future__ import annotations

import os
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

from . import generations, ports, processes, units
from .record import record
from .resource import Refusal
from .survey import running
from .system import System

__all__ = ["Wanted", "differences", "look", "need_secrets", "seen", "wanted_of"]


@record(frozen=True)
class Wanted:
    """What an app says of its process. `prefix`: the environment's place, without links."""

    name: str
    prefix: str
    command: Sequence[str]
    directory: str
    user: str
    port: Optional[int]
    gpus: Sequence[str]
    variables: Dict[str, str]
    secrets: Sequence[str]


def look(wanted: Wanted, system: System, proc: str = "/proc") -> Tuple[int, List[str]]:
    """The process that somebody started for an app, and how it differs; 0 where there is none but a unit's own."""
    nearest: Tuple[int, List[str]] = (0, [])
    for pid in _candidates(wanted, proc):
        if proc == "/proc" and processes.unit_of(pid) == units.full(wanted.name) and _ours(wanted.name, system):
            continue
        found = differences(wanted, seen(pid, wanted.prefix, proc))
        if not found:
            return pid, []
        if wanted.port is not None and not nearest[0]:
            nearest = pid, found
    return nearest


def _ours(name: str, system: System) -> bool:
    from . import app_view

    return name in app_view.installed(system, name)


def _candidates(wanted: Wanted, proc: str) -> Iterable[int]:
    """Main processes on the app's port, or without one those that its environment runs."""
    if wanted.port is None:
        pids = [pid for pid in running.pids(proc) if running.prefix_of(running.program(pid, proc)) == wanted.prefix]
    elif proc == "/proc" and not ports.listeners(wanted.port):
        pids = []
    else:
        held = running.listening(proc)
        pids = [pid for pid, sockets in held.items() if any(port == wanted.port for _, port in sockets)]
    return dict.fromkeys(running.main_of(pid, proc) for pid in pids)


def seen(pid: int, prefix: str, proc: str = "/proc") -> Dict[str, Any]:
    """A process in the words of an app."""
    environment = running.environment(pid, proc)
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    return {
        "prefix": running.prefix_of(running.program(pid, proc)) or "",
        "command": running.normal(running.argv(pid, proc), prefix),
        "directory": running.directory(pid, proc),
        "user": running.user(pid, proc),
        "gpus": None if visible is None else [part.strip() for part in visible.split(",") if part.strip()],
        "variables": environment,
    }


def differences(wanted: Wanted, process: Dict[str, Any]) -> List[str]:
    """How a process is not what an app says, as lines; pure."""
    found = []
    for key, said in (("prefix", wanted.prefix), ("user", wanted.user)):
        if process[key] != said:
            found.append("%s: %s, said is %s" % (key, process[key] or "another program's", said))
    if os.path.realpath(process["directory"]) != os.path.realpath(wanted.directory):
        found.append("directory: %s, said is %s" % (process["directory"], wanted.directory))
    if process["command"] != running.normal(wanted.command, wanted.prefix):
        found.append("its command is another")
    if process["gpus"] is not None and process["gpus"] != list(wanted.gpus) and list(wanted.gpus) != ["all"]:
        found.append("GPUs: %s, said is %s" % (_listed(process["gpus"]), _listed(wanted.gpus)))
    have = process["variables"]
    found += [
        "variable %s is another" % name for name in sorted(wanted.variables) if have.get(name) != wanted.variables[name]
    ]
    return found + ["variable %s is not set" % name for name in sorted(wanted.secrets) if name not in have]


def need_secrets(name: str, secrets: Dict[str, str]) -> None:
    """Refusal where an app is to start and one of its secrets has no value yet."""
    empty = sorted(key for key, value in secrets.items() if not value)
    if empty:
        raise Refusal(
            "app `%s` cannot start: %s has no value" % (name, ", ".join("`%s`" % key for key in empty)),
            "the process that was found is gone, and what it was given as a secret was never written down",
            "give the variable a value, best in an encrypted file, and run again",
        )


def wanted_of(spec: Any) -> Wanted:
    """What an app's spec says."""
    return Wanted(
        name=spec.name,
        prefix=os.path.realpath(generations.link_path(spec.root, spec.environment)),
        command=spec.command,
        directory=spec.directory,
        user=spec.user,
        port=spec.port,
        gpus=[str(gpu) for gpu in spec.gpus],
        variables={key: str(value) for key, value in spec.variables.items()},
        secrets=sorted(spec.secrets),
    )


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words) or "none"
