"""Users and groups of this host: asks the databases, runs the tools that change them."""

from __future__ import annotations

import grp
import pwd
from typing import List, Optional, Sequence, Tuple

from .resource import Refusal
from .system import System

__all__ = ["account", "check_name", "group_name", "group_number", "groups_of", "run", "shadow"]

_DEADLINE = 120.0


def check_name(name: str) -> None:
    """ValueError for what is no name of a user or group."""
    if not name or name[0] in "-+~" or not name.isprintable() or any(character in name for character in ":,/ "):
        raise ValueError("%r is no name of a user or group" % name)


def account(name: str) -> Optional[pwd.struct_passwd]:
    """A user's entry, or None."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def group_number(name: str) -> Optional[int]:
    """A group's number, or None."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def group_name(number: int) -> str:
    """A group's name, or its number where it has none."""
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def groups_of(name: str, primary: int) -> List[str]:
    """The groups that list a user, its primary one left out, sorted."""
    return sorted(group.gr_name for group in grp.getgrall() if name in group.gr_mem and group.gr_gid != primary)


def shadow(name: str, system: System) -> Tuple[str, Optional[int]]:
    """A user's password hash, and the day on which it expires, -1 for never; Refusal for who may not read it."""
    try:
        lines = system.read_text("/etc/shadow").splitlines()
    except PermissionError:
        raise Refusal(
            "cannot look at the password of `%s`" % name,
            "only root may read /etc/shadow",
            "give the task `become: true`",
        ) from None
    found = next((line.split(":") for line in lines if line.startswith(name + ":")), [])
    return (found[1], int(found[7] or -1)) if len(found) > 7 else ("", -1)


def run(system: System, argv: Sequence[str], stdin: str = "") -> None:
    """Run one of the account tools; Refusal with what it said when it fails."""
    try:
        done = system.run(argv, timeout=_DEADLINE, stdin=stdin.encode())
    except FileNotFoundError:
        raise Refusal(
            "cannot run `%s`" % argv[0], "there is no such program on this host", "install `passwd`"
        ) from None
    if done.returncode != 0:
        said = done.stderr.strip() or done.stdout.strip()
        raise Refusal("`%s` failed for `%s`" % (argv[0], argv[-1]), said, "")
