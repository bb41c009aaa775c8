"""Every match of a pattern in a text file, with Ansible's meaning of `replace`."""

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
    """A file, a pattern, and what stands in its place; groups are `\\\\1` or `\\\\g<name>`.

    - replace:
        path: /etc/hosts
        regexp: (\\s+)old\\.example\\.org(\\s+.*)?$
        replace: \\1new.example.org\\2

    Only what is after `after` and before `before`, patterns too, is looked at. `^` and `$` stand for each line.
    """

    path: str
    regexp: str
    replace: str = ""
    after: Optional[str] = None
    before: Optional[str] = None
    backup: bool = False
    validate: Optional[str] = None
    mode: Optional[str] = None
    owner: Optional[str] = None
    group: Optional[str] = None

    def __post_init__(self) -> None:
        if not self.path.startswith("/") or "\0" in self.path:
            raise ValueError("path %r is no absolute path" % self.path)
        for name, pattern in (("regexp", self.regexp), ("after", self.after), ("before", self.before)):
            try:
                re.compile(pattern or "", re.MULTILINE)
            except re.error as error:
                raise ValueError("%s `%s` is no regular expression: %s" % (name, pattern, error)) from None
        attributes.check(self.mode)
        edited.check_validate(self.validate)


def observe(spec: Spec, system: System) -> State:
    """Read the file; Refusal where something else is at its place."""
    return edited.look(spec.path, system, spec.owner, spec.group)


def decide(spec: Spec, state: State) -> List[Action]:
    """Nothing, the file with its matches replaced, or its attributes.

    Refusal for a file that does not exist, and where what is put in would be replaced again and again.
    """
    if state.text is None:
        if state.pending:
            return []
        raise Refusal("cannot edit `%s`" % spec.path, "the file does not exist", "create it before, with `copy`")
    try:
        text = _replaced(spec, state.text)
    except (re.error, IndexError) as error:
        raise Refusal("cannot replace by `%s`" % spec.replace, str(error), "see the groups in `regexp`") from None
    if _replaced(spec, text) != text:
        raise Refusal(
            "`%s` would change at every run" % spec.path,
            "`regexp` also matches what `replace` puts there",
            "write a `regexp` that only what is to go matches, for example with `(?!...)`",
        )
    return edited.actions(state, text, mode=spec.mode, keep=spec.backup, validate=spec.validate)


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Replace the file, or set its attributes; `backup_file`: where the old one is kept."""
    return edited.write(action, system)


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`path` and Ansible's `rc`."""
    return {"path": state.path, "rc": 0}


def _replaced(spec: Spec, text: str) -> str:
    start, end = _section(spec, text)
    return text[:start] + re.sub(spec.regexp, spec.replace, text[start:end], flags=re.MULTILINE) + text[end:]


def _section(spec: Spec, text: str) -> Tuple[int, int]:
    """Where what is looked at starts and ends; nothing where `after` or `before` are not found."""
    if spec.after is None and spec.before is None:
        return 0, len(text)
    lazy = "?" if spec.after and spec.before else ""
    pattern = "%s(?P<subsection>.*%s)%s" % (spec.after or "", lazy, spec.before or "")
    match = re.search(pattern, text, re.DOTALL)
    return match.span("subsection") if match else (0, 0)
