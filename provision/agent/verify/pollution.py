"""What people installed around the environments: into base, and into their own `~/.local`."""

from __future__ import annotations

import os
from typing import Dict, List, NamedTuple

from .. import records
from ..system import System
from .finding import Finding, failed, ok, skipped, warning
from .traces import user_name

__all__ = ["Added", "base", "user_packages"]


class Added(NamedTuple):
    """Something that was installed: its name and version, when (seconds since the epoch), and whose it is."""

    name: str
    time: float
    by: str


def base(system: System, root: str) -> List[Finding]:
    """What was added to the base environment since it was frozen, with the time."""
    frozen = system.lstat(os.path.join(root, "conda-meta", "frozen"))
    if frozen is None:
        return [skipped("environments.base", "base of `%s` is not frozen by provision" % root, root)]
    added = sorted(_added(root, frozen.st_mtime), key=lambda one: one.time)
    if not added:
        return [ok("environments.base", "nothing was added to base", root)]
    names = [one.name for one in added]
    summary = "base was added to: %s" % ", ".join("`%s`" % name for name in names[:5])
    summary += " and %d more" % (len(names) - 5) if len(names) > 5 else ""
    mend = _taken_out(root, [one.name.split(" ")[0] for one in added])
    told = ["%s, by %s" % (one.name, one.by) for one in added]
    return [failed("environments.base", summary, root, mend, added[0].time, added=told)]


def user_packages(system: System, users: List[str], prefix: str) -> List[Finding]:
    """Packages in the `~/.local` of users of an environment; those that shadow the environment's break the rung."""
    own = records.site_packages(prefix)
    if own is None:
        return []
    version = os.path.basename(os.path.dirname(own))
    found = []
    for user in dict.fromkeys(users):
        folder = _user_site(system, user, version)
        if folder and os.path.isdir(folder):
            found += _judged(user, folder, own)
    return found or ([ok("environments.user_packages", "no user has packages of their own")] if users else [])


def _judged(user: str, folder: str, own: str) -> List[Finding]:
    modules, known = _modules(folder), _modules(own)
    shadowing = sorted(name for name in modules if name in known)
    packages = sorted(name[: -len(".dist-info")] for name in _names(folder) if name.endswith(".dist-info"))
    if not modules and not packages:
        return []
    since = min((os.lstat(os.path.join(folder, name)).st_ctime for name in _names(folder)), default=None)
    mend = "as `%s`: `python -m pip uninstall ...`, or move `%s` away" % (user, folder)
    detail = {"folder": folder, "packages": packages, "shadowing": shadowing}
    check = "environments.user_packages"
    if shadowing:
        summary = "packages of `%s` shadow the environment's: %s" % (user, _some(shadowing))
        return [failed(check, summary, user, mend, since, **detail)]
    summary = "`%s` has packages in `~/.local`: %s" % (user, _some(packages or sorted(modules)))
    return [warning(check, summary, user, mend, since, **detail)]


def _modules(folder: str) -> Dict[str, str]:
    """What can be imported from a folder: name to the entry that gives it."""
    found = {}
    for entry in _names(folder):
        stem = entry.partition(".")[0]
        importable = entry.endswith((".py", ".so")) or "." not in entry
        if importable and stem.isidentifier() and not entry.startswith("__"):
            found[stem] = entry
    return found


def _user_site(system: System, user: str, version: str) -> str:
    from ..resource import Refusal

    try:
        return os.path.join(system.user_home(user), ".local", "lib", version, "site-packages")
    except Refusal:
        return ""  # who is not there has no packages


def _added(root: str, since: float) -> List[Added]:
    """conda's records and pip's folders that are newer than the freeze."""
    found = []
    meta = os.path.join(root, "conda-meta")
    for name in _names(meta):
        if name.endswith(".json"):
            found += _newer(os.path.join(meta, name), name[: -len(".json")], since)
    site = records.site_packages(root)
    for name in _names(site) if site else []:
        if name.endswith((".dist-info", ".egg-info")):
            words = name.rpartition(".")[0].rpartition("-")
            found += _newer(os.path.join(str(site), name), "%s %s" % (words[0] or words[2], words[2]), since)
    return found


def _newer(path: str, name: str, since: float) -> List[Added]:
    try:
        status = os.lstat(path)
    except OSError:
        return []
    if status.st_mtime <= since:
        return []
    return [Added(name, status.st_mtime, user_name(status.st_uid))]


def _taken_out(root: str, names: List[str]) -> str:
    python = os.path.join(root, "bin", "python")
    if os.path.exists(python):
        words = "`%s -m pip uninstall %s` or `conda remove`" % (python, " ".join(names))
    else:
        words = "remove it from `%s`, where no python of base uses it" % (records.site_packages(root) or root)
    return words + "; work in an environment of your own"


def _some(names: List[str]) -> str:
    return ", ".join("`%s`" % name for name in names[:5]) + (
        " and %d more" % (len(names) - 5) if len(names) > 5 else ""
    )


def _names(folder: str) -> List[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
