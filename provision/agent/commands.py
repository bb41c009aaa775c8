"""What `command` and `shell` share: when a command runs, how it is run, what is registered of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Dict, List, Optional

from .resource import Action, Emit, Refusal, Verb
from .system import System

__all__ = ["DEADLINE", "Found", "actions", "check_paths", "look", "run"]

DEADLINE = 3600.0
"""Seconds that a command may take unless its task says otherwise."""
_TAIL = 20


@dataclass(frozen=True)
class Found:
    """`reason`: why the command need not run, "" when it must."""

    reason: str = ""


def check_paths(chdir: Optional[str], timeout: float) -> None:
    """ValueError for a directory that is not absolute, or a deadline that is none."""
    if chdir is not None and not chdir.startswith("/"):
        raise ValueError("chdir is an absolute path")
    if timeout <= 0:
        raise ValueError("timeout is a number of seconds over 0")


def look(chdir: Optional[str], creates: Optional[str], removes: Optional[str]) -> Found:
    """Whether `creates` or `removes` (paths or patterns, relative to `chdir`) make the command needless."""
    if creates is not None and _matches(chdir, creates):
        return Found("`%s` exists" % creates)
    if removes is not None and not _matches(chdir, removes):
        return Found("`%s` does not exist" % removes)
    return Found()


def actions(found: Found, title: str, arguments: Dict[str, Any]) -> List[Action]:
    """Run it, unless there is a reason not to."""
    return [] if found.reason else [Action(Verb.RUN, title, arguments)]


def run(arguments: Dict[str, Any], system: System, emit: Emit) -> Dict[str, Any]:
    """Run a command, its output streamed, and give what Ansible registers; Refusal when it fails.

    `arguments`: argv, chdir, stdin, timeout.
    """
    argv, chdir = arguments["argv"], arguments["chdir"]
    if chdir is not None and not os.path.isdir(chdir):
        raise Refusal("cannot run `%s`" % argv[0], "`%s`, its chdir, is no directory" % chdir, "create it first")
    try:
        done = system.run(
            argv,
            timeout=arguments["timeout"],
            stdin=arguments["stdin"].encode("utf-8"),
            environment=system.environment,
            directory=chdir,
            emit=emit,
        )
    except FileNotFoundError:
        raise Refusal(
            "cannot run `%s`" % argv[0], "there is no such program on this host", "install it first"
        ) from None
    found = _fields(argv, done.returncode, done.stdout, done.stderr)
    if done.timed_out:
        raise Refusal(
            "`%s` did not end" % argv[0],
            "it ran for %g s and was stopped" % arguments["timeout"],
            "set a longer `timeout`, in seconds",
            found,
        )
    if done.returncode != 0:
        raise Refusal("`%s` %s" % (argv[0], _ending(done.returncode)), _tail(done.stderr or done.stdout), "", found)
    return found


def _fields(argv: List[str], returncode: int, stdout: str, stderr: str) -> Dict[str, Any]:
    out, err = stdout.rstrip("\r\n"), stderr.rstrip("\r\n")
    return {
        "cmd": list(argv),
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
