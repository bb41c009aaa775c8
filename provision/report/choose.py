"""Which report a run gets: text with or without a live screen, JSON, JSON lines, JUnit."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from provision.events import Event
from provision.options import Shown
from provision.report import Report
from provision.report.document import JsonLines, JsonReport, JunitReport
from provision.report.tally import Tally

if TYPE_CHECKING:
    from provision.report.live import LiveScreen

__all__ = ["Reporting", "reporting"]


class Reporting:
    """Passes events on to what shows them, and keeps the tally for exit codes."""

    def __init__(self, report: Report, screen: LiveScreen | None) -> None:
        self.tally = Tally()
        self._report = report
        self._screen = screen

    def add(self, event: Event) -> None:
        self.tally.add(event)
        if self._screen:
            self._screen.add(event)
        self._report.add(event)

    def close(self) -> None:
        if self._screen:
            self._screen.close()
        self._report.close()


def reporting(shown: Shown) -> Reporting:
    """The report that the options ask for; a live screen only where people watch a terminal."""
    live = sys.stderr.isatty() and shown.output == "text" and not shown.verbose
    reports: dict[str, Callable[[TextIO], Report]] = {"json": JsonReport, "jsonl": JsonLines, "junit": JunitReport}
    if shown.output in reports:
        return Reporting(reports[shown.output](sys.stdout), None)
    from provision.report.text import TextReport

    text = TextReport(sys.stdout, verbosity=shown.verbose, diff=shown.diff, live=live, profile=shown.profile)
    return Reporting(text, _screen(live))


def _screen(wanted: bool) -> LiveScreen | None:
    if not wanted:
        return None
    # imported here: rich costs start-up time that the other forms need not pay
    from provision.report.live import LiveScreen

    return LiveScreen()
