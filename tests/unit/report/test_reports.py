"""The same run, as text, JSON, JSON lines and JUnit."""

from __future__ import annotations

import io
import json
from xml.etree import ElementTree

import jsonschema
import pytest
from syrupy.assertion import SnapshotAssertion

from provision.agent.protocol import Result
from provision.errors import Mark, ProvisionError
from provision.events import (
    BatchEnded,
    Connected,
    Event,
    HostEnded,
    HostFailed,
    HostUnreachable,
    Notice,
    RunEnded,
    RunStarted,
    StepEnded,
)
from provision.report.document import JsonLines, JsonReport, JunitReport, schema
from provision.report.tally import Tally
from provision.report.text import TextReport

PLACE = Mark("roles/web/tasks/main.yaml", 14, 3)
FILE = {"verb": "change", "target": "/etc/web.conf", "before": "port 80\nname a\n", "after": "port 81\nname a\n"}
ERROR = {"summary": "cannot link `/srv/a`", "cause": "the path is a directory with 212 files", "hint": "move it"}


def events(hosts: tuple[str, ...] = ("n1", "n2", "n3", "n4")) -> list[Event]:
    changed = Result(1, "changed", [FILE], seconds=0.2)
    return [
        RunStarted("apply", "r1", hosts, check=False),
        Notice("`env` had no lock and was locked", kind="lock"),
        Connected("n1", {"simulated": True}, 0.1),
        Connected("n2", {}, 0.1),
        StepEnded("n1", "web : Configured", PLACE, changed),
        StepEnded("n2", "web : Configured", PLACE, changed),
        StepEnded("n1", "web : Said", PLACE, Result(-1, "ok"), message="hello [/red] \x1b[31mworld"),
        StepEnded("n2", "web : Linked", PLACE, Result(2, "failed", error=ERROR)),
        HostFailed("n2", ProvisionError("`n2` failed at `web : Linked`")),
        StepEnded("n3", "web : Tried", PLACE, Result(2, "failed", error=ERROR), ignored=True),
        HostUnreachable("n4", ProvisionError("`n4` refused the connection", cause="10.0.0.4 port 22", exit_code=4)),
        HostEnded("n1", 1.0),
        RunEnded(2.5),
    ]


def told(report: TextReport | JsonReport | JsonLines | JunitReport) -> None:
    for event in events():
        report.add(event)
    report.close()


@pytest.mark.parametrize("diff", [False, True])
def test_text(snapshot: SnapshotAssertion, capsys: pytest.CaptureFixture[str], diff: bool) -> None:
    stream = io.StringIO()
    told(TextReport(stream, diff=diff))
    assert stream.getvalue() == snapshot(name="summary")
    assert capsys.readouterr().err == snapshot(name="lines")
    assert "\x1b" not in stream.getvalue()


def test_a_profile_names_the_slowest_tasks_and_hosts(snapshot: SnapshotAssertion) -> None:
    stream = io.StringIO()
    told(TextReport(stream, profile=True))
    assert stream.getvalue().partition("slowest tasks")[2] == snapshot


def test_timings_of_the_protocol_are_told_at_the_second_v(capsys: pytest.CaptureFixture[str]) -> None:
    for verbosity in (1, 2):
        report = TextReport(io.StringIO(), verbosity=verbosity)
        report.add(Connected("n1", {}, 0.25))
        report.add(BatchEnded("n1", 1, 30, 0.5, 2048, 512))
    assert capsys.readouterr().err.splitlines() == [
        "n1 | connected, agent ready after 0.250 s",
        "n1 | batch 1: 30 steps in 0.500 s, 2.0 KiB sent, 0.5 KiB received",
    ]


def test_json_keeps_its_schema() -> None:
    stream = io.StringIO()
    told(JsonReport(stream))
    document = json.loads(stream.getvalue())
    jsonschema.validate(document, schema())
    assert document["hosts"]["n4"]["unreachable"] is True
    assert document["hosts"]["n4"]["failed"] == 0
    assert document["hosts"]["n3"] | {"seconds": 0} == {
        "ok": 0,
        "changed": 0,
        "failed": 0,
        "skipped": 0,
        "ignored": 1,
        "rescued": 0,
        "unreachable": False,
        "simulated": False,
        "seconds": 0,
        "error": None,
        "orphans": [],
        "orphans_unjudged": None,
    }
    assert [change["host"] for change in document["changes"]] == ["n1", "n2"]
    assert document["simulated"] is True
    assert document["ok"] is False


def test_json_lines_are_objects_with_their_event() -> None:
    stream = io.StringIO()
    told(JsonLines(stream))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == [type(event).__name__ for event in events()]


def test_junit_counts_cases() -> None:
    stream = io.StringIO()
    told(JunitReport(stream))
    suites = ElementTree.fromstring(stream.getvalue().partition("\n")[2])
    by_name = {suite.attrib["name"]: suite for suite in suites}
    assert by_name["n2"].attrib["failures"] == "1"
    assert by_name["n4"].attrib["errors"] == "1"
    assert all(int(suite.attrib["tests"]) >= len(suite.findall("testcase")) for suite in suites)


@pytest.mark.parametrize(
    ("failed", "unreachable", "interrupted", "code"),
    [
        (False, False, False, 0),
        (True, False, False, 2),
        (False, True, False, 4),
        (True, True, False, 6),
        (True, True, True, 130),
    ],
)
def test_exit_codes(failed: bool, unreachable: bool, interrupted: bool, code: int) -> None:
    tally = Tally()
    tally.add(RunStarted("apply", "r", ("a", "b"), check=False))
    if failed:
        tally.add(HostFailed("a", ProvisionError("no")))
    if unreachable:
        tally.add(HostUnreachable("b", ProvisionError("no")))
    tally.add(RunEnded(1.0, interrupted))
    assert tally.exit_code == code
