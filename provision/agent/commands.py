"""Runs a command for a task: when it runs, how, and what is registered of it.

Everything of the resources `command` and `shell` but the words that each makes of its options.
"""

from __future__ import annotations

import os
import time
from typing import Any, Dict, List, Optional

from .record import record
from .resource import Action, Emit, Refusal, Verb
from .system import System

__all__ = ["Options", "State", "apply", "decide", "fields", "observe"]

_DEADLINE = 3600.0
_SHOWN = 200
_TAIL = 20


@record(frozen=True)
class Options:
    """What both words take. `timeout` is in seconds; `creates` and `removes` are paths or patterns."""

    chdir: Optional[str] = None
    creates: Optional[str] = None
    removes: Optional[str] = None
    stdin: Optional[str] = None
    stdin_add_newline: bool = True
    strip_empty_ends: bool = True
    timeout: float = _DEADLINE

    def __post_init__(self) -> None:
        if not self.words():
            raise ValueError("the command is empty")
        if self.chdir is not None and not self.chdir.startswith("/"):
            raise ValueError("chdir is an absolute path")
        if self.timeout <= 0:
            raise ValueError("timeout is a number of seconds over 0")

    def words(self) -> List[str]:
        """The argument list."""
        raise NotImplementedError

    def text(self) -> str:
        """The command as people read it."""
        return " ".join(self.words())

    def final(self, environment: Dict[str, str]) -> List[str]:  # noqa: ARG002
        """The argument list as it is run, in that environment."""
        return self.words()

    def registered(self) -> Any:
        """The command as `cmd` of the result."""
        return self.words()


@record(frozen=True)
class State:
    """`reason`: why the command need not run, "" when it must."""

    reason: str = ""


def observe(spec: Options, system: System) -> State:
    """Whether `creates` or `removes`, relative to `chdir`, make the command needless."""
    if spec.creates is not None and _matches(spec.chdir, spec.creates):
        return State("`%s` exists" % spec.creates)
    if spec.removes is not None and not _matches(spec.chdir, spec.removes):
        return State("`%s` does not exist" % spec.removes)
    return State()


def decide(spec: Options, state: State) -> List[Action]:
    """Run it, unless there is a reason not to."""
    if state.reason:
        return []
    text = spec.text()
    return [Action(Verb.RUN, text if len(text) <= _SHOWN else text[:_SHOWN] + "...", {"spec": spec})]


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Run it, its output streamed, and give what Ansible registers; Refusal, with all that, when it fails."""
    spec: Options = action.arguments["spec"]
    program = spec.words()[0]
    if spec.chdir is not None and not os.path.isdir(spec.chdir):
        raise Refusal("cannot run `%s`" % program, "`%s`, its chdir, is no directory" % spec.chdir, "create it first")
    stdin = "" if spec.stdin is None else spec.stdin + ("\n" if spec.stdin_add_newline else "")
    begun = time.time()
    try:
        done = system.run(
            spec.final({"HOME": system.user_home(), **system.environment}),
            timeout=spec.timeout,
            stdin=stdin.encode("utf-8"),
            environment=system.environment,
            directory=spec.chdir,
            emit=emit,
        )
    except FileNotFoundError:
        raise Refusal(
            "cannot run `%s`" % program, "there is no such program on this host", "install it first"
        ) from None
    found = {**_fields(spec, done.returncode, done.stdout, done.stderr), **_times(begun, time.time())}
    if done.timed_out:
        raise Refusal(
            "`%s` did not end" % program,
            "it ran for %g s and was stopped" % spec.timeout,
            "set a longer `timeout`, in seconds",
            found,
        )
    if done.returncode != 0:
        raise Refusal(
            "`%s` %s" % (program, _ending(done.returncode)),
            _tail(done.stderr or done.stdout),
            "",
            {**found, "msg": "non-zero return code"},
        )
    return {**found, "msg": ""}


def fields(spec: Options, state: State) -> Dict[str, Any]:
    """Why it did not run, where it did not; the other words are there as well, so that plays can ask for them."""
    if not state.reason:
        return {}
    said = _fields(spec, 0, "skipped, since %s" % state.reason.replace("`", ""), "")
    return {**said, "msg": "not run, since %s" % state.reason, "start": None, "end": None, "delta": None}


def _times(begun: float, ended: float) -> Dict[str, str]:
    """When it ran and for how long, as Ansible writes it, in the host's time zone."""
    from datetime import datetime

    start, end = datetime.fromtimestamp(begun), datetime.fromtimestamp(ended)
    return {"start": str(start), "end": str(end), "delta": str(end - start)}


def _fields(spec: Options, returncode: int, stdout: str, stderr: str) -> Dict[str, Any]:
    ends = "\r\n" if spec.strip_empty_ends else ""
    out, err = (text.rstrip(ends) if ends else text for text in (stdout, stderr))
    return {
        "cmd": spec.registered(),
        "rc": returncode,
        "stdout": out,
        "stderr": err,
        "stdout_lines": out.splitlines(),
        "stderr_lines": err.splitlines(),
    }


def _ending(returncode: int) -> str:
    return "was ended by signal %d" % -returncode if returncode < 0 else "failed with exit status %d" % returncode


def _tail(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-_TAIL:])


def _matches(chdir: Optional[str], pattern: str) -> bool:
    path = os.path.join(chdir or "/", pattern)
    if os.path.lexists(path):
        return True
    if not any(character in path for character in "*?["):
        return False
    import glob

    return bool(glob.glob(path))
