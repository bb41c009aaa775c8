"""What `provision app` shows: folded over hosts, as JSON, and lines as they come."""

from __future__ import annotations

import json
from typing import Any

import pytest

from provision.agent.protocol import Result
from provision.errors import ProvisionError
from provision.events import Connected, Event, HostFailed, HostUnreachable, RunEnded, RunStarted, StepEnded, StepOutput
from provision.report.apps import AppsReport, FollowReport, LogsReport

HOSTS = ("n1", "n2", "n3")
RIGHT = {
    "name": "web", "state": "running", "pid": 7, "since": 1700000000, "restarts": 0, "port": 80, "digest": "as wanted",
    "problem": "", "enabled": True, "environment": "e", "generation": "/g",
}  # fmt: skip
ILL = {**RIGHT, "restarts": 3, "problem": "`http://127.0.0.1:80/` answers HTTP 500 where 200 is expected"}


def ended(host: str, status: str = "ok", error: dict[str, Any] | None = None, **fields: Any) -> StepEnded:
    return StepEnded(host, "Apps", None, Result(1, status, error=error, fields=fields))


def shown(report: AppsReport | LogsReport | FollowReport, *events: Event) -> int:
    for event in (RunStarted("app", "r1", HOSTS, check=False), *events, RunEnded(1.0)):
        report.add(event)
    report.close()
    return report.exit_code


def test_equal_apps_are_shown_once_with_their_processes(capsys: pytest.CaptureFixture[str]) -> None:
    report = AppsReport("web")
    assert shown(report, ended("n2", apps=[RIGHT]), ended("n1", apps=[RIGHT]), ended("n3", apps=[ILL])) == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "web"
    assert lines[1] == "  running, serves on port 80, restarts 0, started as wanted  n1, n2"
    assert [line.split()[:3] for line in lines[2:4]] == [["n1", "pid", "7"], ["n2", "pid", "7"]]
    assert lines[4] == f"  running, {ILL['problem']}, restarts 3, started as wanted  n3"


def test_all_that_serve_are_fine_and_json_says_everything(capsys: pytest.CaptureFixture[str]) -> None:
    report = AppsReport(None, "json")
    events: list[Event] = [Connected("n1", {"simulated": True}, 0.1), *(ended(host, apps=[RIGHT]) for host in HOSTS)]
    assert shown(report, *events) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(each["host"], each["name"], each["simulated"]) for each in told["apps"]] == [
        ("n1", "web", True),
        ("n2", "web", False),
        ("n3", "web", False),
    ]


def test_stopped_is_what_a_stop_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    stopped = {**RIGHT, "state": "stopped", "pid": 0, "since": None, "digest": "", "problem": "it is not running"}
    assert shown(AppsReport("web", stopping=True), ended("n1", apps=[stopped])) == 0
    assert shown(AppsReport("web"), ended("n1", apps=[stopped])) == 2
    assert "stopped on port 80, restarts 0  n1" in capsys.readouterr().out


def test_an_app_that_no_host_has(capsys: pytest.CaptureFixture[str]) -> None:
    gone = HostUnreachable("n3", ProvisionError("`n3` refused the connection", exit_code=4))
    assert shown(AppsReport("nope"), ended("n1", apps=[]), ended("n2", apps=[]), gone) == 6
    said = capsys.readouterr().err
    assert "no app `nope` that provision made on 2 hosts" in said
    assert "`n3` refused the connection" in said


def test_equal_logs_are_shown_once_and_escapes_never(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [StepOutput(host, 1, "stdout", "a\x1b[31mb\n") for host in ("n1", "n2")]
    assert shown(LogsReport("web"), *lines, ended("n1", known=True), ended("n2", known=True)) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("ab\n", "n1, n2:\n")


def test_followed_lines_are_whole_and_ctrl_c_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    pieces = [("n1", "one\ntw"), ("longer", "x\n"), ("n1", "o\nthree")]
    cancelled = ended("n1", "failed", {"summary": "cancelled", "cause": "", "hint": ""})
    report = FollowReport("web", ["n1", "longer"])
    events = [StepOutput(host, 1, "stdout", text) for host, text in pieces]
    assert shown(report, *events, cancelled, HostFailed("n1", ProvisionError("`n1` failed"))) == 0
    said = capsys.readouterr()
    assert said.out == "n1     | one\nlonger | x\nn1     | two\nn1     | three\n"
    assert said.err == ""


def test_a_log_that_cannot_be_read_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    error = {"summary": "the log of `web` cannot be read", "cause": "no such file", "hint": ""}
    assert shown(FollowReport("web", ["n1"]), ended("n1", "failed", error)) == 2
    assert "cannot be read on n1" in capsys.readouterr().err
