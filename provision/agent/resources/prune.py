"""Takes away what provision made and no play names any more, and only that: data and what people changed stay.

A file goes only with the content that provision wrote last, a directory only when nothing is in it. What an app or an
environment consists of is the matter of `app` and `conda_env`, whose `absent` this asks for.
"""

from __future__ import annotations

import os
import stat
from dataclasses import field
from typing import Any, Dict, List, Tuple

from .. import app_view
from ..record import record
from ..resource import Action, Emit, Refusal, Verb
from ..system import System
from . import app, conda_env, cron

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]


@record(frozen=True)
class Spec:
    """What is to go: `files` with the SHA-256 of what was written, "" where that is not known; `environments` as
    ROOT/envs/NAME; lines of crontabs as options of `cron`.

        prune:
          files: {/etc/old.conf: 9b74c9897bac770ffc029102a200c5de5d1a3a1ae8b0c4d0c3c1a3b9d1f0e2a4}
          directories: [/etc/old]
          apps: [old-app]
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    files: Dict[str, str] = field(default_factory=dict)
    links: List[str] = field(default_factory=list)
    directories: List[str] = field(default_factory=list)
    apps: List[str] = field(default_factory=list)
    environments: List[str] = field(default_factory=list)
    crontab: List[Dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for path in (*self.files, *self.links, *self.directories, *self.environments):
            if not path.startswith("/") or "\0" in path or os.path.normpath(path) != path or path == "/":
                raise ValueError("%r is no plain absolute path" % path)
        for path in self.environments:
            if os.path.basename(os.path.dirname(path)) != "envs":
                raise ValueError("%r is no place of an environment" % path)


@record(frozen=True)
class State:
    """Paths that may go, by kind, with parts of `app`, `conda_env` and `cron`; `kept` says what stays, and why."""

    going: List[Tuple[str, str]] = field(default_factory=list)
    parts: List[Tuple[str, Any, Any]] = field(default_factory=list)
    kept: List[str] = field(default_factory=list)


_PARTS: Dict[str, Any] = {"app": app, "conda_env": conda_env, "cron": cron}


def observe(spec: Spec, system: System) -> State:
    """Look at each; nothing is followed that is a link."""
    going: List[Tuple[str, str]] = []
    kept: List[str] = []
    for path, digest in spec.files.items():
        _sort(path, "file", _file_stays(path, digest, system), going, kept)
    for path in spec.links:
        _sort(path, "link", "" if os.path.islink(path) else "it is no link any more", going, kept)
    leaving = {path for _, path in going}
    for path in sorted(spec.directories, key=lambda each: (-each.count("/"), each)):
        why = _directory_stays(path, leaving)
        _sort(path, "directory", why, going, kept)
        leaving |= set() if why else {path}
    parts: List[Tuple[str, Any, Any]] = []
    parts += [("app", each, app.observe(each, system)) for each in _apps(spec, system)]
    parts += [("conda_env", each, conda_env.observe(each, system)) for each in _environments(spec)]
    parts += [("cron", each, cron.observe(each, system)) for each in _entries(spec)]
    return State(going, parts, kept)


def decide(spec: Spec, state: State) -> List[Action]:
    """Apps first, then what they ran in, then files, links, and directories from the inside out."""
    found: List[Action] = []
    for kind, each, there in state.parts:
        for action in _PARTS[kind].decide(each, there):
            arguments = {"do": kind, "action": action}
            found.append(Action(action.verb, action.target, arguments, None, None, action.must_finish))
    found += [Action(Verb.REMOVE, path, {"do": kind}) for kind, path in state.going]
    return found


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """One action of an app, an environment or a crontab, or one path."""
    kind = action.arguments["do"]
    if kind in _PARTS:
        _PARTS[kind].apply(action.arguments["action"], system, emit)
    elif kind == "directory":
        os.rmdir(action.target)
    else:
        system.unlink(action.target)
    return {}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`kept`: what stays, a line each, with why."""
    return {"kept": state.kept}


def _sort(path: str, kind: str, why: str, going: List[Tuple[str, str]], kept: List[str]) -> None:
    if not os.path.lexists(path):
        return
    if why:
        kept.append("%s: %s" % (path, why))
    else:
        going.append((kind, path))


def _file_stays(path: str, digest: str, system: System) -> str:
    found = system.lstat(path)
    if found is None:
        return ""
    if not stat.S_ISREG(found.st_mode):
        return "it is no file any more"
    if not digest:
        return "it is not known what was written there"
    return "" if system.sha256(path) == digest else "somebody changed its content since"


def _directory_stays(path: str, leaving: set[str]) -> str:
    if os.path.islink(path) or not os.path.isdir(path):
        return "it is no directory any more"
    if os.path.ismount(path):
        return "something is mounted there"
    left = [name for name in os.listdir(path) if os.path.join(path, name) not in leaving]
    return "it is not empty: there is `%s`" % sorted(left)[0] if left else ""


def _apps(spec: Spec, system: System) -> List[app.Spec]:
    from .offboard import script_directory

    units = app_view.installed(system)
    return [
        app.Spec(name=name, state="absent", script_directory=script_directory(system, name, units[name]))
        for name in spec.apps
        if name in units
    ]


def _environments(spec: Spec) -> List[conda_env.Spec]:
    found = [(os.path.basename(path), os.path.dirname(os.path.dirname(path))) for path in spec.environments]
    return [conda_env.Spec(name=name, root=root, state="absent") for name, root in found]


def _entries(spec: Spec) -> List[cron.Spec]:
    try:
        return [cron.Spec(state="absent", **entry) for entry in spec.crontab]
    except TypeError as error:
        raise Refusal("a line of a crontab cannot be understood", str(error)) from None
