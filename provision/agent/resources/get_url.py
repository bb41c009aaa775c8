"""A file fetched from the web, with Ansible's meaning of `get_url`.

It is fetched beside its place, checked, and then takes it in one instant. What a server says never chooses a name.
"""

from __future__ import annotations

import os
import stat
from dataclasses import field
from typing import Any, Dict, Iterator, List, Optional, Tuple

from .. import attributes, edited, files, reached, web
from ..attributes import Attributes
from ..record import record
from ..resource import Action, Emit, Refusal, Verb
from ..system import Cancelled, System
from ..wheels import without_credentials

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]

_WHOLE = 6 * 3600.0
"""Seconds for a whole file, however slowly it comes."""
_HEAD = 120.0
_ALGORITHMS = {"md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128}
_LIST_LIMIT = 1 << 20


@record(frozen=True)
class Spec:
    """An address, and the file or directory that it goes to.

    - get_url:
        url: https://example.org/models/base.safetensors
        dest: /data/models/base.safetensors
        checksum: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
        mode: "0644"

    With `checksum` a file that has it is not asked for again; it may also be `sha256:https://…`, the address of a list
    of checksums. Without one the server is asked whether it changed, and with `force` it is fetched in any case; either
    way the file is replaced only by other content. `timeout`: seconds without a byte.
    """

    url: str
    dest: str
    checksum: str = ""
    force: bool = False
    backup: bool = False
    mode: Optional[str] = None
    owner: Optional[str] = None
    group: Optional[str] = None
    timeout: float = 10.0
    headers: Dict[str, str] = field(default_factory=dict)
    url_username: Optional[str] = None
    url_password: Optional[str] = None
    force_basic_auth: bool = False
    validate_certs: bool = True
    ca_path: Optional[str] = None
    client_cert: Optional[str] = None
    client_key: Optional[str] = None
    use_proxy: bool = True
    http_agent: str = "provision"

    def __post_init__(self) -> None:
        web.check(self.url, self.timeout)
        if not self.dest.startswith("/") or "\0" in self.dest:
            raise ValueError("dest %r is no absolute path" % self.dest)
        attributes.check(self.mode)
        algorithm, _, value = self.checksum.partition(":")
        if not self.checksum:
            return
        if algorithm not in _ALGORITHMS:
            raise ValueError("checksum is `ALGORITHM:VALUE`, with one of %s" % ", ".join(_ALGORITHMS))
        if value.startswith(("http://", "https://")):
            web.check(value, self.timeout)
        elif len(value) != _ALGORITHMS[algorithm] or set(value.lower()) - set("0123456789abcdef"):
            raise ValueError(
                "checksum `%s` is no %s: that has %d hex digits" % (value, algorithm, _ALGORITHMS[algorithm])
            )

    def request(self, url: Optional[str] = None) -> web.Request:
        """The request for the file, or for the list of checksums."""
        return web.Request(
            url=url or self.url,
            headers=dict(self.headers),
            timeout=self.timeout,
            username=self.url_username,
            password=self.url_password,
            force_basic_auth=self.force_basic_auth,
            validate_certs=self.validate_certs,
            ca_path=self.ca_path,
            client_cert=self.client_cert,
            client_key=self.client_key,
            use_proxy=self.use_proxy,
            http_agent=self.http_agent,
        )


@record(frozen=True)
class State:
    """What is at `path`, the file itself. `kind`: absent, file or other; `parent`: there, pending or missing.

    `digest` is the file's in the algorithm of the checksum `wanted`. `current`: the server has just this content.
    `now`: what the server has, in words, where it was asked.
    """

    path: str
    kind: str = "absent"
    parent: str = "there"
    mode: int = -1
    uid: int = -1
    gid: int = -1
    size: int = 0
    digest: str = ""
    wanted: str = ""
    current: bool = False
    now: str = ""
    owner_id: int = -1
    group_id: int = -1
    mark: Optional[Tuple[int, ...]] = None
    """Of what is there; None where nobody looked."""


def observe(spec: Spec, system: System) -> State:
    """Look at the file; where no checksum settles it, ask the server. Refusal where it does not answer."""
    path = _place(spec, system)
    ids = attributes.resolved(spec.owner, spec.group, system)
    algorithm, _, wanted = spec.checksum.partition(":")
    if wanted.startswith(("http://", "https://")):
        wanted = _listed(spec, wanted, algorithm, system)
    wanted = wanted.lower()
    found = system.lstat(path)
    if found is None:
        nothing: Dict[str, Any] = {"parent": _parent(path, system), "mark": files.NOTHING}
        return State(path, wanted=wanted, owner_id=ids.uid, group_id=ids.gid, **nothing)
    common: Dict[str, Any] = {"mode": stat.S_IMODE(found.st_mode), "uid": found.st_uid, "gid": found.st_gid}
    common.update(size=found.st_size, wanted=wanted, owner_id=ids.uid, group_id=ids.gid, mark=files.mark_of(found))
    if not stat.S_ISREG(found.st_mode):
        return State(path, "other", **common)
    digest = _digest(path, algorithm or "sha256", system)
    if wanted:
        return State(path, "file", digest=digest, **common)
    current, now = _asked(spec, path, digest, found.st_mtime, system)
    return State(path, "file", digest=digest, current=current, now=now, **common)


def decide(spec: Spec, state: State) -> List[Action]:
    """Nothing, the file fetched, or its attributes; Refusal where something else is at its place."""
    if state.kind == "other":
        raise Refusal("cannot write `%s`" % state.path, "it is no file", "choose another path; data is never replaced")
    if state.parent == "missing":
        raise Refusal(
            "cannot write `%s`" % state.path,
            "its directory `%s` does not exist" % os.path.dirname(state.path),
            "create that first: `file` with `state: directory`",
        )
    now = Attributes(state.mode, state.uid, state.gid) if state.kind == "file" else None
    then = attributes.wanted(spec.mode, Attributes(uid=state.owner_id, gid=state.group_id), now, 0o644)
    if now and (state.digest == state.wanted if state.wanted else state.current):
        return attributes.actions(state.path, now, then)
    arguments = {"do": "fetch", "spec": spec, "wanted": state.wanted, "backup": spec.backup and now is not None}
    arguments.update(mode=then.mode, uid=then.uid, gid=then.gid, was=state.mark)
    after = "from %s\n%s" % (without_credentials(spec.url), _checksum_line(spec, state.wanted) or state.now)
    before = "%d bytes\n%s" % (state.size, _checksum_line(spec, state.digest)) if now else None
    return [Action(Verb.CHANGE if now else Verb.CREATE, state.path, arguments, before, after)]


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Fetch the file, or set its attributes. Refusal when it cannot be had, or is not what the checksum says."""
    if action.arguments["do"] == "attributes":
        attributes.set_on(action.target, action.arguments, system)
        return {}
    return _fetch(action.target, action.arguments, system, emit)


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`url`, `dest`, `state`, `size`, `mode`, `uid`, `gid`; a fetch adds `status_code`, `msg`, `elapsed`, checksums."""
    found: Dict[str, Any] = {"url": without_credentials(spec.url), "dest": state.path, "state": state.kind}
    if state.kind == "file":
        found.update(size=state.size, mode="0%o" % state.mode, uid=state.uid, gid=state.gid)
    return found


def _place(spec: Spec, system: System) -> str:
    """The file itself: below a directory, also one that is still to be made, it has the last word of the address."""
    made = spec.dest.rstrip("/") in system.pending and not os.path.lexists(spec.dest)
    if not (os.path.isdir(spec.dest) or spec.dest.endswith("/") or made):
        return os.path.realpath(spec.dest)
    return os.path.join(os.path.realpath(spec.dest), _last_word(spec.url))


def _last_word(url: str) -> str:
    from urllib.parse import unquote, urlsplit

    name = unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2])
    return name if name not in ("", ".", "..") and "/" not in name and "\0" not in name else "index.html"


def _parent(path: str, system: System) -> str:
    folder = os.path.dirname(path)
    return "there" if os.path.isdir(folder) else "pending" if folder in system.pending else "missing"


def _digest(path: str, algorithm: str, system: System) -> str:
    if algorithm == "sha256":
        return system.sha256(path)
    import hashlib

    digest = hashlib.new(algorithm)
    with open(path, "rb") as stream:
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()


def _listed(spec: Spec, url: str, algorithm: str, system: System) -> str:
    """The checksum that a list at an address gives for the file."""
    request = spec.request(url)
    with web.answered(request, web.environment_of(system), _HEAD) as reply:
        _need_success(request, reply)
        data = b"".join(web.parts(_Limited(reply, _LIST_LIMIT), request))
    name, lines = _last_word(spec.url), data.decode("utf-8", "replace").splitlines()
    rows = [line.split(None, 1) for line in lines if line.strip()]
    if len(rows) == 1 and len(rows[0]) == 1:
        rows[0].append(name)
    for row in rows:
        listed = row[1].strip().lstrip("*") if len(row) == 2 else ""
        digits = row[0].lower()
        if listed.rpartition("/")[2] == name and len(digits) == _ALGORITHMS[algorithm]:
            return digits
    raise Refusal(
        "there is no checksum for `%s`" % name,
        "the list at `%s` has none of %s for it" % (without_credentials(url), algorithm),
        "see that it names this file, or write the checksum itself",
    )


class _Limited:
    """The beginning of a stream."""

    def __init__(self, stream: Any, limit: int) -> None:
        self._stream, self._left = stream, limit

    def read(self, size: int) -> bytes:
        data: bytes = self._stream.read(min(size, self._left))
        self._left -= len(data)
        return data


def _asked(spec: Spec, path: str, digest: str, mtime: float, system: System) -> Tuple[bool, str]:
    """Whether the server has just what is there, and what it has in words."""
    fetched = system.notes.pop("get_url " + path, None)
    if fetched == digest:
        return True, ""
    import hashlib
    from email.utils import formatdate

    request = spec.request()
    if not spec.force:
        request.headers["If-Modified-Since"] = formatdate(mtime, usegmt=True)
    with web.answered(request, web.environment_of(system), _WHOLE) as reply:
        if reply.status == 304:
            return True, ""
        _need_success(request, reply)
        hashed = hashlib.sha256()
        size = 0
        for chunk in web.parts(reply, request):
            hashed.update(chunk)
            size += len(chunk)
            _heed(system)
    return hashed.hexdigest() == digest, "%d bytes\nsha256:%s\n" % (size, hashed.hexdigest())


def _fetch(path: str, arguments: Dict[str, Any], system: System, emit: Emit) -> Dict[str, Any]:
    import hashlib
    import time

    spec: Spec = arguments["spec"]
    request, began = spec.request(), time.monotonic()
    algorithm = spec.checksum.partition(":")[0] or "sha256"
    digests = {name: hashlib.new(name) for name in {algorithm, "sha1", "sha256"}}
    kept = {"backup_file": edited.backup(path, system)} if arguments["backup"] else {}

    def good() -> None:
        found = digests[algorithm].hexdigest()
        if arguments["wanted"] and found != arguments["wanted"]:
            raise Refusal(
                "`%s` is not what its checksum says" % without_credentials(spec.url),
                "%s is %s, and %s is wanted" % (algorithm, found, arguments["wanted"]),
                "correct `checksum` if the file is the right one; what was there before still is",
            )

    with web.answered(request, web.environment_of(system), _WHOLE) as reply:
        _need_success(request, reply)
        coming = _counted(web.parts(reply, request), reply, list(digests.values()), system, emit)
        owner = {name: arguments[name] for name in ("mode", "uid", "gid", "was")}
        system.write_parts(path, coming, good=good, **owner)
    system.notes["get_url " + path] = digests["sha256"].hexdigest()
    sha1 = digests["sha1"].hexdigest()
    found = {"status_code": reply.status, "msg": "OK", "elapsed": int(time.monotonic() - began)}
    return {**kept, **found, "checksum_src": sha1, "checksum_dest": sha1}


def _counted(parts: Iterator[bytes], reply: Any, digests: List[Any], system: System, emit: Emit) -> Iterator[bytes]:
    total, done = int(reply.headers.get("Content-Length") or 0), 0
    for chunk in parts:
        for digest in digests:
            digest.update(chunk)
        done += len(chunk)
        emit(done=done, total=max(total, done), unit="bytes", label="")
        _heed(system)
        yield chunk
    if total and done < total:
        raise Refusal(
            "the file broke off", "%d of %d bytes came" % (done, total), "run again; what was there before still is"
        )


def _heed(system: System) -> None:
    if system.watch.cancelled():
        raise Cancelled


def _need_success(request: web.Request, reply: Any) -> None:
    if not 200 <= reply.status < 300:
        shown = without_credentials(request.url)
        said = "%d %s" % (reply.status, reply.reason)
        otherwise = "correct the address, or what the server lets this host have"
        if reply.status == 401:
            otherwise = "say who asks in `url_username` and `url_password`"
        raise Refusal(
            "cannot get `%s`" % shown,
            "the server says %s" % said,
            reached.hint(said, "", otherwise),
            {"status_code": reply.status, "url": shown},
        )


def _checksum_line(spec: Spec, digest: str) -> str:
    return "%s:%s\n" % (spec.checksum.partition(":")[0] or "sha256", digest) if digest else ""
