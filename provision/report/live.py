"""A terminal's live screen: one line a host with its step and real progress; many hosts collapse to counts.

Drawn on standard error, four times a second; the summary below it is `text.py`'s.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import field

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from provision.agent.record import record
from provision.events import (
    Connected,
    Event,
    HostEnded,
    HostFailed,
    HostUnreachable,
    OperatorAnswered,
    OperatorAsked,
    RunStarted,
    StepEnded,
    StepOutput,
    StepProgress,
    StepStarted,
)
from provision.printable import printable
from provision.report.line import console

__all__ = ["LiveScreen"]

SILENT_AFTER = 10.0
"""Seconds without any event after which a host's line says how long it has been silent."""
BAR = 20
ESTIMATED_AFTER = 3.0
"""Seconds of a step before its progress says how long the rest takes."""


@record(slots=True)
class _Row:
    state: str = "waiting"
    step: str = ""
    progress: StepProgress | None = None
    said: str = ""
    begun: float = 0.0
    heard: float = 0.0
    changed: int = 0


@record
class LiveScreen:
    """Keeps a row a host up to date; to be closed before anything else is written to the terminal."""

    rows: dict[str, _Row] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.console: Console = console(sys.stderr)
        self._live = Live(self, console=self.console, refresh_per_second=4, transient=True)
        self._started = False

    def add(self, event: Event) -> None:
        """Take one event into account."""
        if isinstance(event, RunStarted):
            self.rows = {host: _Row(heard=time.monotonic()) for host in event.hosts}
            self._started = True
            self._live.start()
        elif isinstance(event, OperatorAsked) and self._started:
            self._live.stop()
        elif isinstance(event, OperatorAnswered) and self._started:
            self._live.start()
        host = getattr(event, "host", None)
        if host in self.rows:
            self._update(self.rows[host], event)

    def _update(self, row: _Row, event: Event) -> None:
        row.heard = time.monotonic()
        match event:
            case Connected():
                row.state = "working"
            case StepStarted():
                row.state, row.step, row.progress, row.said, row.begun = "working", event.title, None, "", row.heard
            case StepProgress():
                row.progress = event
            case StepOutput():
                row.said = printable(event.text).strip().rpartition("\n")[2]
            case StepEnded():
                row.changed += event.result.status == "changed"
                row.progress, row.step = None, ""
            case HostUnreachable():
                row.state = "unreachable"
            case HostFailed():
                row.state = "failed"
            case HostEnded() if row.state not in ("failed", "unreachable"):
                row.state = "done"

    def close(self) -> None:
        if self._started:
            self._live.stop()
            self._started = False

    def __rich__(self) -> Group:
        busy = {name: row for name, row in self.rows.items() if row.state in ("working", "waiting")}
        room, width = max(3, self.console.size.height - 4), self.console.size.width
        now = time.monotonic()
        slowest = sorted(busy.items(), key=lambda item: (item[1].state != "working", item[1].begun))
        summed = list(_sums(busy.values(), room // 2, width)) if len(busy) > room else []
        lines = summed + [_line(name, row, now, width) for name, row in slowest[: room - len(summed)]]
        counts = {
            state: sum(row.state == state for row in self.rows.values()) for state in ("done", "failed", "unreachable")
        }
        total = f"{len(self.rows)} hosts: {len(busy)} busy, " + ", ".join(f"{n} {state}" for state, n in counts.items())
        return Group(*lines, Text(total, style="bold"))


def _sums(rows: Iterable[_Row], most: int, width: int) -> Iterator[Text]:
    """How many hosts are at which step, where there is no room for a line each; the steps of most hosts first."""
    counts = Counter(row.step or ("connecting" if row.state == "waiting" else "…") for row in rows)
    for step, count in counts.most_common(most):
        text = Text.assemble((f"{count:>6} hosts  ", "bold"), printable(step))
        text.truncate(width - 1)
        yield text


def _line(name: str, row: _Row, now: float, width: int) -> Text:
    if row.state == "waiting":
        return Text.assemble((f"{name:<14} ", "bold"), ("connecting", "dim"))
    text = Text.assemble((f"{name:<14} ", "bold"), printable(row.step) or "…")
    if row.progress:
        text.append_text(_bar(row.progress, now - row.begun))
    if row.step:
        text.append(f"  {now - row.begun:.0f} s", "dim")
    if now - row.heard > SILENT_AFTER:
        text.append(f"  silent for {now - row.heard:.0f} s", "yellow")
    if row.said:
        text.append(f"  {row.said}", "dim")
    text.truncate(width - 1)
    return text


def _bar(progress: StepProgress, seconds: float) -> Text:
    if progress.total <= 0:
        return Text(f"  {_amount(progress.done, progress.unit)} {printable(progress.label)}", style="cyan")
    part = min(1.0, progress.done / progress.total)
    filled = int(part * BAR)
    figures = f"{_amount(progress.done, progress.unit).partition(' ')[0]}/{_amount(progress.total, progress.unit)}"
    bar = ("━" * filled, "cyan"), ("━" * (BAR - filled), "dim")
    return Text.assemble("  ", *bar, f" {figures}{_rest(part, seconds)} {printable(progress.label)}")


def _rest(part: float, seconds: float) -> str:
    """How long the rest takes at the speed so far; nothing is said of the first seconds."""
    rest = seconds * (1 - part) / part if part > 0 else 0.0
    return f", {rest:.0f} s left" if seconds > ESTIMATED_AFTER and part < 1 and rest >= 1 else ""


def _amount(value: float, unit: str) -> str:
    if unit == "bytes":
        return f"{value / 1e6:.1f} MB"
    return f"{value:.0f} {unit}".rstrip()
