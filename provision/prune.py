"""`apply --prune`, and what `plan` says of orphans: the list, the question, and one step a host that takes them away.

What may go is the host's to decide, file by file (`agent/resources/prune.py`); what is an orphan is told by `orphans`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from provision.adhoc import one_task_job
from provision.agent.protocol import Result
from provision.apply import confirmed
from provision.compile import Batch, Cursor, HostVariables, next_batch
from provision.errors import ProvisionError
from provision.events import Event, OrphansFound, RunEnded, StepEnded
from provision.execute import Job, execute
from provision.options import Where
from provision.orphans import Orphan, Orphans
from provision.playbook import Play
from provision.printable import printable
from provision.report import Report
from provision.report.tally import Tally, host_names
from provision.secret.known import clean
from provision.session import NextBatch

__all__ = ["Telling", "prune", "said", "unjudged", "watched"]


def unjudged(job: Job) -> str:
    """Why no host of a run can be judged, "" where they can."""
    if job.run.tags or job.run.skip_tags:
        return "orphans are not judged: with --tags or --skip-tags only a part of the playbook was looked at"
    return ""


def watched(job: Job) -> tuple[Job, dict[str, Orphans]]:
    """The job with each host asked at its end for what was made there; whatever holds the hosts stays around it."""
    plays: dict[str, list[Play]] = {}
    for play, hosts in zip(job.plays, job.hosts, strict=True):
        for host in hosts:
            plays.setdefault(host, []).append(play)
    looks = {host: Orphans(own, job.playbook, job.held.get(host, next_batch)) for host, own in plays.items()}
    return replace(job, held=looks), looks


def said(looks: Mapping[str, Orphans]) -> Iterator[str]:
    """A line for each orphan with its hosts, and one for each reason why hosts are not judged."""
    alike: dict[str, list[str]] = {}
    for host, look in looks.items():
        for orphan in look.found():
            alike.setdefault(_line(orphan), []).append(host)
        if look.unclear:
            alike.setdefault(f"orphans are not judged: {look.unclear}", []).append(host)
    for line, hosts in alike.items():
        yield f"{printable(clean(line))}  ({host_names(hosts, len(looks))})"


def prune(looks: Mapping[str, Orphans], where: Where, *, yes: bool) -> int:
    """Take away what the looks found, once it is shown and agreed to; the exit code."""
    going = {host: [each for each in look.found() if not each.stays] for host, look in looks.items()}
    wanted = {host: _spec(orphans) for host, orphans in going.items() if orphans}
    if not wanted:
        return 0
    hosts = host_names(list(wanted), len(looks))
    if not yes and not confirmed(f"Remove these orphans from {hosts}?"):
        return 1
    job = one_task_job("prune", "all", where, "prune", {}, "Orphans are removed", become=True, lock="exclusive")
    outcome = _Told()
    execute(replace(job, hosts=(tuple(wanted),), held={host: _with(spec) for host, spec in wanted.items()}), outcome)
    return outcome.tally.exit_code


def _line(orphan: Orphan) -> str:
    made = f', made by "{orphan.step}"' if orphan.step else ""
    stays = f"; it stays: {orphan.stays}" if orphan.stays else ""
    return f"orphan: {orphan.kind} {orphan.what}{made}{stays}"


def _spec(orphans: Sequence[Orphan]) -> dict[str, Any]:
    """The spec of `prune`."""
    lists = {"link": "links", "directory": "directories", "app": "apps", "environment": "environments"}
    spec: dict[str, Any] = {
        "files": {orphan.what: orphan.sha256 for orphan in orphans if orphan.kind == "file"},
        "crontab": [dict(orphan.entry) for orphan in orphans if orphan.kind == "crontab"],
        **{key: [orphan.what for orphan in orphans if orphan.kind == kind] for kind, key in lists.items()},
    }
    return {key: value for key, value in spec.items() if value}


def _with(spec: Mapping[str, Any]) -> NextBatch:
    """The compiler of a play whose one step is the host's own."""

    def compiled(
        play: Play,
        cursor: Cursor,
        variables: HostVariables,
        results: Mapping[int, Result],
        pending: Sequence[str] = (),
    ) -> tuple[Batch, Cursor]:
        batch, after = next_batch(play, cursor, variables, results, pending)
        steps = tuple(replace(item, step=replace(item.step, spec=dict(spec))) for item in batch.steps)
        return replace(batch, steps=steps), after

    return compiled


class Telling:
    """A report that also hears what the looks found, right before the run's end."""

    def __init__(self, report: Report, looks: Mapping[str, Orphans]) -> None:
        self._report = report
        self._looks = looks

    def add(self, event: Event) -> None:
        if isinstance(event, RunEnded):
            for host, look in self._looks.items():
                told = tuple(
                    {"kind": each.kind, "what": each.what, "made_by": each.step, "stays": each.stays}
                    for each in look.found()
                )
                self._report.add(clean(OrphansFound(host, told, look.unclear)))
        self._report.add(event)

    def close(self) -> None:
        self._report.close()


class _Told:
    """Says on standard error what was removed and what stays, host by host."""

    def __init__(self) -> None:
        self.tally = Tally()

    def add(self, event: Event) -> None:
        self.tally.add(event)
        if isinstance(event, StepEnded):
            for line in (*_done(event), *_failed(event)):
                self._say(f"{event.host}: {line}")

    def close(self) -> None:
        for name, host in self.tally.hosts.items():
            if host.error and host.unreachable:
                self._say(f"{name}: {host.error}")

    def _say(self, text: str) -> None:
        print(printable(text), file=sys.stderr, flush=True)


def _done(event: StepEnded) -> Iterator[str]:
    if event.result.status == "changed":
        for action in event.result.actions:
            yield f"{action['verb']} {action['target']}"
    for line in event.result.fields.get("kept") or []:
        yield f"stays: {line}"


def _failed(event: StepEnded) -> Iterator[str]:
    if event.result.status == "failed":
        error = event.result.error or {}
        cause, hint = str(error.get("cause") or ""), str(error.get("hint") or "")
        yield str(ProvisionError(str(error.get("summary")), cause=cause, hint=hint))
