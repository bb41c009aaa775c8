"""Users and groups of this host: asks the databases, runs the tools that change them."""

from __future__ import annotations

import grp
import pwd
from typing import List, Optional, Sequence

from .resource import Refusal
from .system import System

__all__ = ["account", "check_name", "group_name", "group_number", "groups_of", "run"]

_DEADLINE = 120.0


def check_name(name: str) -> None:
    """ValueError for what is no name of a user or group."""
    if not name or name[0] in "-+~" or any(character in name for character in ":,/ \t\n\0"):
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


def run(system: System, argv: Sequence[str]) -> None:
    """Run one of the account tools; Refusal with what it said when it fails."""
    try:
        done = system.run(argv, timeout=_DEADLINE)
    except FileNotFoundError:
        raise Refusal(
            "cannot run `%s`" % argv[0], "there is no such program on this host", "install `passwd`"
        ) from None
    if done.returncode != 0:
        said = done.stderr.strip() or done.stdout.strip()
        raise Refusal("`%s` failed for `%s`" % (argv[0], argv[-1]), said, "")
