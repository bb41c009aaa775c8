"""Looks at one environment: which lock serves, whether its files and packages are the lock's, what nobody owns.

What people added around it, to base and to their own `~/.local`, is in pollution.py.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

from .. import generations, inspection, records, seal
from ..generations import Generation
from ..system import System
from . import pollution, traces
from .finding import Finding, failed, ok

if TYPE_CHECKING:
    from ..resources.verify_environment import Spec

__all__ = ["APPLY", "intact", "look"]

APPLY = "provision apply"
"""The mend that stands for applying the playbook to this host."""
_INTACT = "verify: intact "


def look(spec: Spec, system: System) -> List[Finding]:
    """Every finding of the environment, of its users, and with `base` of its root's base."""
    link = generations.link_path(spec.root, spec.name)
    current = generations.current(system, spec.root, spec.name)
    if current is not None:
        found = _generation(spec, system, current)
    elif os.path.isdir(link) and not os.path.islink(link):
        found = _directory(spec, system, link)
    else:
        return [_absent(spec, link)]
    if all(one["status"] == "ok" for one in found):
        system.notes[_INTACT + (current.path if current else link)] = True
    found += pollution.user_packages(system, spec.users, current.path if current else link)
    return found + (pollution.base(system, spec.root) if spec.base else [])


def intact(system: System, path: str) -> bool:
    """Whether this run looked at a prefix and found nothing that differs."""
    return bool(system.notes.get(_INTACT + path))


def _absent(spec: Spec, link: str) -> Finding:
    if os.path.islink(link):
        target = os.readlink(link)
        since = os.lstat(link).st_mtime
        summary = "`%s` leads to `%s`, which is none of its generations" % (link, target)
        return failed("environments.lock", summary, spec.name, APPLY, since, target=target)
    there = "is a file" if os.path.lexists(link) else "is not there"
    return failed("environments.lock", "`%s` %s" % (link, there), spec.name, APPLY)


def _generation(spec: Spec, system: System, current: Generation) -> List[Finding]:
    if not generations.seal_of(system, current.path):
        summary = "`%s` has no seal: its build did not end, or it was removed" % current.path
        return [failed("environments.lock", summary, spec.name, APPLY)]
    if current.lock != spec.lock:
        return [_other_lock(spec, system, current)]
    drift, unowned = seal.differences(system, current.path, "hashes" if spec.deep else "seal")
    return [
        ok("environments.lock", "lock %s serves" % spec.lock[:12], spec.name, lock=spec.lock[:12]),
        *_packages(spec, system, current.path, bool(drift or unowned)),
        *_files(spec, system, current.path, drift),
        *_unowned(spec, current.path, unowned),
    ]


def _other_lock(spec: Spec, system: System, current: Generation) -> Finding:
    since = generations.served_at(system, current) / 1e9 or None
    detail = {"serves": current.lock[:12], "wanted": spec.lock[:12]}
    flipped = traces.journal(system, lambda line: line.get("lock") == current.lock)
    if spec.lock in generations.held(system, spec.root, spec.name):
        summary = "it was rolled back: lock %s serves, the playbook's is %s" % (current.lock[:12], spec.lock[:12])
        mend = "lock it again, or `provision apply --forward`"
        return failed("environments.lock", summary, spec.name, mend, since, by=flipped, **detail)
    summary = "lock %s serves, the playbook's is %s" % (current.lock[:12], spec.lock[:12])
    return failed("environments.lock", summary, spec.name, APPLY, since, by=flipped, **detail)


def _packages(spec: Spec, system: System, path: str, drifted: bool) -> List[Finding]:
    """conda's and pip's packages against the lock. What the seal holds needs no second look, unless it is deep."""
    check = "environments.packages"
    if spec.listing_blob is None or not (drifted or spec.deep):
        return [ok(check, "packages are the lock's", spec.name)]
    locked = json.loads(system.read(system.blob(spec.listing_blob)))
    there = records.installed(system, path)
    return _different(spec, path, inspection.differences(locked, there) + _versions(locked, there))


def _different(spec: Spec, path: str, lines: List[str]) -> List[Finding]:
    check = "environments.packages"
    if not lines:
        return [ok(check, "packages are the lock's", spec.name)]
    noted = [name for name in (_note_of(path, line) for line in lines) if name]
    since, by = traces.of_files(path, noted or ["conda-meta"])
    summary = "packages are not the lock's: %s" % _some(lines)
    return [failed(check, summary, spec.name, APPLY, since, packages=lines, by=by)]


def _note_of(path: str, line: str) -> Optional[str]:
    """Where a package that was added or exchanged is noted: the file or folder whose time says when."""
    kind, _, rest = line.partition(": ")
    if kind == "missing":
        return None
    name = rest.split(" ")[0]
    site = records.site_packages(path)
    stems = (entry for entry in os.listdir(site) if entry.endswith(".dist-info")) if site else iter(())
    match = next((entry for entry in stems if _same(entry.partition("-")[0], name)), None)
    if site and match:
        return os.path.relpath(os.path.join(site, match), path)
    return "conda-meta/%s.json" % rest.replace(" ", "-")


def _same(one: str, other: str) -> bool:
    return records.normalized(one) == records.normalized(other)


def _versions(locked: List[Dict[str, Any]], there: List[Tuple[str, str, str, str]]) -> List[str]:
    """pip's packages of another version than the lock's. `1.0` and `1.0.0` are one version."""
    wanted = {records.normalized(p["name"]): str(p["version"]) for p in locked if p["kind"] == "pip"}
    pairs = [(name, version) for kind, name, version, _ in there if kind == "pip" and name in wanted]
    return [
        "another version: %s %s (locked is %s)" % (name, version, wanted[name])
        for name, version in pairs
        if _plain(version) != _plain(wanted[name])
    ]


def _plain(version: str) -> List[str]:
    parts = version.lower().replace("-", ".").replace("_", ".").split(".")
    while parts and parts[-1] == "0":
        parts.pop()
    return parts


def _files(spec: Spec, system: System, path: str, drift: List[str]) -> List[Finding]:
    if not drift:
        what = "every file has its package's checksum" if spec.deep else "no file was added, removed or replaced"
        return [ok("environments.files", what, spec.name)]
    since, by = traces.of_files(path, _names(drift))
    built = traces.journal(system, lambda line: line.get("lock") == spec.lock)
    summary = "files are not as they were built: %s" % _some(drift)
    detail = {"files": drift, "by": by, "prefix": path, "built": built}
    return [failed("environments.files", summary, spec.name, APPLY, since, **detail)]


def _unowned(spec: Spec, path: str, unowned: List[str]) -> List[Finding]:
    if not unowned:
        return [ok("environments.unowned", "nothing is there that no package owns", spec.name)]
    since, by = traces.of_files(path, _names(unowned))
    summary = "something was put into it: %s" % _some(unowned)
    mend = "lock it with what is needed, and remove the rest by hand"
    return [failed("environments.unowned", summary, spec.name, mend, since, files=unowned, by=by, prefix=path)]


def _directory(spec: Spec, system: System, path: str) -> List[Finding]:
    """A real directory, which `conda_env` accepts where its packages are the lock's."""
    if spec.listing_blob is None:
        return [failed("environments.lock", "`%s` is no generation" % path, spec.name, APPLY)]
    locked = json.loads(system.read(system.blob(spec.listing_blob)))
    there = records.installed(system, path)
    found = _different(spec, path, inspection.differences(locked, there) + _versions(locked, there))
    if found[0]["status"] != "ok":
        return found
    lock = ok("environments.lock", "a directory that holds the lock's packages; no generation", spec.name)
    wrong, unowned = _against_records(system, path, spec.deep)
    return [lock, *found, *_files(spec, system, path, wrong), *_unowned(spec, path, unowned)]


def _against_records(system: System, path: str, deep: bool) -> Tuple[List[str], List[str]]:
    """What is missing or damaged by the packages' own records; and, where it is deep, what none of them names."""
    sums = records.checksums(system, path)
    conda = records.conda_records(system, path)
    names = {entry["_path"] for record in conda for entry in record.get("paths_data", {}).get("paths", ())}
    wrong = [
        "missing: %s" % name for name in sorted(names | set(sums)) if not os.path.lexists(os.path.join(path, name))
    ]
    if not deep:
        return wrong, []
    lost = {line.partition(": ")[2] for line in wrong}
    for name, wanted in sums.items():
        if name not in lost and system.sha256(os.path.join(path, name)) != wanted:
            wrong.append("damaged: %s" % name)
    return wrong, _owned_by_none(path, names | set(sums), _folders_of_pip(path, conda))


def _owned_by_none(path: str, owned: Any, notes: List[str]) -> List[str]:
    """Files below `lib` and `bin` that no record names; what pip notes of a package is the package's."""
    found = []
    for top in ("bin", "lib"):
        for folder, folders, files in os.walk(os.path.join(path, top)):
            folders[:] = [name for name in folders if name != "__pycache__"]
            for name in files:
                relative = os.path.relpath(os.path.join(folder, name), path)
                if relative not in owned and os.path.dirname(relative) not in notes and not name.endswith(".pyc"):
                    found.append("added: %s" % relative)
    return sorted(found)


def _folders_of_pip(path: str, conda: List[Dict[str, Any]]) -> List[str]:
    return [os.path.relpath(folder, path) for _, _, folder in records.pip_folders(path, conda)]


def _names(lines: List[str]) -> List[str]:
    return [line.partition(": ")[2] for line in lines if ": " in line]


def _some(lines: List[str]) -> str:
    words = [line.partition(": ") for line in lines[:3]]
    told = ", ".join("%s `%s`" % (kind, name) if name else kind for kind, _, name in words)
    return told + (" and %d more" % (len(lines) - 3) if len(lines) > 3 else "")
