"""What a host answers as a survey: one task for each environment, and what is said where one cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from provision.adoption import read
from provision.errors import ProvisionError
from provision.execute import Job
from provision.options import Where

KINDS = {"/c/envs/a": "directory", "/c/envs/b": "directory", "/c/envs/c": "generation"}
SEEN = {"environments": [{"path": path, "kind": kind, "real": path} for path, kind in KINDS.items()]}


class Answers:
    """Stands in for the run of jobs: what each task found, or why it failed, in order."""

    def __init__(self, *answers: dict[int, Any]) -> None:
        self.answers, self.jobs = list(answers), list[Job]()

    def __call__(self, job: Job) -> Any:
        self.jobs.append(job)
        collected = read._Collected()
        for number, answer in self.answers.pop(0).items():
            (collected.failed if isinstance(answer, str) else collected.found)[number] = answer
        return collected


@pytest.fixture
def where(tmp_path: Path) -> Where:
    path = tmp_path / "inventory.yaml"
    path.write_text("all: {hosts: {gpu-01: {}, gpu-02: {}}}\n")
    return Where(inventory=[path])


def test_each_environment_is_asked_for_and_ours_are_not(where: Where, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Answers({0: SEEN}, {0: {"packages": []}, 1: "it is broken"})
    monkeypatch.setattr(read, "_run", run)
    survey, code = read.read("gpu-01", where, ["/c"], ["/data"])
    assert survey is not None
    assert (survey.host, code) == ("gpu-01", 0)
    assert (survey.listings, survey.unread) == ({"/c/envs/a": {"packages": []}}, {"/c/envs/b": "it is broken"})
    tasks = run.jobs[1].plays[0].tasks
    assert [task.arguments["prefix"] for task in tasks] == ["/c/envs/a", "/c/envs/b"]
    assert all(task.ignore_errors for task in tasks)
    assert {job.lock for job in run.jobs} == {"none"}


def test_a_host_that_cannot_be_surveyed_is_an_error(where: Where, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "_run", Answers({0: "no such thing"}))
    with pytest.raises(ProvisionError, match="cannot be surveyed") as caught:
        read.read("gpu-01", where, ["/c"], ["/data"])
    assert (caught.value.cause, caught.value.exit_code) == ("no such thing", 2)


def test_one_host_at_a_time(where: Where) -> None:
    with pytest.raises(ProvisionError, match="does not name one host"):
        read.read("all", where, ["/c"], ["/data"])
