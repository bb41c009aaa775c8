"""Asks a host: one look at everything, then one at each environment; through the same engine as a playbook.

Read-only by what it runs: `survey` and `conda_list` change nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from provision.adhoc import one_task_job
from provision.adoption.survey import Survey
from provision.errors import ProvisionError
from provision.events import Event, HostFailed, HostUnreachable, StepEnded
from provision.execute import Job, execute
from provision.options import Where
from provision.playbook import Section
from provision.report.tally import Tally
from provision.source import Mapping as Placed

__all__ = ["read"]


def read(host: str, where: Where, roots: Iterable[str], shared: Iterable[str]) -> tuple[Survey | None, int]:
    """What a host holds, or None with the exit code; errors of the host are told. Raises ProvisionError."""
    arguments = {"roots": list(roots), "shared": list(shared)}
    job = one_task_job("adopt", host, where, "survey", arguments, f"Survey of {host}", become=True)
    if len(job.hosts[0]) != 1:
        raise ProvisionError(f"`{host}` does not name one host", hint="`provision inventory --graph` shows all")
    first = _run(job)
    seen = first.found.get(0)
    if first.failed:
        raise ProvisionError(f"`{host}` cannot be surveyed", cause=first.failed[0], exit_code=2)
    if seen is None:
        return None, first.tally.exit_code or 2
    paths = [str(one["path"]) for one in seen["environments"] if one["kind"] == "directory"]
    if not paths:
        return Survey(job.hosts[0][0], seen, {}), 0
    second = _run(_listings(host, where, paths))
    if second.tally.exit_code & 4:
        return None, second.tally.exit_code
    listings = {paths[number]: found for number, found in second.found.items()}
    unread = {path: second.failed.get(number, "it was not read") for number, path in enumerate(paths)}
    unread = {path: why for path, why in unread.items() if path not in listings}
    return Survey(job.hosts[0][0], seen, listings, unread), second.tally.exit_code


def _listings(host: str, where: Where, paths: Iterable[str]) -> Job:
    """One task for each environment; one that fails does not keep the others from being read."""
    job = one_task_job("adopt", host, where, "conda_list", {"prefix": "/"}, f"Environments of {host}", become=True)
    play = job.plays[0]
    task = play.sections[0].tasks[0]
    tasks = []
    for number, path in enumerate(paths):
        arguments = Placed(task.where.file, (1, 1))
        arguments.put("prefix", path, (1, 1) * 2)
        tasks.append(replace(task, key=f"tasks:{number}", arguments=arguments, ignore_errors=True))
    return replace(job, plays=(replace(play, sections=(Section("tasks", tuple(tasks)),)),))


def _run(job: Job) -> _Collected:
    collected = _Collected()
    execute(job, collected)
    return collected


class _Collected:
    """Keeps what each step found, by its number, and tells errors of the host."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.found: dict[int, dict[str, Any]] = {}
        self.failed: dict[int, str] = {}
        self._count = 0

    def add(self, event: Event) -> None:
        self.tally.add(event)
        if isinstance(event, StepEnded):
            number, self._count = self._count, self._count + 1
            if event.result.status == "failed" or event.result.cut:
                error = event.result.error or {"summary": "more is installed in it than a result has room for"}
                self.failed[number] = "\n".join(filter(None, [error.get("summary"), error.get("cause")]))
            else:
                self.found[number] = dict(event.result.fields)
        elif isinstance(event, HostUnreachable | HostFailed):
            print(f"{event.host}: {event.error}", file=sys.stderr)

    def close(self) -> None:
        """Nothing is left to be shown."""
