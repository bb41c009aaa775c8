"""Getting into a host that is new: by the key where it is accepted, else by a password that brings the key there.

Thin: each function does one thing on one connection. Must not ask the operator or know of other hosts.
"""

from __future__ import annotations

from dataclasses import replace

from provision.errors import ProvisionError
from provision.onboarding import bare
from provision.onboarding.keys import INSTALL, PublicKey, installed
from provision.transport import Connection, Target, Unreachable
from provision.transport.auth import Prompts

__all__ = ["enter", "install", "prove", "with_python"]

BOOTSTRAP_DEADLINE = 600.0
"""Seconds that a package manager may take to bring Python."""


def enter(target: Target, key: PublicKey | None, prompts: Prompts) -> Connection | None:
    """A connection by the key alone, or by any key where none is to be installed; None where it is not accepted.

    Raises Unreachable for everything else.
    """
    from provision.transport.connecting import connect

    try:
        return connect(replace(target, password=None), prompts=prompts, only_key=key is not None)
    except Unreachable as error:
        if error.kind != "authentication":
            raise
        return None


def install(target: Target, key: PublicKey, prompts: Prompts) -> tuple[str, str]:
    """Add the key for the target's user, whose password the target has: "added" or "present", and the user's name.

    Raises Unreachable, and ProvisionError where it cannot be written.
    """
    from provision.transport.connecting import connect

    connection = connect(target, prompts=prompts)
    try:
        ended = _ran(connection, target.name, INSTALL, key.line + "\n", 30.0)
    finally:
        connection.close()
    word = installed(ended.output)
    if not word:
        raise ProvisionError(
            f"cannot write the key on {target.name}",
            cause=ended.tail or "the host said nothing",
            hint=f"whose are ~{connection.user} and ~{connection.user}/.ssh there, and is the disk full?",
            exit_code=2,
        )
    return word, connection.user


def prove(target: Target, key: PublicKey, prompts: Prompts) -> Connection:
    """A connection by the key alone, which stands there now; raises ProvisionError where it is still not accepted."""
    entered = enter(target, key, prompts)
    if entered is None:
        raise ProvisionError(
            f"{target.name} does not accept the key that stands in its authorized_keys",
            cause=f"`{key.private}` was offered" + (f" for `{target.user}`" if target.user else ""),
            hint="sshd's log there says why: `PubkeyAuthentication`, `AuthorizedKeysFile`, an option before the key,\n"
            "or a home that others may write (chmod go-w ~)",
            exit_code=2,
        )
    return entered


def with_python(connection: Connection, target: Target, *, bootstrap: bool, again: str) -> str:
    """What was run so that the host has a Python that serves, "" where it had one; raises ProvisionError."""
    answers = _looked(connection, target)
    if answers.python == "there":
        return ""
    if not bootstrap or answers.python == "old" or not answers.manager:
        raise bare.missing(target.name, target.python, answers, again)
    password = target.become_password
    command = bare.bootstrap(answers, password=password is not None)
    stdin = f"{password}\n" if password is not None and not answers.root else ""
    ended = _ran(connection, target.name, command, stdin, BOOTSTRAP_DEADLINE)
    if _looked(connection, target).python != "there":
        raise ProvisionError(
            f"Python could not be installed on {target.name}",
            cause=f"what should bring it ended with code {ended.code}" + (f":\n{ended.tail}" if ended.tail else ""),
            hint="mend what it says (network, mirrors, sudo: `-K`), then run again",
            exit_code=2,
        )
    return bare.INSTALLS[answers.manager]


def _looked(connection: Connection, target: Target) -> bare.Bare:
    return bare.parse(_ran(connection, target.name, bare.look(target.python), "", 30.0).output)


def _ran(connection: Connection, name: str, command: str, stdin: str, seconds: float) -> bare.Ended:
    try:
        return bare.run(connection, command, stdin=stdin, seconds=seconds)
    except TimeoutError:
        raise Unreachable(
            "timeout",
            f"a command on {name} did not end within {seconds:g} s",
            cause=f"`{command[:60]}...`",
            hint="does a login script wait for something, or is the package lock held?",
        ) from None
