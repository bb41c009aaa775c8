"""A wait until a port, a file or a text in one is there, or gone, with Ansible's meaning of `wait_for`.

Looks only. Every look has a deadline of its own, so that the whole never takes much longer than told.
"""

from __future__ import annotations

import os
import time
from dataclasses import field
from typing import Any, Dict, List, Optional, Tuple

from .. import mounts, tcp
from ..record import record
from ..resource import Action, Emit, Refusal
from ..system import Cancelled, System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe", "probe"]

_STATES = ("absent", "drained", "present", "started", "stopped")
_READ = 1 << 26


@record(frozen=True)
class Spec:
    """A port of `host`, or a path, and what is waited for; without either, `timeout` seconds pass.

    - wait_for:
        port: 8080
        delay: 2
        timeout: 120
        msg: The app does not listen

    `started` and `present` wait until it is there and, with `search_regex`, until its text matches; `stopped` and
    `absent` until it is gone; `drained` until no connection to the port is left. Times are in seconds.
    """

    host: str = "127.0.0.1"
    port: Optional[int] = None
    path: Optional[str] = None
    search_regex: Optional[str] = None
    state: str = "started"
    timeout: int = 300
    delay: int = 0
    sleep: int = 1
    connect_timeout: int = 5
    msg: Optional[str] = None
    exclude_hosts: Optional[List[str]] = None
    active_connection_states: List[str] = field(default_factory=lambda: list(tcp.ACTIVE))

    def __post_init__(self) -> None:
        import re

        if self.state not in _STATES:
            raise ValueError("state is one of %s" % ", ".join(_STATES))
        if self.port is not None and self.path is not None:
            raise ValueError("`port` and `path` do not go together")
        if self.port is not None and not 0 < self.port < 65536:
            raise ValueError("port %d is none" % self.port)
        if self.path is not None and (not self.path.startswith("/") or "\0" in self.path):
            raise ValueError("path %r is no absolute path" % self.path)
        if self.path is not None and self.state in ("stopped", "drained"):
            raise ValueError("`state: %s` goes with a port" % self.state)
        if self.state == "drained" and self.port is None:
            raise ValueError("`state: drained` needs `port`")
        if self.exclude_hosts is not None and self.state != "drained":
            raise ValueError("`exclude_hosts` goes with `state: drained`")
        if min(self.timeout, self.delay, self.sleep) < 0 or self.connect_timeout < 1:
            raise ValueError("times are not negative, and `connect_timeout` is at least 1 second")
        unknown = sorted(set(self.active_connection_states) - set(tcp.STATES))
        if unknown:
            raise ValueError("%s is no state of a connection" % unknown[0])
        try:
            re.compile((self.search_regex or "").encode("utf-8"), re.MULTILINE)
        except re.error as error:
            raise ValueError("search_regex `%s` is no regular expression: %s" % (self.search_regex, error)) from None

    def about(self) -> str:
        """What is waited for, in words."""
        what = "`%s`" % self.path if self.path is not None else "%s:%s" % (self.host, self.port)
        words = {"absent": "to be gone", "stopped": "to stop", "drained": "to be drained"}
        end = words.get(self.state, "to be there")
        return "%s %s%s" % (what, end, " with `%s`" % self.search_regex if self.search_regex is not None else "")


@record(frozen=True)
class State:
    """Nothing is known before the wait."""


def observe(spec: Spec, system: System) -> State:
    """Nothing: looking is what the wait does."""
    return State()


def decide(spec: Spec, state: State) -> List[Action]:
    """Nothing, ever: waiting changes nothing."""
    return []


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """There is nothing to apply."""
    return {}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`state`, `port`, `path` and `search_regex` as they were asked for; the wait adds what it found."""
    return {"state": spec.state, "port": spec.port, "path": spec.path, "search_regex": spec.search_regex}


def probe(spec: Spec, state: State, system: System, emit: Emit) -> Dict[str, Any]:
    """Wait; `elapsed`, `match_groups`, `match_groupdict`. Refusal when the time is over."""
    if system.check:
        return {}
    began = time.monotonic()
    end = began + spec.timeout
    _sleep(spec.delay, system)
    match: Optional[Tuple[List[str], Dict[str, str]]] = ([], {})
    if spec.port is None and spec.path is None:
        _sleep(spec.timeout, system)
    else:
        match = _waited(spec, system, end)
    elapsed = int(time.monotonic() - began)
    if match is None:
        raise Refusal(
            spec.msg or "waited in vain for %s" % spec.about(),
            "not seen within %d s%s" % (spec.timeout, "; waited for %s" % spec.about() if spec.msg else ""),
            "look at what should bring it about, or allow more in `timeout`",
            {"elapsed": elapsed, "msg": spec.msg or "Timeout when waiting for %s" % spec.about()},
        )
    return {"elapsed": elapsed, "match_groups": match[0], "match_groupdict": match[1]}


def _waited(spec: Spec, system: System, end: float) -> Optional[Tuple[List[str], Dict[str, str]]]:
    """What the text's match gave once it is as wanted; None when the time is over."""
    while time.monotonic() < end:
        found = _look(spec, system, max(0.1, end - time.monotonic()))
        if found is not None:
            return found
        _sleep(min(spec.sleep or 0.05, max(0.0, end - time.monotonic())), system)
    return None


def _look(spec: Spec, system: System, left: float) -> Optional[Tuple[List[str], Dict[str, str]]]:
    seen: Optional[bytes]
    if spec.state == "drained":
        busy = tcp.connections(spec.host, spec.port or 0, spec.exclude_hosts or [], spec.active_connection_states)
        return None if busy else ([], {})
    try:
        if spec.path is not None:
            seen = _file(spec, system, left)
        else:
            # each look gets its own short time, but one that waits for a text reads until the end
            seen = tcp.greeting(spec.host, spec.port or 0, min(spec.connect_timeout, left), left, _pattern(spec))
    except TimeoutError:
        return None
    if spec.state in ("absent", "stopped"):
        return ([], {}) if seen is None else None
    return None if seen is None else _matched(spec, seen)


def _file(spec: Spec, system: System, left: float) -> Optional[bytes]:
    """The file's bytes where they are searched, b"" where it only has to be there, None where it is not."""
    path = spec.path or ""

    def look() -> Optional[bytes]:
        try:
            os.stat(path)
            if spec.search_regex is None or spec.state == "absent" or os.path.isdir(path):
                return b""
            with open(path, "rb") as file:
                return file.read(_READ)
        except (FileNotFoundError, NotADirectoryError):
            return None

    remote = mounts.on_network(os.path.normpath(path))
    try:
        return system.within(left, look) if remote else look()
    except PermissionError as error:
        raise Refusal("cannot look at `%s`" % path, str(error), "use a user who may, with `become`") from None


def _pattern(spec: Spec) -> Any:
    import re

    return None if spec.search_regex is None else re.compile(spec.search_regex.encode("utf-8"), re.MULTILINE)


def _matched(spec: Spec, seen: bytes) -> Optional[Tuple[List[str], Dict[str, str]]]:
    pattern = _pattern(spec)
    if pattern is None:
        return [], {}
    match = pattern.search(seen)
    if match is None:
        return None
    groups = [(group or b"").decode("utf-8", "backslashreplace") for group in match.groups()]
    named = {name: (text or b"").decode("utf-8", "backslashreplace") for name, text in match.groupdict().items()}
    return groups, named


def _sleep(seconds: float, system: System) -> None:
    system.watch.flush()
    end = time.monotonic() + seconds
    while True:
        if system.watch.cancelled():
            raise Cancelled
        left = end - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(0.2, left))
