"""Looks at hosts before anything is done there: the looks of `verify` at system and driver, through the same engine.

Must not judge what is found.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from provision.agent.protocol import Result, Step
from provision.compile import Batch, Cursor, HostVariables
from provision.errors import ProvisionError
from provision.events import Connected, Event, HostFailed, HostUnreachable
from provision.execute import Job, execute
from provision.outcome import PlannedStep
from provision.playbook import Play
from provision.scopes import Scopes
from provision.variables import HostView
from provision.verify.ladder import Finding
from provision.verify.probes import FREE, Depth, Look, Named, expected_gpus, looks

__all__ = ["Looked", "looked"]


@dataclass(slots=True)
class Looked:
    """What one host is: its facts and what the looks found, or the error that kept it from being looked at."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    error: ProvisionError | None = None


def looked(job: Job) -> dict[str, Looked]:
    """Every host of a job, looked at once; as root where its plays become, so that sudo is tried too."""
    lookers = {host: _Looker(host) for hosts in job.hosts for host in hosts}
    collected = _Collected({host: Looked() for host in lookers})
    run = replace(job.run, check=True, facts_of={})
    execute(replace(job, command="onboard", lock="none", run=run, compilers=lookers), collected)
    for host, looker in lookers.items():
        collected.hosts[host].findings += looker.findings
    return collected.hosts


class _Looker:
    """The looks at one host, in the place of the batches of its first play; the others it leaves out."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.findings: list[Finding] = []
        self._asked = False

    def __call__(
        self,
        play: Play,
        cursor: Cursor,
        variables: HostVariables,
        results: Mapping[int, Result],
        _pending: Sequence[str] = (),
    ) -> tuple[Batch, Cursor]:
        """The looks, then the end."""
        for result in results.values():
            self.findings += [Finding.of(told) for told in result.fields.get("findings") or []]
            if result.status == "failed":
                raise _not_looked(self.host, result.error or {})
        if self._asked:
            return Batch(done=True), cursor
        self._asked = True
        steps = tuple(_planned(number, look) for number, look in enumerate(self._looks(play, variables), 1))
        return Batch(steps=steps), replace(cursor, next_id=cursor.next_id + len(steps))

    def _looks(self, play: Play, variables: HostVariables) -> Iterator[Look]:
        """Those at the system and its driver: where no environment is named, there are no others."""
        scope = HostView(Scopes(play, variables, {}).whole())
        root = str(scope.get("conda_root", "/opt/conda"))
        for look in looks(Named(), expected_gpus(self.host, scope.get("gpus")), Depth()):
            if look.resource == "verify_system":
                spec = {
                    **look.spec,
                    "time": time.time(),
                    "disks": {**look.spec["disks"], f"{root}/envs": FREE["environments"]},
                }
                yield replace(look, spec=spec)
            elif look.resource == "verify_driver":
                yield look


def _planned(number: int, look: Look) -> PlannedStep:
    step = Step(
        id=number,
        resource=look.resource,
        spec=dict(look.spec),
        name=f"look at {look.title}",
        check=True,
        on_failure="continue",
    )
    return PlannedStep(step, step.name, None, ignore_errors=True)


def _not_looked(host: str, error: Mapping[str, Any]) -> ProvisionError:
    return ProvisionError(
        f"{host} cannot be looked at: {error.get('summary') or 'a look failed'}",
        cause=str(error.get("cause") or ""),
        hint=str(error.get("hint") or ""),
        exit_code=2,
    )


class _Collected:
    """Keeps what hosts are and why some cannot be reached."""

    def __init__(self, hosts: dict[str, Looked]) -> None:
        self.hosts = hosts

    def add(self, event: Event) -> None:
        if isinstance(event, Connected):
            self.hosts[event.host].facts = event.facts
        elif isinstance(event, HostUnreachable | HostFailed):
            self.hosts[event.host].error = event.error

    def close(self) -> None:
        """Nothing is shown here."""
