"""An app as people ask about it: state, process, restarts, port, digest and health, alike whoever keeps it.

Reads only. Judges nothing of its own: serving.py says whether an app serves.
"""

from __future__ import annotations

import time
from typing import Any, Dict, Optional

from . import digest, processes, serving, unit_text, units
from .system import System

__all__ = ["installed", "view"]

_STATES = {
    "active": "running",
    "reloading": "running",
    "inactive": "stopped",
    "deactivating": "stopping",
    "failed": "failed",
}


def installed(system: System, name: Optional[str] = None) -> Dict[str, str]:
    """The units of all apps that provision made on this host, or of one, by name; what it did not make is left out."""
    names = units.names(system) if name is None else [name]
    found = {}
    for each in names:
        try:
            text = system.read_text(units.path(system, each))
        except (FileNotFoundError, NotADirectoryError):
            continue
        if text.startswith(unit_text.MADE_BY):
            found[each] = text
    return found


def view(name: str, text: str, shown: Dict[str, str]) -> Dict[str, Any]:
    """What is to be said of an app, by its unit's text and properties.

    `since`: when its process started, in seconds since the epoch. `problem` is "" for one that serves. `digest`: "as
    wanted" where the process was started from this very unit, "another" where it was not, "" where there is none.
    """
    wanted, facts = serving.expectation(name, text), unit_text.facts_of(text)
    pid = int(shown.get("MainPID") or 0)
    carried = processes.environment(pid).get(digest.VARIABLE) if pid else None
    return {
        "name": name,
        "state": _state(shown),
        "pid": pid,
        "since": round(time.time() - processes.age(pid)) if pid else None,
        "restarts": int(shown.get("NRestarts") or 0),
        "port": wanted.port,
        "digest": "" if not pid else "as wanted" if carried == wanted.digest else "another",
        "problem": serving.look(wanted, shown).problem,
        "enabled": shown.get("UnitFileState") == "enabled",
        "environment": facts.get("Environment", ""),
        "generation": facts.get("Generation", ""),
    }


def _state(shown: Dict[str, str]) -> str:
    if shown.get("ActiveState") == "activating":
        return "restarting" if shown.get("SubState") == "auto-restart" else "starting"
    return _STATES.get(shown.get("ActiveState", ""), "unknown")
