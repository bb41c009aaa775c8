"""Speaks systemd: asks for the state of units, changes it, reads their journal; must not decide what is wanted."""

from __future__ import annotations

import os
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

from .resource import Emit, Refusal
from .system import System

__all__ = [
    "PROPERTIES",
    "UNIT_DIRECTORY",
    "answer",
    "control",
    "fresh",
    "full",
    "journal",
    "needs_systemd",
    "parse",
    "path",
    "show",
]

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


def needs_systemd(system: System, what: str) -> None:
    """Refusal on a host that systemd does not run."""
    if system.facts.get("init", "systemd") != "systemd":
        raise Refusal(*_without_systemd(what))


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
    """Properties of units as they are now, by one `systemctl show`; Refusal when systemd does not answer."""
    argv = ["systemctl", "show", "--property=" + ",".join(PROPERTIES), "--", *(full(name) for name in names)]
    try:
        done = system.run(argv, timeout=_ASK_DEADLINE)
    except FileNotFoundError:
        raise Refusal(*_without_systemd("a service")) from None
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


def control(system: System, verb: str, *names: str, emit: Optional[Emit] = None) -> None:
    """One changing `systemctl` call (start, stop, restart, enable, daemon-reload, ...); Refusal when it fails."""
    argv = ["systemctl", "--no-ask-password", verb, *(["--"] if names else []), *(full(name) for name in names)]
    options: Dict[str, Any] = {"emit": emit} if emit else {}
    done = system.run(argv, timeout=_CHANGE_DEADLINE, **options)
    if done.returncode == 0:
        return
    subject = " ".join("`%s`" % full(name) for name in names)
    why = "no end within %g s" % _CHANGE_DEADLINE if done.timed_out else done.stderr.strip()
    lines = [line for name in names for line in journal(system, name, 10)]
    raise Refusal(
        ("`systemctl %s` failed for %s" % (verb, subject)) if names else "`systemctl %s` failed" % verb,
        "\n".join([why, *lines]).strip(),
        "see `journalctl -u %s`" % full(names[0]) if names else "see `journalctl -b`",
    )


def journal(system: System, name: str, lines: int, since: Optional[float] = None) -> List[str]:
    """The last lines that a unit logged, at most `lines`, not older than `since` (seconds since the epoch)."""
    argv = ["journalctl", "--no-pager", "--output=cat", "--lines=%d" % lines, "--unit=" + full(name)]
    if since is not None:
        argv.append("--since=@%d" % int(since))
    try:
        done = system.run(argv, timeout=_ASK_DEADLINE)
    except FileNotFoundError:
        return []
    return [line for line in done.stdout.splitlines() if line.strip() and not line.startswith("-- ")]


def _without_systemd(what: str) -> Tuple[str, str, str]:
    return (
        "%s needs systemd" % what,
        "process 1 of this host is not systemd",
        "use a host that was booted with systemd, or leave this host out with `hosts:` or `--limit`",
    )
