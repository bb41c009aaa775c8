"""Runs one playbook with this tool, in this process, and tells what each task came to in the oracle's form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from provision.apply import load_job
from provision.errors import ProvisionError
from provision.events import Event, HostFailed, HostUnreachable, StepEnded
from provision.execute import execute
from provision.options import What, Where


class Recorder:
    """Keeps what hosts came to."""

    def __init__(self) -> None:
        self.ended: dict[str, list[StepEnded]] = {}
        self.lost: dict[str, str] = {}
        self.failed: dict[str, str] = {}
        self.undecided: dict[str, str] = {}

    def add(self, event: Event) -> None:
        if isinstance(event, StepEnded):
            self.ended.setdefault(event.host, []).append(event)
        elif isinstance(event, HostFailed):
            self.failed[event.host] = str(event.error)
            if not any(_told(one, event.error) for one in self.ended.get(event.host, [])):
                # a task that could not be made into steps ends its host without a result of its own
                self.undecided[event.host] = _task_of(event.error)
        elif isinstance(event, HostUnreachable):
            self.lost[event.host] = str(event.error)

    def close(self) -> None:
        pass


def _task_of(error: ProvisionError) -> str:
    """The name of the task that an error is about; where it says only its place, the name last written before that."""
    if error.context.startswith('task "') or error.where is None:
        return error.context.removeprefix('task "').removesuffix('"')
    before = Path(error.where.file).read_text().splitlines()[: error.where.line]
    names = [line.partition("name: ")[2] for line in before if line.lstrip(" -").startswith("name: ")]
    return names[-1]


def _told(event: StepEnded, error: ProvisionError) -> bool:
    said = event.result.error or {}
    return event.result.status == "failed" and not event.ignored and said.get("summary") == error.summary


def run(question: dict[str, Any]) -> dict[str, Any]:
    """What one playbook came to; `error` where it was refused before any host."""
    where = Where(inventory=[Path(question["inventory"])], extra_vars=question.get("extra_vars") or [])
    where = replace(where, limit=question.get("limit"), timeout=60.0)
    what = What(tags=question.get("tags") or [], skip_tags=question.get("skip_tags") or [])
    recorder = Recorder()
    try:
        job = load_job("compare", Path(question["playbook"]), what, where)
        execute(job, recorder)
    except ProvisionError as error:
        return {"code": 1, "error": str(error), "results": {}, "failed": {}, "lost": {}}
    results = {host: list(_tasks(events)) for host, events in recorder.ended.items()}
    counts = {host: _counts(entries) for host, entries in results.items()}
    for entries in results.values():
        entries[:] = [[name, "failed" if status == "rescued" else status] for name, status in entries]
    for host, name in recorder.undecided.items():
        results.setdefault(host, []).append([name, "failed"])
    errors = {
        host: [str(event.result.error) for event in events if event.result.error]
        for host, events in recorder.ended.items()
    }
    code = 4 if recorder.lost else 2 if recorder.failed else 0
    return {
        "code": code,
        "error": "",
        "results": results,
        "failed": recorder.failed,
        "lost": recorder.lost,
        "errors": errors,
        "counts": counts,
    }


def _counts(entries: list[list[str]]) -> dict[str, int]:
    """How many tasks failed without an end for their host."""
    said = [status for _, status in entries]
    return {word: said.count(word) for word in ("rescued", "ignored")}


def _tasks(events: list[StepEnded]) -> Iterator[list[str]]:
    """One entry a task: items of a loop, which follow one another, are one."""
    group: list[StepEnded] = []
    for event in events:
        if group and not (_looped(event) and _same(group[-1], event)):
            yield _entry(group)
            group = []
        group.append(event)
    if group:
        yield _entry(group)


def _looped(event: StepEnded) -> bool:
    return event.title.endswith(")") and " (" in event.title


def _same(one: StepEnded, other: StepEnded) -> bool:
    return one.where == other.where and _name(one) == _name(other)


def _name(event: StepEnded) -> str:
    return event.title.partition(" (")[0].strip()


def _entry(group: list[StepEnded]) -> list[str]:
    said = [_status(event) for event in group]
    kept = [status for status in said if status != "skipped"]
    words = ("failed", "rescued", "ignored", "changed", "ok", "not run")
    strongest = next((status for status in words if status in kept), "skipped")
    return [_name(group[0]), strongest]


def _status(event: StepEnded) -> str:
    if event.result.status == "skipped" and event.message.startswith("not run"):
        return "not run"
    if event.result.status == "failed":
        return "ignored" if event.ignored else "rescued" if event.rescued else "failed"
    return event.result.status
