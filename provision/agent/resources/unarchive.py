"""The content of an archive below a directory, with Ansible's meaning of `unarchive`.

What is there beside it stays. A member is right when it has the archive's content; nothing but files is replaced.
"""

from __future__ import annotations

import fnmatch
import json
import os
import stat
from dataclasses import field
from typing import Any, Dict, Iterator, List, Optional, Tuple

from .. import attributes, files, unpacking
from ..attributes import Attributes
from ..record import record
from ..resource import Action, Emit, Refusal, Verb
from ..system import Cancelled, System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]

_SHOWN = 200
_UNPACKING = 3600.0


@record(frozen=True)
class Spec:
    """An archive, and the directory that its content goes to.

    - unarchive:
        src: /data/downloads/model.tar.gz
        remote_src: true
        dest: /opt/model
        exclude: ["*.md"]
        owner: app

    Without `remote_src` the archive is a file of the control node, given in `src_blob` and, in `listing_blob`, what is
    in it. `include` and `exclude` are names or patterns. `keep_newer`: a file that is newer than the archive's stays.
    `creates`: nothing is done where that path exists.
    """

    dest: str
    src: str = ""
    src_blob: Optional[str] = None
    listing_blob: Optional[str] = None
    remote_src: bool = False
    creates: Optional[str] = None
    include: List[str] = field(default_factory=list)
    exclude: List[str] = field(default_factory=list)
    keep_newer: bool = False
    list_files: bool = False
    mode: Optional[str] = None
    owner: Optional[str] = None
    group: Optional[str] = None

    def __post_init__(self) -> None:
        if not self.dest.startswith("/") or "\0" in self.dest + self.src:
            raise ValueError("dest %r is no absolute path" % self.dest)
        if "://" in self.src:
            raise ValueError("src is a file: fetch an address with `get_url`, then unpack it with `remote_src: true`")
        if self.remote_src and not self.src.startswith("/"):
            raise ValueError("src is an absolute path of the host where `remote_src` is true")
        if self.include and self.exclude:
            raise ValueError("`include` and `exclude` do not go together")
        attributes.check(self.mode)


@record(frozen=True)
class State:
    """`created`: what `creates` names is there. `folder`: directory, pending, missing or other.

    `wanted`: members that are to be there. `there`: by name what is there (None: nothing): `kind`, `mode`, `uid`,
    `gid`, `mtime`, `same` content. `owners`: by name the wanted uid and gid, -1 for none.
    """

    folder: str = "directory"
    created: bool = False
    pending: bool = False
    wanted: List[Dict[str, Any]] = field(default_factory=list)
    there: Dict[str, Any] = field(default_factory=dict)
    owners: Dict[str, Any] = field(default_factory=dict)
    handler: str = ""
    uid: int = -1
    gid: int = -1
    mode: int = 0


def observe(spec: Spec, system: System) -> State:
    """Read the archive's list, and look at each of its members below the directory."""
    if spec.creates is not None and os.path.lexists(spec.creates):
        return State(created=True)
    path = os.path.realpath(spec.dest)
    found = system.stat(path)
    folder = "other" if found else "pending" if path in system.pending else "missing"
    if found and stat.S_ISDIR(found.st_mode):
        folder = "directory"
    if spec.remote_src and spec.src in system.pending and not os.path.lexists(spec.src):
        return State(folder, pending=True)
    handler, members = _members(spec, system)
    wanted = [member for member in members if _selected(spec, member["name"])]
    ids = attributes.resolved(spec.owner, spec.group, system)
    owners = {member["name"]: _owner(member, ids, system) for member in wanted}
    there = {member["name"]: _there(path, member, system) for member in wanted} if folder == "directory" else {}
    own = (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) if found else (-1, -1, 0)
    return State(folder, False, False, wanted, there, owners, handler, *own)


def decide(spec: Spec, state: State) -> List[Action]:
    """Nothing, or the members that are not there as the archive has them; Refusal where data would be replaced."""
    if state.created:
        return []
    if state.folder in ("missing", "other"):
        raise Refusal(
            "cannot unpack into `%s`" % spec.dest,
            "it does not exist" if state.folder == "missing" else "it is no directory",
            "create it first: `file` with `state: directory`",
        )
    if state.pending:
        return [Action(Verb.CHANGE, spec.dest, {}, None, "what `%s` holds\n" % spec.src)]
    rows = [row for row in (_difference(spec, state, member) for member in state.wanted) if row]
    if not rows:
        return []
    before, after = _shown([row for _, row, _ in rows]), _shown([row for _, _, row in rows])
    arguments: Dict[str, Any] = {"spec": spec, "names": [name for name, _, _ in rows], "owners": state.owners}
    arguments["was"] = {name: there.get("was") if there else files.NOTHING for name, there in state.there.items()}
    arguments["modes"] = {member["name"]: _mode(spec, member) for member in state.wanted}
    return [Action(Verb.CHANGE, spec.dest, arguments, before, after)]


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Take out what the action names: files whole with all they have, then links, then what directories have."""
    arguments, spec = action.arguments, action.arguments["spec"]
    names, destination = set(arguments["names"]), os.path.realpath(spec.dest)
    archive, scratch = _opened(spec, system)
    late: List[Dict[str, Any]] = []
    done = 0
    try:
        for member, content in unpacking.contents(archive):
            if member["name"] not in names:
                continue
            path = unpacking.place(destination, member["name"])
            late.append(member)
            if member["kind"] == "directory":
                system.mkdir(path, 0o755)
            elif content is not None:
                system.mkdir(os.path.dirname(path))
                _write(path, member, _heeded(content, system), arguments, system)
            done += 1
            emit(done=done, total=len(names), unit="files", label="")
    finally:
        if scratch:
            system.clear_scratch(scratch)
    _finish(late, destination, arguments, system)
    return {}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`dest`, `src`, `handler`, `state`, `mode`, `uid`, `gid`, and with `list_files` the names in `files`."""
    if state.created:
        return {"dest": spec.dest, "msg": "skipped, since %s exists" % spec.creates}
    found: Dict[str, Any] = {"dest": spec.dest, "src": spec.src, "handler": state.handler, "state": state.folder}
    found.update(mode="0%o" % state.mode, uid=state.uid, gid=state.gid)
    if spec.list_files:
        found["files"] = [m["name"] + ("/" if m["kind"] == "directory" else "") for m in state.wanted]
    return found


def _members(spec: Spec, system: System) -> Tuple[str, List[Dict[str, Any]]]:
    if spec.listing_blob is not None:
        listing = json.loads(system.read_text(system.blob(spec.listing_blob)))
        return listing["handler"], listing["members"]
    archive, scratch = _opened(spec, system)
    try:
        return "TarZstdArchive" if scratch else unpacking.handler(archive), unpacking.members(archive)
    finally:
        if scratch:
            system.clear_scratch(scratch)


def _opened(spec: Spec, system: System) -> Tuple[str, str]:
    """The archive, and a folder of `scratch` where it had to be unpacked into one first."""
    path = spec.src if spec.src_blob is None else system.blob(spec.src_blob)
    if not os.path.isfile(path):
        raise Refusal("there is no archive `%s`" % spec.src, "it is no file of this host", "fetch it before")
    kind = unpacking.kind_of(path)
    if not kind:
        raise Refusal(
            "`%s` is no archive" % spec.src,
            "it is neither tar (plain, gz, bz2, xz, zst) nor zip",
            "see what was fetched",
        )
    if kind != "zstd":
        return path, ""
    scratch = system.scratch()
    plain = os.path.join(scratch, "archive.tar")
    try:
        done = system.run(["zstd", "-d", "-q", "-o", plain, path], timeout=_UNPACKING)
        if done.returncode == 0 and unpacking.kind_of(plain) == "tar":
            return plain, scratch
        said = done.stderr.strip() or "what it holds is no tar"
        raise Refusal("cannot unpack `%s`" % spec.src, said, "see that the archive is whole")
    except FileNotFoundError:
        system.clear_scratch(scratch)
        raise Refusal("cannot run `zstd`", "there is no such program on this host", "install `zstd`") from None
    except BaseException:
        system.clear_scratch(scratch)
        raise


def _selected(spec: Spec, name: str) -> bool:
    if spec.include:
        return any(_matches(name, pattern, False) for pattern in spec.include)
    return not any(_matches(name, pattern, True) for pattern in spec.exclude)


def _matches(name: str, pattern: str, anywhere: bool) -> bool:
    """Whether a member, or a directory that it is in, is meant; an exclusion also without the directories before."""
    wanted = os.path.normpath(pattern)
    words = name.split("/")
    heads = ["/".join(words[:end]) for end in range(1, len(words) + 1)]
    tails = [head.split("/", cut)[-1] for head in heads for cut in range(head.count("/") + 1)] if anywhere else heads
    return any(fnmatch.fnmatchcase(each, wanted) for each in tails)


def _owner(member: Dict[str, Any], ids: Attributes, system: System) -> List[int]:
    """Whose it is to be: who is asked for, else for root, as tar does, whom the archive names."""
    if os.geteuid() != 0:
        return [ids.uid, ids.gid]
    import grp
    import pwd

    uid, gid = member["uid"], member["gid"]
    try:
        uid = pwd.getpwnam(member["owner"]).pw_uid if member["owner"] else uid
    except KeyError:
        pass
    try:
        gid = grp.getgrnam(member["group"]).gr_gid if member["group"] else gid
    except KeyError:
        pass
    found = [-1 if uid is None else uid, -1 if gid is None else gid]
    return [ids.uid if ids.uid != -1 else found[0], ids.gid if ids.gid != -1 else found[1]]


def _there(destination: str, member: Dict[str, Any], system: System) -> Optional[Dict[str, Any]]:
    path = unpacking.place(destination, member["name"])
    found = system.lstat(path)
    if found is None:
        return None
    seen: Dict[str, Any] = {"mode": stat.S_IMODE(found.st_mode), "uid": found.st_uid, "gid": found.st_gid}
    seen.update(mtime=int(found.st_mtime), was=files.mark_of(found))
    if stat.S_ISLNK(found.st_mode):
        return {**seen, "kind": "link", "same": system.readlink(path) == member["link"]}
    if stat.S_ISDIR(found.st_mode):
        return {**seen, "kind": "directory", "same": True}
    if not stat.S_ISREG(found.st_mode):
        return {**seen, "kind": "other", "same": False}
    same = member["kind"] == "file" and found.st_size == member["size"] and system.sha256(path) == member["sha256"]
    return {**seen, "kind": "file", "same": same}


def _difference(spec: Spec, state: State, member: Dict[str, Any]) -> Optional[Tuple[str, str, str]]:
    """Name, what is there and what is to be, where these differ; Refusal where another kind of thing is there."""
    name, there = member["name"], state.there.get(member["name"])
    wanted, owner = _mode(spec, member), state.owners.get(name, [-1, -1])
    if there is None:
        return name, "", "%s: %s" % (name, member["kind"])
    if there["kind"] != member["kind"]:
        raise Refusal(
            "cannot unpack `%s`" % name,
            "there is a %s at its place, and the archive has a %s" % (there["kind"], member["kind"]),
            "move it away, or unpack elsewhere",
        )
    if spec.keep_newer and there["mtime"] > member["mtime"] and member["kind"] == "file":
        return None
    if not there["same"]:
        return name, "%s: other content" % name, "%s: %s" % (name, member["kind"])
    owned = all(want in (-1, have) for want, have in zip(owner, (there["uid"], there["gid"])))
    moded = member["kind"] == "link" or wanted == there["mode"]
    if owned and moded:
        return None
    row = "%s: mode 0%o, owner %d:%d"
    then = [have if want == -1 else want for want, have in zip(owner, (there["uid"], there["gid"]))]
    return name, row % (name, there["mode"], there["uid"], there["gid"]), row % (name, wanted, then[0], then[1])


def _mode(spec: Spec, member: Dict[str, Any]) -> int:
    from ..modes import parse_mode

    folder, mode = member["kind"] == "directory", int(member["mode"])
    return mode if spec.mode is None else parse_mode(spec.mode, mode, folder)


def _heeded(content: Iterator[bytes], system: System) -> Iterator[bytes]:
    for chunk in content:
        if system.watch.cancelled():
            raise Cancelled
        yield chunk


def _write(
    path: str, member: Dict[str, Any], content: Iterator[bytes], arguments: Dict[str, Any], system: System
) -> None:
    name, seen = member["name"], arguments["was"]
    uid, gid = arguments["owners"][name]
    owned = {"mode": arguments["modes"][name], "uid": uid, "gid": gid, "mtime": member["mtime"]}
    system.write_parts(path, content, good=lambda: None, was=seen.get(name, files.NOTHING), **owned)
    seen[name] = files.mark(path)  # an archive may hold a name more than once


def _finish(late: List[Dict[str, Any]], destination: str, arguments: Dict[str, Any], system: System) -> None:
    for member in late:
        if member["kind"] == "link":
            system.link(unpacking.place(destination, member["name"]), member["link"])
    rest = [member for member in late if member["kind"] != "file"]
    for member in sorted(rest, key=lambda member: str(member["name"]), reverse=True):
        path = unpacking.place(destination, member["name"])
        uid, gid = arguments["owners"][member["name"]]
        if (uid, gid) != (-1, -1):
            system.chown(path, uid, gid, follow=False)
        if member["kind"] != "link":
            system.chmod(path, arguments["modes"][member["name"]])
        os.utime(path, (member["mtime"], member["mtime"]), follow_symlinks=False)


def _shown(rows: List[str]) -> Optional[str]:
    said = [row for row in rows if row]
    more = ["and %d more" % (len(said) - _SHOWN)] if len(said) > _SHOWN else []
    return "".join(row + "\n" for row in [*said[:_SHOWN], *more]) or None
