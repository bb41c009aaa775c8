"""Why a host's agent did not start, found in what sudo, the shell and Python said; pure.

Owns the words. What is not recognised is shown as it is.
"""

from __future__ import annotations

import re

from provision.agent.record import record
from provision.transport import Unreachable

__all__ = ["Ended", "explain", "wants_terminal"]


@record(frozen=True, slots=True)
class Ended:
    """How a start ended: exit status, what was said, whether by sudo, whether its prompt was answered or came again."""

    returncode: int | None
    said: str
    sudo: bool
    asked: bool = False
    again: bool = False


def wants_terminal(said: str) -> bool:
    """Whether sudo refused because it has no terminal (`requiretty`)."""
    return bool(re.search(r"must have a (tty|terminal)|no tty present and no askpass", said)) and "askpass" not in said


def explain(ended: Ended, name: str, python: str, user: str) -> Unreachable:
    """The error of a start that ended before the marker."""
    said = re.sub(r"execute '.*?' as ", "execute the agent as ", ended.said.strip(), flags=re.S)
    return (
        (_sudo(ended, said, name, user) if ended.sudo else None)
        or _python(ended, said, name, python)
        or _other(ended, said, name)
    )


def _sudo(ended: Ended, said: str, name: str, user: str) -> Unreachable | None:
    if ended.again or re.search(r"incorrect password|Sorry, try again", said):
        return _error(f"the sudo password of `{user}` on {name} is wrong", "", "give the right one with `-K`")
    if re.search(r"a password is required|a terminal is required|askpass", said):
        given = "no password was given" if not ended.asked else "sudo asked for more than the password"
        hint = "give it with `-K` (or `ansible_become_password`), or allow NOPASSWD in sudoers"
        return _error(f"sudo on {name} asks `{user}` for a password", given, hint)
    if re.search(r"not in the sudoers file|may not run sudo|not allowed to (run|execute)", said):
        hint = "the agent needs root where a task has become, whatever its `become_user`: allow that in sudoers"
        return _error(f"sudo on {name} does not let `{user}` become root", _tail(said), hint)
    if re.search(r"must have a (tty|terminal)", said):
        return _error(f"sudo on {name} wants a terminal, and refuses the one it got", _tail(said), "see `requiretty`")
    if re.search(r"sudo['\"`’]?:? (command )?not found|env:.*sudo.*No such file", said):
        return _error(f"{name} has no sudo", _tail(said), "install sudo, or log in as root (`ansible_user: root`)")
    return None


def _python(ended: Ended, said: str, name: str, python: str) -> Unreachable | None:
    hint = "install python3 (3.8 or newer), or set `ansible_python_interpreter`"
    missing = ended.returncode == 127 or re.search(
        rf"{re.escape(python)}['\"`’]?:? (command |No such file|not found)", said
    )
    if missing:
        return Unreachable("python", f"{name} has no `{python}`", cause=_tail(said), hint=hint)
    if ended.returncode == 126:
        return Unreachable("python", f"`{python}` on {name} cannot be executed", cause=_tail(said), hint=hint)
    if re.search(r"[Uu]nknown option: -I|SyntaxError|No module named", said):
        return Unreachable("python", f"`{python}` on {name} is no usable Python 3", cause=_tail(said), hint=hint)
    return None


def _other(ended: Ended, said: str, name: str) -> Unreachable:
    code = f"with code {ended.returncode}" if ended.returncode is not None else "without a code"
    return Unreachable(
        "closed",
        f"the agent on {name} did not start",
        cause=f"the command ended {code}" + (f" and said:\n{_tail(said)}" if said else " and said nothing"),
        hint="can that user run commands there? try `ssh HOST python3 -V`",
    )


def _error(summary: str, cause: str, hint: str) -> Unreachable:
    return Unreachable("sudo", summary, cause=cause, hint=hint)


def _tail(said: str) -> str:
    return "\n".join(said.splitlines()[-5:])[-1000:]
