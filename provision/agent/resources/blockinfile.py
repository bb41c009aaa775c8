"""Lines of a file between two marks of ours, with Ansible's meaning of `blockinfile`.

Owns what is between the marks; the rest of the file is never touched.
"""

from __future__ import annotations

import os
import stat
from typing import Any, Dict, List, Optional, Tuple

from ..record import record
from ..resource import Action, Emit, Refusal, Verb
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]


@record(frozen=True)
class Spec:
    """A file and the block that it is to hold, at its end where it is new.

    - blockinfile:
        path: /etc/bash.bashrc
        block: . /etc/profile.d/site.sh

    `{mark}` in `marker` becomes BEGIN and END. `create`: a file that does not exist is made. An empty block, or
    `state: absent`, takes block and marks away.
    """

    path: str
    block: str = ""
    marker: str = "# {mark} MANAGED BY PROVISION"
    state: str = "present"
    create: bool = False

    def __post_init__(self) -> None:
        if not self.path.startswith("/") or "\0" in self.path + self.block:
            raise ValueError("path %r is no absolute path" % self.path)
        if self.state not in ("present", "absent"):
            raise ValueError("state is one of present, absent")
        if "{mark}" not in self.marker or "\n" in self.marker:
            raise ValueError("marker is one line with `{mark}` in it")
        if set(self.marks) & set(self.block.splitlines()):
            raise ValueError("the block holds a mark of its own")

    @property
    def marks(self) -> Tuple[str, str]:
        """The lines around the block."""
        return self.marker.replace("{mark}", "BEGIN"), self.marker.replace("{mark}", "END")


@record(frozen=True)
class State:
    """`text`: of the file, None where there is none; `pending`: an earlier step of this plan would make it."""

    path: str
    text: Optional[str] = None
    pending: bool = False
    mode: int = 0o644


def observe(spec: Spec, system: System) -> State:
    """Read the file; Refusal where something else is at its place."""
    path = os.path.realpath(spec.path)
    found = system.lstat(path)
    if found is None:
        return State(path, pending=path in system.pending)
    if not stat.S_ISREG(found.st_mode):
        raise Refusal("cannot edit `%s`" % spec.path, "it is no file", "choose another path")
    return State(path, system.read_text(path), mode=stat.S_IMODE(found.st_mode))


def decide(spec: Spec, state: State) -> List[Action]:
    """Nothing, or the file with its block as wanted; Refusal for a file that does not exist, and for a mark alone."""
    wants = spec.state == "present" and bool(spec.block.strip("\n"))
    if state.text is None:
        if not wants or state.pending:
            return []
        if not spec.create:
            raise Refusal(
                "cannot edit `%s`" % spec.path, "the file does not exist", "create it before, or say `create: true`"
            )
    before = state.text or ""
    after = _edited(spec, before, wants)
    if after == before:
        return []
    verb = Verb.CREATE if state.text is None else Verb.CHANGE
    return [Action(verb, state.path, {"text": after, "mode": state.mode}, state.text, after)]


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Replace the file; its owner and mode stay."""
    data = action.arguments["text"].encode("utf-8", "surrogateescape")
    system.write(action.target, data, mode=action.arguments["mode"])
    return {}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`path`."""
    return {"path": state.path}


def _edited(spec: Spec, text: str, wants: bool) -> str:
    begin, end = spec.marks
    lines = text.split("\n")
    starts, ends = ([at for at, line in enumerate(lines) if line == mark] for mark in (begin, end))
    block = [begin, *spec.block.strip("\n").split("\n"), end] if wants else []
    if not starts and not ends:
        glue = "" if not text or text.endswith("\n") else "\n"
        return text + glue + "".join(line + "\n" for line in block)
    if len(starts) != 1 or len(ends) != 1 or ends[0] < starts[0]:
        raise Refusal(
            "cannot edit `%s`" % spec.path,
            "the marks `%s` and `%s` are not there once each, in this order" % (begin, end),
            "mend the file by hand, or give the task another `marker`",
        )
    return "\n".join([*lines[: starts[0]], *block, *lines[ends[0] + 1 :]])
