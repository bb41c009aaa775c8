"""One line of a text file, with Ansible's meaning of `lineinfile`. The file's other lines are never touched."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Optional, Tuple

from .. import attributes, edited
from ..edited import Edited as State
from ..record import record
from ..resource import Action, Emit, Refusal
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]


@record(frozen=True)
class Spec:
    """A file and the line that it is to hold, or not to hold.

    - lineinfile:
        path: /etc/ssh/sshd_config
        regexp: ^#?PermitRootLogin
        line: PermitRootLogin prohibit-password
        validate: /usr/sbin/sshd -t -f %s

    The last line that matches `regexp` (with `firstmatch` the first), or holds `search_string`, is replaced; where
    none does, the line goes after `insertafter`, before `insertbefore`, or to the end. `backrefs`: groups of `regexp`
    stand in `line`, and without a match nothing is done. `absent` takes away every line that matches.
    """

    path: str
    line: Optional[str] = None
    regexp: Optional[str] = None
    search_string: Optional[str] = None
    state: str = "present"
    backrefs: bool = False
    insertafter: Optional[str] = None
    insertbefore: Optional[str] = None
    firstmatch: bool = False
    create: bool = False
    backup: bool = False
    validate: Optional[str] = None
    mode: Optional[str] = None
    owner: Optional[str] = None
    group: Optional[str] = None

    def __post_init__(self) -> None:
        if not self.path.startswith("/") or "\0" in self.path + (self.line or ""):
            raise ValueError("path %r is no absolute path" % self.path)
        if self.state not in ("present", "absent"):
            raise ValueError("state is one of present, absent")
        if self.regexp is not None and self.search_string is not None:
            raise ValueError("`regexp` and `search_string` do not go together")
        if self.insertafter is not None and self.insertbefore is not None:
            raise ValueError("`insertafter` and `insertbefore` do not go together")
        if self.backrefs and self.regexp is None:
            raise ValueError("`backrefs` needs `regexp`")
        if self.state == "present" and self.line is None:
            raise ValueError("`line` is missing")
        if self.line is None and self.regexp is None and self.search_string is None:
            raise ValueError("`state: absent` needs `line`, `regexp` or `search_string`")
        for name, text in (("regexp", self.regexp), self.anchor):
            _checked(name, text)
        attributes.check(self.mode)
        edited.check_validate(self.validate)

    @property
    def anchor(self) -> Tuple[str, Optional[str]]:
        """The option that says where a new line goes, and its pattern, None for the end or the beginning."""
        if self.insertbefore is not None:
            return "insertbefore", None if self.insertbefore == "BOF" else self.insertbefore
        return "insertafter", None if self.insertafter in (None, "EOF", "BOF") else self.insertafter


def observe(spec: Spec, system: System) -> State:
    """Read the file; Refusal where something else is at its place."""
    return edited.look(spec.path, system, spec.owner, spec.group)


def decide(spec: Spec, state: State) -> List[Action]:
    """Nothing, the file with its line as wanted, or its attributes; Refusal for a file that does not exist."""
    if state.text is None:
        if spec.state == "absent" or (state.pending and not spec.create):
            return []
        if not spec.create:
            raise Refusal(
                "cannot edit `%s`" % spec.path, "the file does not exist", "create it before, or say `create: true`"
            )
    lines = edited.lines_of(state.text or "")
    try:
        after = _removed(spec, lines) if spec.state == "absent" else _present(spec, lines)
        _need_end(spec, after)
    except (re.error, IndexError) as error:
        raise Refusal(
            "cannot put `%s` together" % spec.line, str(error), "see the groups in `regexp` and `line`"
        ) from None
    found = edited.actions(state, "".join(after), mode=spec.mode, keep=spec.backup, validate=spec.validate)
    for action in found:
        action.arguments["msg"] = _message(lines, after) if action.arguments["do"] == "write" else ""
    return found


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Replace the file, or set its attributes; `msg` says what was done, and `backup` where the old one is kept."""
    return {"msg": action.arguments["msg"], "backup": edited.write(action, system).get("backup_file", "")}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`path`."""
    return {"path": state.path}


def _checked(name: str, pattern: Optional[str]) -> None:
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise ValueError("%s `%s` is no regular expression: %s" % (name, pattern, error)) from None


def _message(before: List[str], after: List[str]) -> str:
    if len(after) < len(before):
        return "%d line(s) removed" % (len(before) - len(after))
    return "line added" if len(after) > len(before) else "line replaced"


def _need_end(spec: Spec, after: List[str]) -> None:
    """Refusal where the next run would change the file again, and so on."""
    if spec.state == "present" and _present(spec, after) != after:
        raise Refusal(
            "`%s` would change at every run" % spec.path,
            "`regexp` matches several lines, or what replaced one" if spec.regexp else "`search_string` is in several",
            "write a `regexp` that also matches the new line, or take the others away first with `state: absent`",
        )


def _removed(spec: Spec, lines: List[str]) -> List[str]:
    if spec.regexp is not None:
        return [line for line in lines if not re.search(spec.regexp, line)]
    if spec.search_string is not None:
        return [line for line in lines if spec.search_string not in line]
    return [line for line in lines if line.rstrip("\r\n") != spec.line]


def _present(spec: Spec, lines: List[str]) -> List[str]:
    line = spec.line or ""
    match, at = _matched(spec, lines)
    if at is not None:
        new = match.expand(line) if spec.backrefs and match is not None else line
        return [*lines[:at], new if new.endswith("\n") else new + "\n", *lines[at + 1 :]]
    if spec.backrefs:
        return lines
    return _inserted(spec, lines, line)


def _matched(spec: Spec, lines: List[str]) -> Tuple[Any, Optional[int]]:
    """The match and where it is: the last one, or with `firstmatch` the first."""
    found: Tuple[Any, Optional[int]] = (None, None)
    for index, text in enumerate(lines):
        if spec.regexp is not None:
            match = re.search(spec.regexp, text)
            hit = match is not None
        else:
            match, hit = None, spec.search_string is not None and spec.search_string in text
        if hit:
            found = (match, index)
            if spec.firstmatch:
                break
    return found


def _inserted(spec: Spec, lines: List[str], line: str) -> List[str]:
    """The lines with a new one; where it stands as it is already, it only gets its end."""
    new = line + "\n"
    same = [index for index, text in enumerate(lines) if text.rstrip("\r\n") == line]
    if same:
        return [*lines[: same[-1]], new, *lines[same[-1] + 1 :]]
    if "BOF" in (spec.insertafter, spec.insertbefore):
        return [new, *lines]
    name, pattern = spec.anchor
    hits = [] if pattern is None else [index for index, text in enumerate(lines) if re.search(pattern, text)]
    ended = [*lines[:-1], lines[-1] if lines[-1].endswith("\n") else lines[-1] + "\n"] if lines else []
    if not hits:
        return [*ended, new]
    at = hits[0] if spec.firstmatch else hits[-1]
    return [*ended[:at], new, *lines[at:]] if name == "insertbefore" else [*ended[: at + 1], new, *lines[at + 1 :]]
