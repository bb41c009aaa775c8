"""Whether the file system that a directory is meant to be on is mounted there.

Looks only: mounts nothing and makes nothing, so that no data lands on the disk below a mount that is missing.
"""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional

from .. import mounts
from ..record import record
from ..resource import Action, Emit, Refusal
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]

_MOUNT = "mount it first; nothing was made below it"


@record(frozen=True)
class Spec:
    """Where a file system is mounted, and which: its `type` and `source` as the kernel names them (findmnt(8)).

    - mounted:
        path: /data
        type: nfs4
        source: "storage:/export/data"

    `type: nfs` stands for all its versions. `writable`: whoever runs the step may make files there, which is asked
    without writing. A file system that does not answer within `timeout` seconds fails the step.
    """

    path: str
    type: Optional[str] = None
    source: Optional[str] = None
    writable: bool = True
    timeout: float = 10.0

    def __post_init__(self) -> None:
        if not self.path.startswith("/") or not self.path.strip("/") or "\0" in self.path:
            raise ValueError("path %r is no absolute path below /" % self.path)
        if self.timeout <= 0:
            raise ValueError("timeout is a number of seconds over 0")


@record(frozen=True)
class State:
    """`there`: missing, directory (not a mount), other or mounted; `silent`: no answer in time; `may`: by access(2)."""

    there: str
    type: str = ""
    source: str = ""
    read_only: bool = False
    may: bool = True
    silent: bool = False
    user: str = "root"


def observe(spec: Spec, system: System) -> State:
    """Look at the path in a child that can be given up, then at the kernel's table."""
    try:
        # the look comes first: it is what makes an automounter mount
        path, kind, may = system.within(spec.timeout, lambda: _look(spec.path))
    except TimeoutError:
        mount = mounts.mount_at(spec.path.rstrip("/"))
        return State("mounted", mount.kind, mount.source, silent=True) if mount else State("other", silent=True)
    mount = mounts.mount_at(path)
    if mount is None:
        return State(kind)
    return State("mounted", mount.kind, mount.source, mount.read_only, may, user=_user())


def decide(spec: Spec, state: State) -> List[Action]:
    """Never anything to do. Refusal for each thing that is not as it is meant to be."""
    if state.silent:
        raise Refusal(
            "`%s` does not answer" % spec.path,
            "no answer within %g s from %s" % (spec.timeout, _named(state.type, state.source)),
            "look at the mount and its server",
        )
    if state.there != "mounted":
        what = {"missing": "the path does not exist", "directory": "it is a plain directory of the disk above it"}
        raise Refusal(
            "nothing is mounted at `%s`" % spec.path, what.get(state.there, "the path is no directory"), _MOUNT
        )
    if not _is_type(spec.type, state.type) or not _is_source(spec.source, state.source):
        wanted = _named(spec.type or "", spec.source or "")
        raise Refusal(
            "another file system is mounted at `%s`" % spec.path,
            "it is %s, and %s is wanted" % (_named(state.type, state.source), wanted),
            "mount the right one, or correct what the task says",
        )
    if spec.writable and state.read_only:
        raise Refusal(
            "`%s` is mounted read-only" % spec.path,
            "%s is mounted without the right to write" % _named(state.type, state.source),
            "mount it with `rw`, or say `writable: false`",
        )
    if spec.writable and not state.may:
        squashed = state.user == "root" and state.type.startswith("nfs")
        raise Refusal(
            "`%s` may not write to `%s`" % (state.user, spec.path),
            "its server maps root to nobody (root_squash)" if squashed else "its mode and owner do not allow it",
            "use a user whom the server lets write (`become_user`), or say `writable: false`",
        )
    return []


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Nothing: there are no actions."""
    raise NotImplementedError(action.verb.word)


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`path`, `type` and `source` of what is mounted."""
    return {"path": spec.path, "type": state.type, "source": state.source}


def _look(path: str) -> Any:
    real = os.path.realpath(path)
    kind = "directory" if os.path.isdir(real + "/.") else "other" if os.path.lexists(real) else "missing"
    return real, kind, os.access(real, os.W_OK | os.X_OK)


def _is_type(wanted: Optional[str], found: str) -> bool:
    return wanted is None or wanted == found or (wanted == "nfs" and found in ("nfs3", "nfs4"))


def _is_source(wanted: Optional[str], found: str) -> bool:
    return wanted is None or (wanted.rstrip("/") or "/") == (found.rstrip("/") or "/")


def _named(kind: str, source: str) -> str:
    words = " ".join(["`%s`" % source] * bool(source) + ["of type %s" % kind] * bool(kind))
    return words or "a file system"


def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
