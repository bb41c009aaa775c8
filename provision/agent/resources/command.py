"""A program with its arguments, run without a shell; must not interpret any of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

from .. import commands
from ..resource import Action, Emit
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]

State = commands.Found


@dataclass(frozen=True)
class Spec:
    """What to run, as a list (`argv`) or as text that is split like a shell does (`cmd`).

    - command:
        argv: [/usr/sbin/update-grub]
        creates: /boot/grub/grub.cfg

    It runs on every apply unless `creates` exists or `removes` does not. `timeout` is in seconds.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    argv: List[str] = field(default_factory=list)
    cmd: Optional[str] = None
    chdir: Optional[str] = None
    creates: Optional[str] = None
    removes: Optional[str] = None
    stdin: Optional[str] = None
    stdin_add_newline: bool = True
    timeout: float = commands.DEADLINE

    def __post_init__(self) -> None:
        if bool(self.argv) == bool(self.cmd):
            raise ValueError("give the command once, as `argv` or as `cmd`")
        if not words(self):
            raise ValueError("the command is empty")
        commands.check_paths(self.chdir, self.timeout)


def words(spec: Spec) -> List[str]:
    """The argument list; ValueError for quotes that do not end."""
    if spec.argv:
        return list(spec.argv)
    import shlex

    return shlex.split(spec.cmd or "")


def observe(spec: Spec, system: System) -> State:
    """Look at `creates` and `removes`."""
    return commands.look(spec.chdir, spec.creates, spec.removes)


def decide(spec: Spec, state: State) -> List[Action]:
    """Run, unless `creates` or `removes` say that it was done."""
    argv = words(spec)
    stdin = "" if spec.stdin is None else spec.stdin + ("\n" if spec.stdin_add_newline else "")
    arguments = {"argv": argv, "chdir": spec.chdir, "stdin": stdin, "timeout": spec.timeout}
    return commands.actions(state, " ".join(argv), arguments)


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Run it; Refusal, with all that is registered, when it fails."""
    return commands.run(action.arguments, system, emit)


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """Why it did not run, where it did not."""
    return {"msg": "not run, since %s" % state.reason} if state.reason else {}
