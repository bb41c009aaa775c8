"""Text for a shell, run by /bin/sh or by the `executable` that is named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional

from .. import commands
from ..resource import Action, Emit
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]

State = commands.Found
_SHOWN = 200


@dataclass(frozen=True)
class Spec:
    """The text that the shell runs.

    - shell:
        cmd: dmesg | grep -c NVRM
        executable: /bin/bash

    It runs on every apply unless `creates` exists or `removes` does not. `timeout` is in seconds.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    cmd: str
    executable: str = "/bin/sh"
    chdir: Optional[str] = None
    creates: Optional[str] = None
    removes: Optional[str] = None
    stdin: Optional[str] = None
    stdin_add_newline: bool = True
    timeout: float = commands.DEADLINE

    def __post_init__(self) -> None:
        if not self.cmd.strip():
            raise ValueError("the command is empty")
        if not self.executable.startswith("/"):
            raise ValueError("executable is an absolute path")
        commands.check_paths(self.chdir, self.timeout)


def observe(spec: Spec, system: System) -> State:
    """Look at `creates` and `removes`."""
    return commands.look(spec.chdir, spec.creates, spec.removes)


def decide(spec: Spec, state: State) -> List[Action]:
    """Run, unless `creates` or `removes` say that it was done."""
    stdin = "" if spec.stdin is None else spec.stdin + ("\n" if spec.stdin_add_newline else "")
    argv = [spec.executable, "-c", spec.cmd]
    arguments = {"argv": argv, "chdir": spec.chdir, "stdin": stdin, "timeout": spec.timeout}
    text = spec.cmd.strip()
    return commands.actions(state, text if len(text) <= _SHOWN else text[:_SHOWN] + "...", arguments)


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Run it; Refusal, with all that is registered, when it fails."""
    return {**commands.run(action.arguments, system, emit), "cmd": action.arguments["argv"][2]}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """Why it did not run, where it did not."""
    return {"msg": "not run, since %s" % state.reason} if state.reason else {}
