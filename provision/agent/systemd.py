"""Units that systemd keeps: asks for their state, changes it, reads their journal; must not decide what is wanted.

One of the two keepers behind units.py; the other is supervised.py.
"""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional, Sequence

from .resource import Emit, Refusal
from .system import System

__all__ = [
    "PROGRAM",
    "PROPERTIES",
    "UNIT_DIRECTORY",
    "control",
    "full",
    "install",
    "log",
    "log_argv",
    "log_place",
    "names",
    "parse",
    "path",
    "properties",
    "remove",
    "restart",
]

PROGRAM = "systemctl"
UNIT_DIRECTORY = "/etc/systemd/system"
PROPERTIES = (
    "Id",
    "LoadState",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "FragmentPath",
    "NeedDaemonReload",
    "MainPID",
    "NRestarts",
    "ControlGroup",
    "Result",
    "ExecMainStatus",
    "ExecMainCode",
)
_ASK_DEADLINE = 20.0
_CHANGE_DEADLINE = 150.0


def path(name: str) -> str:
    """Where the unit of an app lives; `name` without or with its suffix."""
    return os.path.join(UNIT_DIRECTORY, full(name))


def full(name: str) -> str:
    """A unit's name with its suffix, `.service` unless it has one."""
    suffixes = (".service", ".socket", ".timer", ".mount", ".target", ".path", ".slice", ".scope")
    return name if name.endswith(suffixes) else name + ".service"


def names(system: System) -> List[str]:
    """The services whose units are files of their own, sorted, without suffix; links lead to units of others."""
    found = system.listdir(UNIT_DIRECTORY)
    services = [name[: -len(".service")] for name in found if name.endswith(".service")]
    return [name for name in services if not os.path.islink(path(name))]


def properties(system: System, names: Sequence[str]) -> Dict[str, Dict[str, str]]:
    """Properties of units as they are now, by one `systemctl show`; Refusal when systemd does not answer."""
    argv = ["systemctl", "show", "--property=" + ",".join(PROPERTIES), "--", *(full(name) for name in names)]
    try:
        done = system.run(argv, timeout=_ASK_DEADLINE)
    except FileNotFoundError:
        from .units import without_systemd

        raise without_systemd("a service") from None
    if done.returncode != 0:
        why = "no answer within %g s" % _ASK_DEADLINE if done.timed_out else done.stderr.strip()
        raise Refusal("systemd does not tell the state of `%s`" % "`, `".join(names), why, "look at `systemctl status`")
    return dict(zip(names, parse(done.stdout, len(names))))


def parse(text: str, count: int) -> List[Dict[str, str]]:
    """The blocks that `systemctl show` prints, in order; ValueError when there are not `count`."""
    blocks = [block for block in text.strip("\n").split("\n\n") if block]
    if len(blocks) != count:
        raise ValueError("`systemctl show` gave %d units where %d were asked for" % (len(blocks), count))
    pairs = ([line.partition("=") for line in block.splitlines()] for block in blocks)
    return [{key: value for key, _, value in block} for block in pairs]


def install(system: System, name: str, text: str) -> None:
    """Put a unit's text in place and let systemd read it."""
    system.write(path(name), text.encode(), mode=0o644, uid=0, gid=0)
    control(system, "daemon-reload")


def remove(system: System, name: str) -> None:
    """Take a unit away and let systemd forget it."""
    system.unlink(path(name))
    control(system, "daemon-reload")


def restart(system: System, name: str) -> None:
    """Start a unit afresh from its text as it is now, with its count of restarts at zero."""
    control(system, "daemon-reload")  # a run that was killed may have written the unit and no more
    control(system, "restart", name)


def control(system: System, verb: str, *names: str, emit: Optional[Emit] = None) -> None:
    """One changing `systemctl` call (start, stop, restart, enable, daemon-reload, ...); Refusal when it fails."""
    argv = ["systemctl", "--no-ask-password", verb, *(["--"] if names else []), *(full(name) for name in names)]
    options: Dict[str, Any] = {"emit": emit} if emit else {}
    done = system.run(argv, timeout=_CHANGE_DEADLINE, **options)
    if done.returncode == 0:
        return
    subject = " ".join("`%s`" % full(name) for name in names)
    why = "no end within %g s" % _CHANGE_DEADLINE if done.timed_out else done.stderr.strip()
    lines = [line for name in names for line in log(system, name, 10)]
    raise Refusal(
        ("`systemctl %s` failed for %s" % (verb, subject)) if names else "`systemctl %s` failed" % verb,
        "\n".join([why, *lines]).strip(),
        "see %s" % log_place(names[0]) if names else "see `journalctl -b`",
    )


def log(system: System, name: str, lines: int, since: Optional[float] = None) -> List[str]:
    """The last lines that a unit logged, at most `lines`, not older than `since` (seconds since the epoch)."""
    argv = log_argv(name, lines, follow=False)
    if since is not None:
        argv.append("--since=@%d" % int(since))
    try:
        done = system.run(argv, timeout=_ASK_DEADLINE)
    except FileNotFoundError:
        return []
    return [line for line in done.stdout.splitlines() if line.strip() and not line.startswith("-- ")]


def log_argv(name: str, lines: int, follow: bool) -> List[str]:
    """The command that prints the last lines of a unit's log, and with `follow` those that come."""
    argv = ["journalctl", "--no-pager", "--quiet", "--output=cat", "--lines=%d" % lines, "--unit=" + full(name)]
    return [*argv, "--follow"] if follow else argv


def log_place(name: str) -> str:
    """Where people find a unit's log."""
    return "`journalctl -u %s`" % full(name)
