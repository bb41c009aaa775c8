"""While the operator is asked something, nothing else is shown; afterwards everything is, in order."""

from __future__ import annotations

import pytest

from provision.asking import Outlet, Terminal
from provision.events import Event, Notice, OperatorAnswered, OperatorAsked


class Report:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[Event] = []

    def add(self, event: Event) -> None:
        self.told.append(event)

    def close(self) -> None:
        pass


def test_events_wait_for_the_answer() -> None:
    report = Report()
    outlet = Outlet(report)
    outlet.emit(Notice("before"))
    with outlet.quiet():
        outlet.emit(Notice("meanwhile"))
        outlet.emit(Notice("and more"))
        assert report.told == [Notice("before"), OperatorAsked()]
    outlet.emit(Notice("after"))
    assert report.told[2:] == [OperatorAnswered(), Notice("meanwhile"), Notice("and more"), Notice("after")]


def test_events_are_shown_also_when_the_question_fails() -> None:
    report = Report()
    outlet = Outlet(report)
    with pytest.raises(OSError, match="gone"), outlet.quiet():
        outlet.emit(Notice("meanwhile"))
        raise OSError("gone")
    assert report.told == [OperatorAsked(), OperatorAnswered(), Notice("meanwhile")]


def test_nobody_is_asked_once_the_run_is_interrupted() -> None:
    terminal = Terminal()
    terminal.begin(Outlet(Report()))
    terminal.give_up()
    assert terminal.ask("Password: ", False) is None
