"""A file with its content, a directory, or their absence, with Ansible's meaning of `file` and `copy`.

Owns one path. Never replaces a directory by anything else, and never removes one that holds something unless the
operator wrote `delete_data: true`.
"""

from __future__ import annotations

import os
import stat
from dataclasses import field
from typing import Any, Dict, List, Optional, Tuple

from .. import attributes, edited, file_times, files, modes, trees
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
    `validate`: a command that must succeed for the new content, in a file of its own that `%s` stands for. `recurse`:
    all that is below a directory, links left out, gets owner, group and mode too. The times are `now`, `preserve` or in
    the form that `access_time_format` and `modification_time_format` state; `touch` without them sets them to now.
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
    validate: Optional[str] = None
    recurse: bool = False
    access_time: Optional[str] = None
    access_time_format: str = file_times.FORMAT
    modification_time: Optional[str] = None
    modification_time_format: str = file_times.FORMAT

    def __post_init__(self) -> None:
        if not self.path.startswith("/") or "\0" in self.path:
            raise ValueError("path %r is no absolute path" % self.path)
        if self.state is not None and self.state not in _STATES:
            hint = {
                "link": "; links are made by `link`",
                "hard": "; a hard link is made by `command: ln`, with `creates`",
            }.get(self.state, "")
            raise ValueError("state %r is none of %s%s" % (self.state, ", ".join(_STATES), hint))
        if self.content is not None and self.content_blob is not None:
            raise ValueError("content is given twice")
        if self.has_content and self.state not in (None, "file"):
            raise ValueError("content goes with a file, not with `state: %s`" % self.state)
        if self.recurse and self.state != "directory":
            raise ValueError("`recurse` goes with `state: directory` only")
        attributes.check(self.mode)
        edited.check_validate(self.validate)
        file_times.check(self.access_time, self.access_time_format)
        file_times.check(self.modification_time, self.modification_time_format)

    @property
    def times(self) -> List[Any]:
        """What is asked for of the times of access and modification: a number of seconds, `now`, or None to keep."""
        given = ((self.access_time, self.access_time_format), (self.modification_time, self.modification_time_format))
        default = "now" if self.state == "touch" else None
        return [file_times.wanted(text, form, default) for text, form in given]

    @property
    def has_content(self) -> bool:
        return self.content is not None or self.content_blob is not None

    @property
    def follows(self) -> bool:
        if self.state == "absent":
            return False  # a link is taken away, never what it points at
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
    times: List[float] = field(default_factory=list)
    mark: Optional[Tuple[int, ...]] = None
    """Of what is there: only that may be replaced or removed. None where nobody looked."""
    below: Dict[str, List[int]] = field(default_factory=dict)
    """With `recurse`: mode, uid, gid and whether it is a directory, by path."""


def observe(spec: Spec, system: System) -> State:
    """Look at the path, and at its parent where something would be made. Refusal for an unknown owner or group."""
    path = os.path.realpath(spec.path) if spec.follows and os.path.islink(spec.path) else spec.path.rstrip("/") or "/"
    found = system.lstat(path)
    wanted: Dict[str, Any] = {"owner_id": _user(spec.owner, system), "group_id": _group(spec.group, system)}
    if found is None:
        return State(path, parent=_parent(path, system), mark=files.NOTHING, **wanted)
    kind = _kind(found.st_mode)
    common: Dict[str, Any] = {
        "mode": stat.S_IMODE(found.st_mode),
        "uid": found.st_uid,
        "gid": found.st_gid,
        "size": found.st_size,
        "times": [found.st_atime, found.st_mtime],
        "mark": files.mark_of(found),
        **wanted,
    }
    if kind == "directory":
        holds = trees.contents(path) if spec.state == "absent" or spec.has_content or spec.state == "file" else ""
        below = trees.below(path) if spec.recurse else {}
        return State(path, kind, holds="" if holds == "nothing" else holds, below=below, **common)
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
        return _touched(spec, state)
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
        owner = {"mode": arguments["mode"], "uid": arguments["uid"], "gid": arguments["gid"]}
        system.write(path, b"", was=files.NOTHING, **owner)
        file_times.set_on(path, arguments["times"])
    elif arguments["do"] == "times":
        file_times.set_on(path, arguments["times"])
    elif arguments["do"] == "rmtree":
        trees.remove(path)
    elif arguments["do"] == "rmdir":
        system.rmdir(path)
    elif arguments["do"] == "unlink":
        system.unlink(path, arguments["was"])
    else:
        attributes.set_on(path, arguments, system)
    return {}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`path`, `dest`, `state`, `mode`, `uid`, `gid`, their names, `size`; of content `sha256` and, of short text, the
    SHA-1 that Ansible calls `checksum`."""
    found: Dict[str, Any] = {"path": state.path, "dest": state.path, "state": state.kind}
    if state.kind != "absent":
        found.update(mode="0%03o" % state.mode, uid=state.uid, gid=state.gid, size=state.size)
        found.update(attributes.names(state.uid, state.gid))
    if state.text is not None:
        import hashlib

        found["checksum"] = hashlib.sha1(state.text.encode("utf-8", "surrogateescape")).hexdigest()  # noqa: S324
    return {**found, "sha256": state.sha256} if state.sha256 else found


def _absent(spec: Spec, state: State) -> List[Action]:
    if state.kind == "absent":
        return []
    if state.kind != "directory":
        return [Action(Verb.REMOVE, state.path, {"do": "unlink", "was": state.mark}, before=_shown(state))]
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
        return [*_attribute_actions(spec, state), *_below(spec, state)]
    if state.parent == "other":
        _refuse_missing_parent(state)
    wanted = _attributes(spec, state, 0o755)
    after = "a directory, mode 0%o\n" % wanted["mode"]
    found = [Action(Verb.CREATE, state.path, {"do": "mkdir", **wanted}, after=after)]
    if any(one is not None for one in spec.times):
        found.append(Action(Verb.TOUCH, state.path, {"do": "times", "times": spec.times}))
    return found


def _content(spec: Spec, state: State) -> List[Action]:
    if state.kind in ("directory", "other"):
        raise _is_something_else(spec, state, "a file")
    same = state.kind == "file" and (state.sha256 == _wanted_hash(spec) or not spec.force)
    if same:
        return _attribute_actions(spec, state)
    verb = Verb.CREATE if state.kind == "absent" else Verb.CHANGE
    fresh = State(state.path, owner_id=state.owner_id, group_id=state.group_id)
    attributes = _attributes(spec, state if state.kind == "file" else fresh, 0o644)
    arguments = {"do": "write", "content": spec.content, "blob": spec.content_blob, "was": state.mark, **attributes}
    arguments.update(backup=spec.backup and state.kind == "file", validate=spec.validate)
    before = _shown(state) if state.kind != "absent" else None
    return [Action(verb, state.path, arguments, before, _shown_wanted(spec))]


def _attribute_actions(spec: Spec, state: State) -> List[Action]:
    wanted = _attributes(spec, state, state.mode)
    then = attributes.Attributes(wanted["mode"], wanted["uid"], wanted["gid"])
    found = attributes.actions(state.path, attributes.Attributes(state.mode, state.uid, state.gid), then)
    times = [None if one == "now" else one for one in spec.times]
    if any(one is not None and one != now for one, now in zip(times, state.times)):
        arguments = {"do": "times", "times": times}
        found.append(Action(Verb.CHANGE, state.path, arguments, "times of the file\n", "other times of the file\n"))
    elif "now" in spec.times:
        found.append(Action(Verb.TOUCH, state.path, {"do": "times", "times": spec.times}))
    return found


def _touched(spec: Spec, state: State) -> List[Action]:
    """An act where a time is to be now, else nothing more than a file with these attributes and times."""
    if state.kind == "absent":
        arguments = {"do": "touch", "times": spec.times, **_attributes(spec, state, 0o644)}
        verb = Verb.TOUCH if "now" in spec.times else Verb.CREATE
        return [Action(verb, state.path, arguments)]
    return _attribute_actions(spec, state)


def _below(spec: Spec, state: State) -> List[Action]:
    found = []
    for path, (mode, uid, gid, folder) in sorted(state.below.items()):
        now = attributes.Attributes(mode, uid, gid)
        ids = attributes.Attributes(uid=state.owner_id, gid=state.group_id)
        found += attributes.actions(path, now, attributes.wanted(spec.mode, ids, now, mode, bool(folder)))
    return found


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
    if arguments["validate"]:
        edited.validated(path, data, arguments["validate"], system)
    found = {"backup_file": edited.backup(path, system)} if arguments["backup"] else {}
    owner = {"mode": arguments["mode"], "uid": arguments["uid"], "gid": arguments["gid"]}
    system.write(path, data, was=arguments["was"], **owner)
    return found


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
