"""A run for people: lines while it goes on, then what changed, what failed and one total.

Identical results and identical diffs are shown once with their hosts. Text that comes from hosts is never markup and
never carries control characters. Must not animate anything; that is `live.py`.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from provision.errors import ProvisionError
from provision.events import (
    BatchEnded,
    Connected,
    Event,
    HostFailed,
    HostUnreachable,
    Notice,
    RunStopped,
    StepEnded,
    StepOutput,
)
from provision.printable import printable
from provision.report.line import Line, printer
from provision.report.profile import Profile
from provision.report.tally import Change, Tally, grouped, host_names

__all__ = ["TextReport"]

SIGNS = {
    "create": ("+", "green"),
    "install": ("+", "green"),
    "change": ("~", "yellow"),
    "enable": ("~", "yellow"),
    "remove": ("-", "red"),
    "stop": ("x", "red"),
    "start": (">", "cyan"),
    "flip": (">", "cyan"),
}
DIFF_LINES = 60
"""Lines of one diff that are shown; more are counted."""


class TextReport:
    """Plain lines as steps end, and the summary at the end.

    `verbosity` 0 leaves out steps that were right and what commands say, 1 what connections and batches took.
    """

    def __init__(
        self, stream: TextIO, *, verbosity: int = 0, diff: bool = False, live: bool = False, profile: bool = False
    ) -> None:
        self.tally = Tally()
        self._profile = profile
        self._printer = printer(stream)
        self._progress = printer(sys.stderr)
        self._verbosity = verbosity
        self._diff = diff
        self._live = live

    def add(self, event: Event) -> None:
        self.tally.add(event)
        if line := self._line(event):
            self._progress.print(line)

    def _line(self, event: Event) -> Line | None:
        if isinstance(event, Notice):
            where = f"{event.host}: " if event.host else ""
            return Line((f"{event.kind}: ", "cyan"), where, printable(event.text))
        if isinstance(event, RunStopped):
            return Line(("stopped     ", "red"), f"the run ends here: {printable(event.reason)}")
        if isinstance(event, StepOutput) and self._verbosity:
            return Line((f"{event.host} | ", "dim"), printable(event.text.rstrip("\n")))
        if isinstance(event, Connected | BatchEnded):
            return Line((_timing(event), "dim")) if self._verbosity > 1 else None
        if self._live:
            return None
        return self._step_line(event)

    def _step_line(self, event: Event) -> Line | None:
        if isinstance(event, HostFailed) and any(change.host == event.host for change in self.tally.failures):
            return None
        if isinstance(event, HostUnreachable | HostFailed):
            word = "unreachable" if isinstance(event, HostUnreachable) else "failed"
            return Line((f"{word:<11} ", "red"), f"{event.host}  ", printable(event.error.summary))
        if not isinstance(event, StepEnded) or (event.result.status in ("ok", "skipped") and not self._verbosity):
            return None
        style = {"changed": "yellow", "failed": "red", "ok": "green"}.get(event.result.status, "dim")
        word = event.result.status
        if word == "changed" and self.tally.check:
            word = "would change" if event.result.actions else "would run"
        said = f"  {event.message}" if event.message else ""
        return Line(
            (f"{word:<11} ", style),
            f"{event.host}  {printable(event.title + said)}",
            (f"  {event.result.seconds:.1f} s", "dim"),
        )

    def close(self) -> None:
        for line in summary(self.tally, diff=self._diff, verbosity=self._verbosity):
            self._printer.print(line)
        for line in profile_lines(self.tally.profile) if self._profile else ():
            self._printer.print(line)


def _timing(event: Connected | BatchEnded) -> str:
    if isinstance(event, Connected):
        return f"{event.host} | connected, agent ready after {event.seconds:.3f} s"
    moved = f"{event.sent / 1024:.1f} KiB sent, {event.received / 1024:.1f} KiB received"
    return f"{event.host} | batch {event.batch}: {event.steps} steps in {event.seconds:.3f} s, {moved}"


def summary(tally: Tally, *, diff: bool, verbosity: int) -> Iterator[Line]:
    """Everything that is shown after a run: messages, changes, failures, one total."""
    known = len(tally.hosts)
    for (title, message), hosts in _messages(tally).items():
        yield Line((f"{printable(title)}  ", "bold"), (host_names(hosts, known), "dim"))
        yield Line(f"    {printable(message)}")
    if tally.check or diff or verbosity:
        for change, hosts in grouped(tally.changes):
            yield from change_lines(change, hosts, known, diff=diff or tally.check)
    for change, hosts in grouped(tally.failures):
        yield from failure_lines(change, hosts)
    yield from host_error_lines(tally)
    yield from total_lines(tally)


def _messages(tally: Tally) -> dict[tuple[str, str], list[str]]:
    said: dict[tuple[str, str], list[str]] = {}
    for host, title, message in tally.messages:
        said.setdefault((title, message), []).append(host)
    return said


def change_lines(change: Change, hosts: list[str], known: int, *, diff: bool) -> Iterator[Line]:
    """One change with its place, hosts, actions and, where wanted, diffs."""
    yield Line((printable(change.title), "bold"), "  ", (host_names(hosts, known), "dim"))
    if change.where:
        yield Line(f"  --> {change.where}", style="dim")
    for action in change.result.actions:
        sign, style = SIGNS.get(str(action["verb"]), ("!", "magenta"))
        yield Line(f"    {sign} {action['verb']} {printable(str(action['target']))}", style=style)
        if diff:
            yield from diff_lines(action)


def diff_lines(action: dict[str, Any]) -> Iterator[Line]:
    """What an action takes away and brings, as a unified diff without its header."""
    before, after = (printable(action.get(side) or "").splitlines() for side in ("before", "after"))
    lines = [line for line in difflib.unified_diff(before, after, lineterm="", n=2) if line[:3] not in ("---", "+++")]
    for line in lines[:DIFF_LINES]:
        yield Line(f"        {line}", style={"+": "green", "-": "red", "@": "cyan"}.get(line[:1], ""))
    if len(lines) > DIFF_LINES:
        yield Line(f"        … and {len(lines) - DIFF_LINES} more lines", style="dim")


def failure_lines(change: Change, hosts: list[str]) -> Iterator[Line]:
    """A failed step in the one form of an error."""
    error = change.result.error or {}
    said = ProvisionError(
        f"{printable(str(error.get('summary') or 'the step failed'))} on {host_names(hosts, 0)}",
        where=change.where,
        context=f'task "{printable(change.title)}"' + _spared(change),
        cause=printable(str(error.get("cause") or "")),
        hint=printable(str(error.get("hint") or "")),
    )
    yield from error_text(said)


def _spared(change: Change) -> str:
    return ", ignored" if change.ignored else ", rescued" if change.rescued else ""


def error_text(error: ProvisionError) -> Iterator[Line]:
    """An error's lines with its leading words coloured."""
    yield Line("")
    for line in str(error).splitlines():
        word, colon, rest = line.partition(": ")
        if colon and word in ("error", "cause", "hint"):
            yield Line((word, "red" if word == "error" else "cyan"), ": ", rest)
        else:
            yield Line(line)


def host_error_lines(tally: Tally) -> Iterator[Line]:
    """Errors of hosts that no failed step of theirs explains, equal ones once."""
    explained = {change.host for change in tally.failures if not change.spared}
    groups: dict[str, tuple[ProvisionError, list[str]]] = {}
    for name, host in tally.hosts.items():
        if host.error and (host.unreachable or name not in explained):
            groups.setdefault(str(host.error), (host.error, []))[1].append(name)
    for error, hosts in groups.values():
        yield from error_text(error)
        yield Line(f"on:    {host_names(hosts, 0)}", style="dim")


def total_lines(tally: Tally) -> Iterator[Line]:
    """Exceptions a host, then one total."""
    rows = list(_exceptions(tally))
    if rows or tally.failures:
        yield Line("")
    if tally.stopped:
        yield Line((f"the run ended early: {printable(tally.stopped.reason)}", "red"))
        if tally.stopped.never:
            yield Line(f"  not begun: {host_names(list(tally.stopped.never), 0)}")
    yield from rows
    sums = {
        word: sum(getattr(host, word) for host in tally.hosts.values())
        for word in ("ok", "changed", "failed", "skipped", "rescued")
    }
    unreachable = sum(host.unreachable for host in tally.hosts.values())
    hosts = f"{len(tally.hosts)} host{'s' * (len(tally.hosts) != 1)}"
    changed = "would change" if tally.check else "changed"
    parts = [
        f"{changed} {sums['changed']}",
        f"ok {sums['ok']}",
        f"skipped {sums['skipped']}",
        f"failed {sums['failed']}",
    ]
    parts += [f"rescued {sums['rescued']}"] if sums["rescued"] else []
    parts.append(f"unreachable {unreachable}")
    style = "red" if tally.exit_code else ("yellow" if sums["changed"] else "green")
    note = "  (simulated)" if tally.simulated else ""
    stopped = "interrupted; " if tally.interrupted else "stopped; " if tally.stopped else ""
    yield Line((f"{stopped}{hosts}: {', '.join(parts)}", f"bold {style}"), (f"  in {tally.seconds:.1f} s{note}", "dim"))


def _exceptions(tally: Tally) -> Iterable[Line]:
    for name, host in tally.hosts.items():
        if host.unreachable:
            yield Line((f"{name}: unreachable", "red"), f"  {host.error.summary}" if host.error else "")
        elif host.failed:
            yield Line(
                f"{name}: failed {host.failed}, changed {host.changed}, ok {host.ok}, skipped {host.skipped}",
                style="red",
            )


def profile_lines(profile: Profile) -> Iterator[Line]:
    """Where the time went."""
    tasks, hosts = profile.slowest_tasks(), profile.slowest_hosts()
    if tasks:
        yield Line("")
        yield Line(("slowest tasks", "bold"), ("  longest; mean of how many; where longest", "dim"))
    for title, task in tasks:
        mean = f"{task.seconds / task.count:.2f} s of {task.count}"
        yield Line(f"  {task.longest:8.2f} s  ", (f"{mean:<16}", "dim"), f"  {task.host:<14}  {printable(title)}")
    if hosts:
        yield Line("")
        yield Line(("slowest hosts", "bold"), ("  whole; until its agent was ready", "dim"))
    for host, seconds in hosts:
        connected = f"{profile.connections.get(host, 0.0):.2f} s"
        yield Line(f"  {seconds:8.2f} s  ", (f"{connected:<16}", "dim"), f"  {host}")
