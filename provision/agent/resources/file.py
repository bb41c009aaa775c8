"""A file with its content, a directory, or their absence, with Ansible's meaning of `file` and `copy`.

Owns one path. Never replaces a directory by anything else, and never removes one that holds something unless the
operator wrote `delete_data: true`.
"""

from __future__ import annotations

import os
import stat
from typing import Any, Dict, List, Optional

from .. import modes, trees
from ..protocol import SHOWN_LIMIT
from ..record import record
from ..resource import Action, Emit, Refusal, Verb
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]

_STATES = ("file", "directory", "absent", "touch")


@record(frozen=True)
class Spec:
    """A path and what is to be there.

    - file:
        path: /data/outputs
        state: directory
        owner: root
        mode: "0775"

    Without `state`: a file where there is content, else what is there is kept. Content is given in `content` or, by
    its SHA-256, in `content_blob`. `follow`: a link at `path` stands for what it points at; by default not for
    content, which replaces the link, and else it does. `force: false` leaves a file's content that is there.
    """

    path: str
    state: Optional[str] = None
    mode: Optional[str] = None
    owner: Optional[str] = None
    group: Optional[str] = None
    content: Optional[str] = None
    content_blob: Optional[str] = None
    follow: Optional[bool] = None
    force: bool = True
    backup: bool = False
    delete_data: bool = False

    def __post_init__(self) -> None:
        if not self.path.startswith("/") or "\0" in self.path:
            raise ValueError("path %r is no absolute path" % self.path)
        if self.state is not None and self.state not in _STATES:
            hint = "; links are made by `link`" if self.state in ("link", "hard") else ""
            raise ValueError("state %r is none of %s%s" % (self.state, ", ".join(_STATES), hint))
        if self.content is not None and self.content_blob is not None:
            raise ValueError("content is given twice")
        if self.has_content and self.state not in (None, "file"):
            raise ValueError("content goes with a file, not with `state: %s`" % self.state)
        if self.mode is not None:
            modes.parse_mode(self.mode)

    @property
    def has_content(self) -> bool:
        return self.content is not None or self.content_blob is not None

    @property
    def follows(self) -> bool:
        return self.follow if self.follow is not None else not self.has_content


@record(frozen=True)
class State:
    """What is at `path` (the end of links that are followed).

    `kind`: absent, file, directory, link or other. `parent`: directory, pending, missing or other. `uid` and `gid` are
    those that are there, `owner_id` and `group_id` the wanted ones. `text` is None for what cannot be shown as text.
    `holds` says in words what a directory holds, "" where that does not matter or is nothing.
    """

    path: str
    kind: str = "absent"
    mode: int = 0
    uid: int = 0
    gid: int = 0
    size: int = 0
    sha256: str = ""
    text: Optional[str] = None
    parent: str = "directory"
    holds: str = ""
    owner_id: int = -1
    group_id: int = -1


def observe(spec: Spec, system: System) -> State:
    """Look at the path, and at its parent where something would be made. Refusal for an unknown owner or group."""
    path = os.path.realpath(spec.path) if spec.follows and os.path.islink(spec.path) else spec.path.rstrip("/") or "/"
    found = system.lstat(path)
    wanted: Dict[str, Any] = {"owner_id": _user(spec.owner, system), "group_id": _group(spec.group, system)}
    if found is None:
        return State(path, parent=_parent(path, system), **wanted)
    kind = _kind(found.st_mode)
    common: Dict[str, Any] = {
        "mode": stat.S_IMODE(found.st_mode),
        "uid": found.st_uid,
        "gid": found.st_gid,
        "size": found.st_size,
        **wanted,
    }
    if kind == "directory":
        holds = trees.contents(path) if spec.state == "absent" or spec.has_content or spec.state == "file" else ""
        return State(path, kind, holds="" if holds == "nothing" else holds, **common)
    if kind != "file" or not (spec.has_content or spec.state == "absent"):
        return State(path, kind, **common)
    return State(path, kind, sha256=system.sha256(path), text=_text(path, found.st_size, system), **common)


def decide(spec: Spec, state: State) -> List[Action]:
    """Nothing, or what makes the path right. Refusal where data would be lost or the parent is missing."""
    wanted = spec.state or ("file" if spec.has_content else None)
    if wanted == "absent":
        return _absent(spec, state)
    if state.kind == "absent" and wanted != "directory":
        _refuse_missing_parent(state)
    if wanted == "directory":
        return _directory(spec, state)
    if spec.has_content:
        return _content(spec, state)
    if wanted == "touch":
        return [Action(Verb.TOUCH, state.path, {"do": "touch", **_attributes(spec, state, 0o644)})]
    if state.kind == "absent":
        raise Refusal(
            "`%s` does not exist" % spec.path, "the task sets only its attributes", "give it `content` or a `state`"
        )
    if wanted == "file" and state.kind != "file":
        raise _is_something_else(spec, state, "a file")
    return _attribute_actions(spec, state)


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Do the one thing that the action says."""
    arguments, path = action.arguments, action.target
    if arguments["do"] == "write":
        return _write(path, arguments, system)
    if arguments["do"] == "mkdir":
        system.mkdir(path, arguments["mode"], arguments["uid"], arguments["gid"], parents=True)
    elif arguments["do"] == "touch":
        _touch(path, arguments, system)
    elif arguments["do"] == "rmtree":
        trees.remove(path)
    elif arguments["do"] == "rmdir":
        os.rmdir(path)
    elif arguments["do"] == "unlink":
        system.unlink(path)
    else:
        _set_attributes(path, arguments, system)
    return {}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`path`, `dest`, `state`, `mode`, `uid`, `gid`, `size` and for a file with content its `sha256`."""
    found: Dict[str, Any] = {"path": state.path, "dest": state.path, "state": state.kind}
    if state.kind != "absent":
        found.update(mode="0%o" % state.mode, uid=state.uid, gid=state.gid, size=state.size)
    return {**found, "sha256": state.sha256} if state.sha256 else found


def _absent(spec: Spec, state: State) -> List[Action]:
    if state.kind == "absent":
        return []
    if state.kind != "directory":
        return [Action(Verb.REMOVE, state.path, {"do": "unlink"}, before=_shown(state))]
    if state.path == "/":
        raise Refusal("cannot remove `/`", "it is the root of the file system", "name what is to go")
    if not state.holds:
        return [Action(Verb.REMOVE, state.path, {"do": "rmdir"}, before="an empty directory\n")]
    if not spec.delete_data:
        raise Refusal(
            "cannot remove `%s`" % state.path,
            "the directory holds %s" % state.holds,
            "move them away, or write `delete_data: true` to delete them",
        )
    return [Action(Verb.REMOVE, state.path, {"do": "rmtree"}, before="a directory with %s\n" % state.holds)]


def _directory(spec: Spec, state: State) -> List[Action]:
    if state.kind not in ("absent", "directory"):
        raise _is_something_else(spec, state, "a directory")
    if state.kind == "directory":
        return _attribute_actions(spec, state)
    if state.parent == "other":
        _refuse_missing_parent(state)
    attributes = _attributes(spec, state, 0o755)
    return [
        Action(
            Verb.CREATE, state.path, {"do": "mkdir", **attributes}, after="a directory, mode 0%o\n" % attributes["mode"]
        )
    ]


def _content(spec: Spec, state: State) -> List[Action]:
    if state.kind in ("directory", "other"):
        raise _is_something_else(spec, state, "a file")
    same = state.kind == "file" and (state.sha256 == _wanted_hash(spec) or not spec.force)
    if same:
        return _attribute_actions(spec, state)
    verb = Verb.CREATE if state.kind == "absent" else Verb.CHANGE
    fresh = State(state.path, owner_id=state.owner_id, group_id=state.group_id)
    attributes = _attributes(spec, state if state.kind == "file" else fresh, 0o644)
    arguments = {"do": "write", "content": spec.content, "blob": spec.content_blob, **attributes}
    arguments["backup"] = spec.backup and state.kind == "file"
    before = _shown(state) if state.kind != "absent" else None
    return [Action(verb, state.path, arguments, before, _shown_wanted(spec))]


def _attribute_actions(spec: Spec, state: State) -> List[Action]:
    wanted = _attributes(spec, state, state.mode)
    pairs = [("mode", "0%o" % state.mode, "0%o" % wanted["mode"], wanted["mode"] != state.mode)]
    for word, now, then in (("owner", state.uid, wanted["uid"]), ("group", state.gid, wanted["gid"])):
        pairs.append((word, str(now), str(then), then not in (-1, now)))
    changed = [pair for pair in pairs if pair[3]]
    if not changed:
        return []
    before = "".join("%s: %s\n" % (word, now) for word, now, _, _ in changed)
    after = "".join("%s: %s\n" % (word, then) for word, _, then, _ in changed)
    return [Action(Verb.CHANGE, state.path, {"do": "attributes", **wanted}, before, after)]


def _attributes(spec: Spec, state: State, default: int) -> Dict[str, Any]:
    there = state.kind in ("file", "directory", "other")
    base = state.mode if there else default
    directory = state.kind == "directory" or spec.state == "directory"
    mode = base if spec.mode is None else modes.parse_mode(spec.mode, base, directory)
    uid = state.owner_id if state.owner_id != -1 or not there else state.uid
    gid = state.group_id if state.group_id != -1 or not there else state.gid
    return {"mode": mode, "uid": uid, "gid": gid}


def _write(path: str, arguments: Dict[str, Any], system: System) -> Dict[str, Any]:
    data = system.read(system.blob(arguments["blob"])) if arguments["blob"] else arguments["content"].encode("utf-8")
    found: Dict[str, Any] = {}
    if arguments["backup"]:
        import time

        found["backup_file"] = "%s.%d.%s~" % (path, os.getpid(), time.strftime("%Y-%m-%d@%H:%M:%S"))
        before = os.lstat(path)
        kept = stat.S_IMODE(before.st_mode)
        system.write(found["backup_file"], system.read(path), mode=kept, uid=before.st_uid, gid=before.st_gid)
    system.write(path, data, mode=arguments["mode"], uid=arguments["uid"], gid=arguments["gid"])
    return found


def _touch(path: str, arguments: Dict[str, Any], system: System) -> None:
    if system.lstat(path) is None:
        system.write(path, b"", mode=arguments["mode"], uid=arguments["uid"], gid=arguments["gid"])
    else:
        _set_attributes(path, arguments, system)
        os.utime(path)


def _set_attributes(path: str, arguments: Dict[str, Any], system: System) -> None:
    """Owner first: changing it clears set-user-id bits."""
    if arguments["uid"] != -1 or arguments["gid"] != -1:
        system.chown(path, arguments["uid"], arguments["gid"])
    system.chmod(path, arguments["mode"])


def _refuse_missing_parent(state: State) -> None:
    folder = os.path.dirname(state.path)
    if state.parent == "missing":
        raise Refusal(
            "cannot make `%s`" % state.path,
            "its directory `%s` does not exist" % folder,
            "create that first: `file` with `state: directory`",
        )
    if state.parent == "other":
        raise Refusal("cannot make `%s`" % state.path, "`%s` is no directory" % folder, "choose another path")


def _is_something_else(spec: Spec, state: State, wanted: str) -> Refusal:
    there = "a directory with %s" % state.holds if state.holds else _noun(state.kind)
    return Refusal(
        "cannot make `%s` %s" % (spec.path, wanted),
        "there is %s" % there,
        "move it away, or choose another path",
    )


def _noun(kind: str) -> str:
    nouns = {"file": "a file", "directory": "an empty directory", "link": "a link", "other": "a device, socket or pipe"}
    return nouns[kind]


def _kind(mode: int) -> str:
    for test, kind in ((stat.S_ISREG, "file"), (stat.S_ISDIR, "directory"), (stat.S_ISLNK, "link")):
        if test(mode):
            return kind
    return "other"


def _parent(path: str, system: System) -> str:
    folder = os.path.dirname(path)
    if os.path.isdir(folder):
        return "directory"
    if folder in system.pending:
        return "pending"
    return "other" if os.path.lexists(folder) else "missing"


def _user(name: Optional[str], system: System) -> int:
    if name is None or "user %s" % name in system.pending:
        return -1
    return int(name) if name.isdigit() else system.user_id(name)


def _group(name: Optional[str], system: System) -> int:
    if name is None or "group %s" % name in system.pending or "user %s" % name in system.pending:
        return -1
    return int(name) if name.isdigit() else system.group_id(name)


def _wanted_hash(spec: Spec) -> str:
    import hashlib

    return spec.content_blob or hashlib.sha256((spec.content or "").encode("utf-8")).hexdigest()


def _text(path: str, size: int, system: System) -> Optional[str]:
    if size > SHOWN_LIMIT:
        return None
    data = system.read(path)
    try:
        return None if b"\0" in data else data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _shown(state: State) -> str:
    if state.kind == "link":
        return "a link\n"
    if state.kind == "other":
        return "a device, socket or pipe\n"
    return state.text if state.text is not None else "%d bytes, SHA-256 %s\n" % (state.size, state.sha256)


def _shown_wanted(spec: Spec) -> str:
    if spec.content is not None and len(spec.content) <= SHOWN_LIMIT and "\0" not in spec.content:
        return spec.content
    size = "" if spec.content is None else "%d bytes, " % len(spec.content.encode("utf-8"))
    return "%sSHA-256 %s\n" % (size, _wanted_hash(spec))
