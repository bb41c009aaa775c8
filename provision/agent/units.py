"""The units of apps, whoever keeps them: systemd, or supervisor where process 1 is not systemd.

One unit text serves both, and both show the properties that `systemctl show` names. Must not know what either does.
"""

from __future__ import annotations

from typing import Dict, Iterable, List, Optional, Protocol, Sequence, Tuple

from . import systemd
from .resource import Refusal
from .system import System
from .systemd import full

__all__ = [
    "SUPERVISOR",
    "Keeper",
    "answer",
    "bring",
    "control",
    "control_program",
    "fresh",
    "full",
    "install",
    "journal",
    "keeper",
    "log_argv",
    "log_place",
    "names",
    "needs_systemd",
    "outdated",
    "path",
    "remove",
    "restart",
    "show",
    "without_systemd",
]

SUPERVISOR = "supervisor"
"""The target of actions that bring or change supervisor itself."""


class Keeper(Protocol):
    """What keeps units running. A module of its own each; the functions are those of systemd.py."""

    PROGRAM: str
    """By which people start and stop units on the host."""

    def path(self, name: str) -> str:
        """Where the unit of an app lives."""

    def names(self, system: System) -> List[str]:
        """The services whose units are files of their own where apps have theirs, sorted, without suffix."""

    def properties(self, system: System, names: Sequence[str]) -> Dict[str, Dict[str, str]]:
        """Properties of units as they are now, by the names that were given."""

    def install(self, system: System, name: str, text: str) -> None:
        """Put a unit's text in place; what runs goes on."""

    def remove(self, system: System, name: str) -> None:
        """Take a unit away that is stopped."""

    def restart(self, system: System, name: str) -> None:
        """Start a unit afresh from its text as it is now, with its count of restarts at zero."""

    def control(self, system: System, verb: str, *names: str) -> None:
        """start, stop, enable or disable units; Refusal when that fails."""

    def log(self, system: System, name: str, lines: int, since: Optional[float] = None) -> List[str]:
        """The last lines that a unit logged, not older than `since` (seconds since the epoch)."""

    def log_argv(self, name: str, lines: int, follow: bool) -> List[str]:
        """The command that prints the last lines of a unit's log, and with `follow` those that come."""

    def log_place(self, name: str) -> str:
        """Where people find a unit's log."""


def keeper(system: System) -> Keeper:
    """Who keeps the units of this host."""
    if system.facts.get("init", "systemd") == "systemd":
        return systemd
    from . import supervised

    return supervised


def path(system: System, name: str) -> str:
    """Where the unit of an app lives; `name` without or with its suffix."""
    return keeper(system).path(name)


def control_program(system: System) -> str:
    """By which people start and stop units on this host: `PROGRAM start NAME`."""
    return keeper(system).PROGRAM


def outdated(system: System, archive: str) -> List[Tuple[str, str, str]]:
    """What of the keeper itself is not as wanted (path, text now, wanted text); systemd is nobody's to bring."""
    if keeper(system) is systemd or (system.check and SUPERVISOR in system.pending):
        return []
    from . import supervised

    return supervised.outdated(system, archive)


def bring(system: System, archive: str) -> None:
    """Unpack supervisor and write its own files; apps that run go on."""
    from . import supervised

    supervised.bring(system, archive)


def needs_systemd(system: System, what: str) -> None:
    """Refusal on a host that systemd does not run."""
    if system.facts.get("init", "systemd") != "systemd":
        raise without_systemd(what)


def without_systemd(what: str) -> Refusal:
    """The refusal of what only systemd can do."""
    return Refusal(
        "%s needs systemd" % what,
        "process 1 of this host is not systemd",
        "use a host that was booted with systemd, or leave this host out with `hosts:` or `--limit`",
    )


def names(system: System) -> List[str]:
    """The services whose units are files of their own where apps have theirs, sorted, without suffix."""
    return keeper(system).names(system)


def show(system: System, names: Iterable[str]) -> Dict[str, Dict[str, str]]:
    """Properties of units by the names that were given, from the batch's common answers where they are still valid."""
    wanted = list(names)
    known: Dict[str, Dict[str, str]] = {}
    for name in wanted:
        answered = system.answers.get(("unit", full(name)))
        if answered is not None:
            known[name] = answered
    missing = [name for name in wanted if name not in known]
    return {**known, **fresh(system, missing)} if missing else known


def answer(system: System, names: Sequence[str]) -> Dict[str, Dict[str, str]]:
    """The common answer to the question "unit": everything that steps of a batch ask about units, in one call."""
    return fresh(system, names)


def fresh(system: System, names: Sequence[str]) -> Dict[str, Dict[str, str]]:
    """Properties of units as they are now, in one call; Refusal when their keeper does not answer."""
    return keeper(system).properties(system, names)


def install(system: System, name: str, text: str) -> None:
    """Put a unit's text in place; what runs goes on."""
    keeper(system).install(system, name, text)


def remove(system: System, name: str) -> None:
    """Take a unit away that is stopped."""
    keeper(system).remove(system, name)


def restart(system: System, name: str) -> None:
    """Start a unit afresh from its text as it is now, with its count of restarts at zero."""
    keeper(system).restart(system, name)


def control(system: System, verb: str, *names: str) -> None:
    """start, stop, enable or disable units; Refusal when that fails."""
    keeper(system).control(system, verb, *names)


def journal(system: System, name: str, lines: int, since: Optional[float] = None) -> List[str]:
    """The last lines that a unit logged, at most `lines`, not older than `since` (seconds since the epoch)."""
    return keeper(system).log(system, name, lines, since)


def log_argv(system: System, name: str, lines: int, follow: bool) -> List[str]:
    """The command that prints the last lines of a unit's log, and with `follow` those that come."""
    return keeper(system).log_argv(name, lines, follow)


def log_place(system: System, name: str) -> str:
    """Where people find a unit's log."""
    return keeper(system).log_place(name)
