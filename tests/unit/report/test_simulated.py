"""Whatever rests on simulated parts says so, in every form of a report."""

from __future__ import annotations

import io
import json

import pytest

from provision.agent.protocol import Result
from provision.events import Connected, Event, RunEnded, RunStarted, StepEnded
from provision.report.document import JsonReport, JunitReport
from provision.report.text import TextReport

BY_FACTS = [Connected("n1", {"simulated": True}, 0.1)]
BY_A_RESULT = [Connected("n1", {}, 0.1), StepEnded("n1", "env", None, Result(1, "failed", simulated=True))]
REAL = [Connected("n1", {"gpu": {"simulated": False}, "simulated": False}, 0.1)]


@pytest.mark.parametrize(("events", "simulated"), [(BY_FACTS, True), (BY_A_RESULT, True), (REAL, False), ([], False)])
def test_every_report_says_simulated(events: list[Event], simulated: bool) -> None:
    streams = [io.StringIO() for _ in range(3)]
    reports = [TextReport(streams[0]), JsonReport(streams[1]), JunitReport(streams[2])]
    for report in reports:
        for event in [RunStarted("apply", "r", ("n1",), False), *events, RunEnded(1.0)]:
            report.add(event)
        report.close()
    text, document, junit = (stream.getvalue() for stream in streams)
    assert ("simulated" in text) is simulated
    assert json.loads(document)["simulated"] is json.loads(document)["hosts"]["n1"]["simulated"] is simulated
    assert ('<property name="simulated" value="true" />' in junit) is simulated
