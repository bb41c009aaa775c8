"""What provision made on a host, from its environments, its units and its journal of changes.

Must not judge what of it is still wanted; the control node knows that.
"""

from __future__ import annotations

import os
import stat
from typing import Any, Dict, List, Optional, Sequence

from ..system import System
from .traces import changes

__all__ = ["applications", "crontab_entries", "environments", "paths"]

_PATH_MAKERS = ("file", "git", "link")
_MOST = 2000


def environments(system: System, roots: Sequence[str]) -> List[Dict[str, Any]]:
    """`{root, name, since}` of each environment that has a sealed generation below a root; `playbook` where known."""
    from .. import generations

    found, known = [], _playbooks(system, ("conda_env", "conda_flip"))
    for root in roots:
        for name in _names(os.path.join(generations.envs_directory(root), ".generations")):
            builds = generations.sealed(system, root, name)
            if builds:
                seal = system.lstat(os.path.join(generations.notes_directory(builds[-1].path), "seal.json"))
                told = {"root": root, "name": name, "since": int(seal.st_mtime) if seal else None}
                found.append({**told, **known.get(generations.link_path(root, name), {})})
    return found


def applications(system: System) -> List[Dict[str, Any]]:
    """`{name, since}` of each app whose unit provision wrote; `playbook` where it is known."""
    from .. import unit_text, units

    found, known = [], _playbooks(system, ("app",))
    for name in units.names(system):
        path = units.path(system, name)
        try:
            if system.read(path, len(unit_text.MADE_BY)) == unit_text.MADE_BY.encode():
                found.append({"name": name, "since": int(os.lstat(path).st_mtime), **known.get(path, {})})
        except OSError:
            continue
    return found


def paths(system: System) -> List[Dict[str, Any]]:
    """`{path, resource, step, since, run, operator}` of each file, directory, link and checkout that was created and
    that is still there, with its `kind`: directory, link, file or other; with `playbook`, and `sha256` of the content
    that was last written, where these are known."""
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
            if target in made:
                made[target].update(_known(line, ("playbook", "sha256")))
    found = [{**told, "kind": _kind(told["path"])} for told in made.values()]
    return [told for told in found if told["kind"]][:_MOST]


def crontab_entries(system: System) -> List[Dict[str, Any]]:
    """`{name, user, cron_file, env, step, playbook}`, as far as they are known, of each line of a crontab that was
    made and is still there."""
    from ..resources import cron

    made: Dict[str, Dict[str, Any]] = {}
    for line in changes(system):
        entry = line.get("entry")
        if line.get("resource") == "cron" and isinstance(entry, dict):
            own = {key: entry[key] for key in ("name", "user", "cron_file", "env") if key in entry}
            made.pop(repr(sorted(own.items())), None)
            if entry.get("state", "present") == "present":
                made[repr(sorted(own.items()))] = {**own, **_known(line, ("step", "playbook"))}
    return [told for told in made.values() if _in_crontab(cron, told, system)]


def _in_crontab(cron: Any, told: Dict[str, Any], system: System) -> bool:
    from ..resource import Refusal

    try:
        spec = cron.Spec(state="absent", **{key: told[key] for key in told if key not in ("step", "playbook")})
        return bool(cron.decide(spec, cron.observe(spec, system)))
    except (Refusal, TypeError, ValueError):
        return False


def _playbooks(system: System, resources: Sequence[str]) -> Dict[str, Dict[str, Any]]:
    """By target: the playbook of the last step that touched it, where it said one."""
    found: Dict[str, Dict[str, Any]] = {}
    for line in changes(system):
        if line.get("resource") in resources and line.get("playbook"):
            for action in line.get("actions") or []:
                found[str(action.get("target", ""))] = {"playbook": str(line["playbook"])}
    return found


def _known(line: Dict[str, Any], keys: Sequence[str]) -> Dict[str, Any]:
    return {key: str(line[key]) for key in keys if line.get(key)}


def _told(target: str, line: Dict[str, Any]) -> Dict[str, Any]:
    kept = {key: str(line.get(key, "")) for key in ("resource", "step", "run", "operator")}
    return {"path": target, **kept, "since": _seconds(str(line.get("time", "")))}


def _kind(path: str) -> str:
    """What is there, "" for nothing."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return ""
    for test, kind in ((stat.S_ISLNK, "link"), (stat.S_ISDIR, "directory"), (stat.S_ISREG, "file")):
        if test(mode):
            return kind
    return "other"


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
