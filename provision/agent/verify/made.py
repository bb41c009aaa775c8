"""What provision made on a host, from its environments, its units and its journal of changes.

Must not judge what of it is still wanted; the control node knows that.
"""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional, Sequence

from ..system import System
from .traces import changes

__all__ = ["applications", "environments", "paths"]

_PATH_MAKERS = ("file", "git", "link")
_MOST = 2000


def environments(system: System, roots: Sequence[str]) -> List[Dict[str, Any]]:
    """`{root, name, since}` of each environment that has a sealed generation below a root."""
    from .. import generations

    found = []
    for root in roots:
        for name in _names(os.path.join(generations.envs_directory(root), ".generations")):
            builds = generations.sealed(system, root, name)
            if builds:
                seal = system.lstat(os.path.join(generations.notes_directory(builds[-1].path), "seal.json"))
                found.append({"root": root, "name": name, "since": int(seal.st_mtime) if seal else None})
    return found


def applications(system: System) -> List[Dict[str, Any]]:
    """`{name, since}` of each app whose unit provision wrote."""
    from .. import unit_text, units

    found = []
    for name in units.names(system):
        path = units.path(system, name)
        try:
            if system.read(path, len(unit_text.MADE_BY)) == unit_text.MADE_BY.encode():
                found.append({"name": name, "since": int(os.lstat(path).st_mtime)})
        except OSError:
            continue
    return found


def paths(system: System) -> List[Dict[str, Any]]:
    """`{path, resource, step, since, run, operator}` of each file, directory, link and checkout that was created and
    that is still there."""
    made: Dict[str, Dict[str, Any]] = {}
    for line in changes(system):
        if line.get("resource") not in _PATH_MAKERS:
            continue
        for action in line.get("actions") or []:
            target, verb = str(action.get("target", "")).rstrip("/"), action.get("verb")
            if not target.startswith("/"):
                continue
            if verb == "create":
                made.setdefault(target, _told(target, line))
            elif verb == "remove":
                made.pop(target, None)
    return [told for told in made.values() if _there(told["path"])][:_MOST]


def _told(target: str, line: Dict[str, Any]) -> Dict[str, Any]:
    kept = {key: str(line.get(key, "")) for key in ("resource", "step", "run", "operator")}
    return {"path": target, **kept, "since": _seconds(str(line.get("time", "")))}


def _there(path: str) -> bool:
    try:
        os.lstat(path)
    except OSError:
        return False
    return True


def _seconds(moment: str) -> Optional[int]:
    """Seconds of the epoch of a moment like 2026-11-24T20:16:00Z. By hand: `strptime` costs more than all the rest."""
    words = moment.replace("T", "-").replace(":", "-").rstrip("Z").split("-")
    if len(words) != 6 or not all(word.isdigit() for word in words):
        return None
    year, month, day, hour, minute, second = map(int, words)
    year, month = (year, month - 3) if month > 2 else (year - 1, month + 9)  # the leap day is a year's last
    days = year * 365 + year // 4 - year // 100 + year // 400 + (month * 153 + 2) // 5 + day - 719469
    return ((days * 24 + hour) * 60 + minute) * 60 + second


def _names(folder: str) -> List[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
