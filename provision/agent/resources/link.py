"""A symbolic link that never replaces data.

Owns one link; what it points at, and real files or directories at its place, are never touched.
"""

from __future__ import annotations

import os
import stat
from typing import Any, Dict, List

from .. import mounts, trees
from ..record import record
from ..resource import Action, Emit, Refusal, Verb
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]

_DEADLINE = 10.0


@record(frozen=True)
class Spec:
    """Where the link is and what it points at.

    - link:
        path: /root/Image-to-Video/assets
        target: /data/shared-assets

    `parents`: directories above the link are made. `dangling`: the target need not exist.
    """

    path: str
    target: str = ""
    state: str = "present"
    parents: bool = False
    dangling: bool = False

    def __post_init__(self) -> None:
        if not self.path.startswith("/") or "\0" in self.path + self.target:
            raise ValueError("path %r is no absolute path" % self.path)
        if self.state not in ("present", "absent"):
            raise ValueError("state is one of present, absent")
        if self.state == "present" and not self.target:
            raise ValueError("`target` is missing")


@record(frozen=True)
class State:
    """`kind`: absent, link, file, directory or other; `points_at`: the link's text. `target`: there, missing or
    pending; `parent`: there, missing or pending. `holds`: what a real directory holds, in words.
    """

    kind: str
    points_at: str = ""
    target: str = "there"
    parent: str = "there"
    holds: str = ""


def observe(spec: Spec, system: System) -> State:
    """Look at the link's place, its directory and its target, the latter with a deadline."""
    path = _path(spec)
    found = system.lstat(path)
    target = "there" if spec.state == "absent" else _target(spec, system)
    if found is None:
        folder = os.path.dirname(path)
        parent = "there" if os.path.isdir(folder) else "pending" if folder in system.pending else "missing"
        return State("absent", target=target, parent=parent)
    if stat.S_ISLNK(found.st_mode):
        return State("link", system.readlink(path), target)
    if stat.S_ISDIR(found.st_mode):
        return State("directory", target=target, holds=trees.contents(path))
    return State("file" if stat.S_ISREG(found.st_mode) else "other", target=target)


def decide(spec: Spec, state: State) -> List[Action]:
    """Nothing, a new link, a link that points elsewhere, or its removal. Refusal where data is at its place."""
    path = _path(spec)
    if state.kind not in ("absent", "link"):
        raise _data_in_the_way(spec, state)
    if spec.state == "absent":
        return [Action(Verb.REMOVE, path, {"do": "unlink"}, _shown(state.points_at))] if state.kind == "link" else []
    if state.target == "missing" and not spec.dangling:
        raise Refusal(
            "cannot link `%s`" % spec.path,
            "`%s`, what it shall point at, does not exist" % spec.target,
            "create that first, or write `dangling: true` if it comes later",
        )
    arguments = {"do": "link", "to": spec.target, "parents": spec.parents}
    if state.kind == "link":
        same = state.points_at == spec.target
        return [] if same else [Action(Verb.CHANGE, path, arguments, _shown(state.points_at), _shown(spec.target))]
    if state.parent == "missing" and not spec.parents:
        raise Refusal(
            "cannot link `%s`" % spec.path,
            "its directory `%s` does not exist" % os.path.dirname(path),
            "create that first, or write `parents: true`",
        )
    return [Action(Verb.CREATE, path, arguments, after=_shown(spec.target))]


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Set or remove the link."""
    if action.arguments["do"] == "unlink":
        system.remove_link(action.target)
        return {}
    folder = os.path.dirname(action.target)
    if action.arguments["parents"] and system.lstat(folder) is None:
        system.mkdir(folder, 0o755, -1, -1, parents=True)
    system.link(action.target, action.arguments["to"])
    return {}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`path`, `target`, and whether the target is there; `dest`, `src` and `state` as Ansible's `file` has them."""
    path, target = _path(spec), spec.target or state.points_at
    found = {"path": path, "target": target, "target_exists": state.target == "there"}
    return {**found, "dest": path, "src": target, "state": state.kind}


def _data_in_the_way(spec: Spec, state: State) -> Refusal:
    nouns = {"file": "a file", "other": "a device, socket or pipe", "directory": "a directory with %s" % state.holds}
    verb = "remove the link" if spec.state == "absent" else "link"
    return Refusal(
        "cannot %s `%s`" % (verb, spec.path),
        "the path is %s; links never replace data" % nouns[state.kind],
        "move it to %s, or choose another path" % spec.target if spec.target else "choose another path",
    )


def _target(spec: Spec, system: System) -> str:
    path = os.path.normpath(os.path.join(os.path.dirname(_path(spec)), spec.target))
    if path in system.pending:
        return "pending"
    try:
        # A network mount that hangs must not take the worker with it.
        remote = mounts.on_network(path)
        exists = system.within(_DEADLINE, lambda: os.path.exists(path)) if remote else os.path.exists(path)
    except TimeoutError:
        raise Refusal(
            "cannot look at `%s`" % path,
            "no answer within %g s: its file system hangs" % _DEADLINE,
            "look at the mount and its server",
        ) from None
    return "there" if exists else "missing"


def _path(spec: Spec) -> str:
    return spec.path.rstrip("/")


def _shown(target: str) -> str:
    return "-> %s\n" % target
