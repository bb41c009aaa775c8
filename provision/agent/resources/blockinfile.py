"""Lines of a file between two marks of ours, with Ansible's meaning of `blockinfile`.

Owns what is between the marks; the rest of the file is never touched.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

from .. import attributes, edited
from ..edited import Edited as State
from ..record import record
from ..resource import Action, Emit, Refusal
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]


@record(frozen=True)
class Spec:
    """A file and the block that it is to hold, at its end where it is new.

    - blockinfile:
        path: /etc/bash.bashrc
        block: . /etc/profile.d/site.sh

    `{mark}` in `marker` becomes `marker_begin` and `marker_end`. `create`: a file that does not exist is made. An
    empty block, or `state: absent`, takes block and marks away. A new block goes after the last line that matches
    `insertafter`, or before the last that matches `insertbefore` (`BOF`: at the top), and to the end where none does.
    `prepend_newline` and `append_newline` put an empty line around a block that is not at an end of the file.
    """

    path: str
    block: str = ""
    marker: str = "# {mark} ANSIBLE MANAGED BLOCK"
    marker_begin: str = "BEGIN"
    marker_end: str = "END"
    state: str = "present"
    insertafter: Optional[str] = None
    insertbefore: Optional[str] = None
    create: bool = False
    backup: bool = False
    validate: Optional[str] = None
    mode: Optional[str] = None
    owner: Optional[str] = None
    group: Optional[str] = None
    append_newline: bool = False
    prepend_newline: bool = False

    def __post_init__(self) -> None:
        if not self.path.startswith("/") or "\0" in self.path + self.block:
            raise ValueError("path %r is no absolute path" % self.path)
        if self.state not in ("present", "absent"):
            raise ValueError("state is one of present, absent")
        if "{mark}" not in self.marker or "\n" in self.marker:
            raise ValueError("marker is one line with `{mark}` in it")
        if self.marks[0] == self.marks[1]:
            raise ValueError("`marker_begin` and `marker_end` are the same")
        if set(self.marks) & set(self.block.splitlines()):
            raise ValueError("the block holds a mark of its own")
        if self.insertafter is not None and self.insertbefore is not None:
            raise ValueError("`insertafter` and `insertbefore` do not go together")
        _checked(self)
        attributes.check(self.mode)
        edited.check_validate(self.validate)

    @property
    def marks(self) -> Tuple[str, str]:
        """The lines around the block."""
        return self.marker.replace("{mark}", self.marker_begin), self.marker.replace("{mark}", self.marker_end)


def observe(spec: Spec, system: System) -> State:
    """Read the file; Refusal where something else is at its place, and for an unknown owner or group."""
    return edited.look(spec.path, system, spec.owner, spec.group)


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
    text = None if after == before else after
    return edited.actions(state, text, mode=spec.mode, keep=spec.backup, validate=spec.validate)


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Replace the file, or set its attributes; Refusal when the new one is found wanting."""
    return edited.write(action, system)


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`path`."""
    return {"path": state.path}


def _edited(spec: Spec, text: str, wants: bool) -> str:
    begin, end = spec.marks
    lines = text.split("\n")
    starts, ends = ([at for at, line in enumerate(lines) if line == mark] for mark in (begin, end))
    block = [begin, *spec.block.strip("\n").split("\n"), end] if wants else []
    if not starts and not ends:
        return _inserted(spec, text, block) if block else text
    if len(starts) != 1 or len(ends) != 1 or ends[0] < starts[0]:
        raise Refusal(
            "cannot edit `%s`" % spec.path,
            "the marks `%s` and `%s` are not there once each, in this order" % (begin, end),
            "mend the file by hand, or give the task another `marker`",
        )
    return "\n".join([*lines[: starts[0]], *block, *lines[ends[0] + 1 :]])


def _inserted(spec: Spec, text: str, block: List[str]) -> str:
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    at = _place(spec, lines)
    above = [""] if spec.prepend_newline and at > 0 and lines[at - 1] else []
    below = [""] if spec.append_newline and at < len(lines) and lines[at] else []
    last = "" if at < len(lines) and not text.endswith("\n") else "\n"
    return "\n".join([*lines[:at], *above, *block, *below, *lines[at:]]) + last


def _place(spec: Spec, lines: List[str]) -> int:
    """Before which line a new block goes."""
    if spec.insertbefore == "BOF":
        return 0
    pattern = spec.insertbefore if spec.insertbefore is not None else spec.insertafter
    if pattern in (None, "EOF"):
        return len(lines)
    import re

    found = [at for at, line in enumerate(lines) if re.search(pattern or "", line)]
    if not found:
        return len(lines)
    return found[-1] if spec.insertbefore is not None else found[-1] + 1


def _checked(spec: Spec) -> None:
    """ValueError for a pattern that is none."""
    import re

    for name in ("insertafter", "insertbefore"):
        try:
            re.compile(getattr(spec, name) or "")
        except re.error as error:
            raise ValueError("%s is no regular expression: %s" % (name, error)) from None
