"""The channel's frames and what a host reports; shared by the agent and the control node.

A frame is 4 bytes of length, big endian, and a body of at most 1 MiB: JSON (an object with `type`), or, when its
first byte is 0, a chunk of a blob: 1 byte of zero, 1 byte that is 1 on the last chunk, 32 bytes of SHA-256, data.
Must not know what is inside a step or a result.
"""

from __future__ import annotations

import json
import struct
from dataclasses import field, fields
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

from .record import record

VERSION = 1
MAX_FRAME = 1 << 20
MAX_DEPTH = 32
BEAT_EVERY = 5.0
"""Seconds between two signs of life that each side gives."""
SILENCE = 30.0
"""Seconds without a byte after which either side ends."""
CHUNK = 64 * 1024
INLINE_LIMIT = 64 * 1024
"""Content of a spec over this many bytes is sent by hash, on need."""
SHOWN_LIMIT = 64 * 1024
"""Bytes of `before` and `after` that an action shows; larger or binary content is shown as size and hash."""
FIELD_LIMIT = 512 * 1024
"""Bytes of one registered field; a longer one is cut and named in the result's `cut`."""


class ProtocolError(Exception):
    """The other side sent what the protocol does not allow."""


@record(frozen=True)
class Blob:
    """A chunk of content addressed by its SHA-256 (hex)."""

    sha256: str
    data: bytes
    last: bool


def encode(message: Dict[str, Any]) -> bytes:
    """The frame of one message; ProtocolError when it is over 1 MiB."""
    body = json.dumps(message, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode(
        "utf-8", "backslashreplace"
    )
    if len(body) > MAX_FRAME:
        raise ProtocolError(
            "a %s message of %d bytes is over the limit of %d" % (message.get("type"), len(body), MAX_FRAME)
        )
    return struct.pack(">I", len(body)) + body


def encode_blob(sha256: str, data: bytes, last: bool) -> bytes:
    """The frame of one chunk, of at most 64 KiB, of a blob."""
    return struct.pack(">IBB", len(data) + 34, 0, last) + bytes.fromhex(sha256) + data


class Decoder:
    """Cuts a stream of bytes, however it is split, into messages and chunks."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.frames = 0
        """How many were whole so far."""

    @property
    def pending(self) -> int:
        """Bytes of a frame that is not whole yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[Union[Dict[str, Any], Blob]]:
        """The messages and chunks that `data` completes; ProtocolError on a frame that is not one."""
        for body in self.bodies(data):
            yield decode(body)

    def bodies(self, data: bytes) -> Iterator[bytes]:
        """As `feed`, but without reading what is in a frame."""
        self._buffer += data
        while len(self._buffer) >= 4:
            (size,) = struct.unpack_from(">I", self._buffer)
            if size > MAX_FRAME:
                raise ProtocolError("a frame of %d bytes is over the limit of %d" % (size, MAX_FRAME))
            if len(self._buffer) < 4 + size:
                return
            body = bytes(self._buffer[4 : 4 + size])
            del self._buffer[: 4 + size]
            self.frames += 1
            yield body


def decode(body: bytes) -> Union[Dict[str, Any], Blob]:
    """One frame's body, read; ProtocolError when it is garbled, too deep or not an object with a type."""
    if body[:1] == b"\0":
        if len(body) < 34:
            raise ProtocolError("a blob chunk without its header")
        return Blob(body[2:34].hex(), body[34:], bool(body[1]))
    try:
        message = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("a frame that is no JSON: %s" % error) from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ProtocolError("a frame without a type")
    if (body.count(b"[") + body.count(b"{")) > MAX_DEPTH and _depth(message) > MAX_DEPTH:
        raise ProtocolError("a frame nested deeper than %d" % MAX_DEPTH)
    return message


def _no_constant(name: str) -> Any:
    raise ValueError("%s is no JSON" % name)


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level and deepest <= MAX_DEPTH + 1:
        deepest += 1
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return deepest


@record(frozen=True)
class Step:
    """One resource with its rendered spec for one host. Control sends it; the agent never learns where it came from.

    `id` is unique within a host's run. `user`: None is the user that the agent runs as. `check`: observe and decide
    only. `depth`: how deep to look, "seal", "files" or "hashes". `on_failure`: "stop" (run nothing more until the
    control node answers), "later" (stop too, but after the next step that does not say so: items of a loop), or
    "continue". `notify`: handlers to write into the journal before the first action;
    `clears`: handlers that leave the journal when this step did not fail. `expected`: the actions that a saved plan
    holds for it, outside of which nothing is done; None where there is no plan. `trust`: SHA-256 of certificate
    authorities, as content, that it trusts beside the host's.
    """

    id: int
    resource: str
    spec: Dict[str, Any]
    name: str = ""
    user: Optional[str] = None
    check: bool = False
    depth: str = "seal"
    on_failure: str = "stop"
    sensitive: bool = False
    environment: Dict[str, str] = field(default_factory=dict)
    notify: List[str] = field(default_factory=list)
    clears: List[str] = field(default_factory=list)
    expected: Optional[List[Dict[str, Any]]] = None
    trust: Optional[str] = None


@record(frozen=True)
class Boot:
    """First frame of a host, by the bootstrap: what runs it, and whether it already has the agent."""

    python: List[int]
    uid: int
    have: bool


@record(frozen=True)
class Ready:
    """The agent runs: facts of the host, handlers that a crashed run left to be run."""

    facts: Dict[str, Any]
    pending: List[str]


@record(frozen=True)
class Need:
    """Content that the host lacks, by SHA-256 in hex; control answers with blobs."""

    sha256: List[str]


@record(frozen=True)
class Started:
    """A step is being looked at."""

    step: int


@record(frozen=True)
class Progress:
    """How far a running step is: `done` of `total` (0: unknown) in `unit` ("packages", "bytes", "s")."""

    step: int
    done: float
    total: float
    unit: str
    label: str


@record(frozen=True)
class Output:
    """Text that a running step wrote to `stream`, "stdout" or "stderr"."""

    step: int
    stream: str
    text: str


@record(frozen=True)
class Result:
    """What a step ended with.

    `status`: "ok", "changed", "failed" or "skipped" (not run, since a step before it failed). `actions`: what was
    done, or in check mode would be done, each `{verb, target, before, after}`. `fields` is what `register` keeps.
    `error`: `{summary, cause, hint}` of a failed step. `simulated`: rests on simulated parts. `foretold`: of a check,
    rests on what steps before it would change; `unknown`: cannot tell what would be done before those are.
    """

    step: int
    status: str
    actions: List[Dict[str, Any]] = field(default_factory=list)
    fields: Dict[str, Any] = field(default_factory=dict)
    error: Optional[Dict[str, Any]] = None
    seconds: float = 0.0
    cut: List[str] = field(default_factory=list)
    simulated: bool = False
    foretold: bool = False
    unknown: bool = False


@record(frozen=True)
class End:
    """All steps of a batch have a result."""

    batch: int


@record(frozen=True)
class Fatal:
    """The agent cannot go on. `kind`: "locked", "python", "protocol", "internal", "silence", "state"."""

    kind: str
    summary: str
    cause: str
    hint: str


@record(frozen=True)
class Beat:
    """A sign of life."""


HostEvent = Union[Boot, Ready, Need, Started, Progress, Output, Result, End, Fatal, Beat]
_KINDS = {
    kind.__name__.lower(): kind for kind in (Boot, Ready, Need, Started, Progress, Output, Result, End, Fatal, Beat)
}
_ALLOWED: Dict[type, Dict[str, Tuple[type, ...]]] = {}
_TYPES: Dict[str, Tuple[type, ...]] = {
    "int": (int,),
    "str": (str,),
    "bool": (bool,),
    "float": (int, float),
    "Optional[Dict[str, Any]]": (dict, type(None)),
}


def _allowed(annotation: str) -> Tuple[type, ...]:
    """Exact types of what JSON gives: true is no number."""
    return _TYPES.get(annotation) or ((dict,) if annotation.startswith("Dict") else (list,))


def to_message(event: HostEvent) -> Dict[str, Any]:
    """The message that carries an event."""
    return {"type": type(event).__name__.lower(), **vars(event)}


def from_message(message: Dict[str, Any]) -> HostEvent:
    """The event that a message carries; ProtocolError on an unknown type, a missing or extra key, or a wrong type."""
    values = dict(message)
    kind = _KINDS.get(values.pop("type"))
    if kind is None:
        raise ProtocolError("an unknown message %r" % message["type"][:40])
    if kind not in _ALLOWED:
        _ALLOWED[kind] = {f.name: _allowed(str(f.type)) for f in fields(kind)}
    known = _ALLOWED[kind]
    for key, value in values.items():
        if key not in known:
            raise ProtocolError("%s with an unknown key %r" % (message["type"], key[:40]))
        if type(value) not in known[key]:
            raise ProtocolError("%s with a wrong %s" % (message["type"], key))
    try:
        return kind(**values)
    except TypeError:
        raise ProtocolError("%s without all its keys" % message["type"]) from None
