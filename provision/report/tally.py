"""What a run came to: a fold of its events. Pure; writes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field

from provision.agent.protocol import Result
from provision.agent.record import record
from provision.errors import Mark, ProvisionError
from provision.events import (
    Connected,
    Event,
    HostEnded,
    HostFailed,
    HostUnreachable,
    Notice,
    OrphansFound,
    RunEnded,
    RunStarted,
    RunStopped,
    StepEnded,
)
from provision.report.profile import Profile

__all__ = ["Change", "HostTally", "Tally", "grouped", "host_names"]


@record(slots=True)
class HostTally:
    """The counts of one host. `failed` counts steps; an unreachable host is never counted as failed."""

    ok: int = 0
    changed: int = 0
    failed: int = 0
    skipped: int = 0
    ignored: int = 0
    rescued: int = 0
    unreachable: bool = False
    error: ProvisionError | None = None
    seconds: float = 0.0
    simulated: bool = False
    orphans: tuple[dict[str, str], ...] = ()
    unjudged: str = ""
    """Why its orphans cannot be told."""


@record(frozen=True, slots=True)
class Change:
    """One step of one host that changed something, would change it, or failed."""

    host: str
    title: str
    where: Mark | None
    result: Result
    ignored: bool
    rescued: bool = False

    @property
    def spared(self) -> bool:
        """Whether the host goes on although the step failed."""
        return self.ignored or self.rescued

    @property
    def key(self) -> str:
        """Equal for changes that people read as the same."""
        return repr((self.title, self.where, self.result.status, self.result.actions, self.result.error, self.ignored))


@record(slots=True)
class Tally:
    """Everything that the end of a report says."""

    command: str = ""
    run: str = ""
    check: bool = False
    hosts: dict[str, HostTally] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    failures: list[Change] = field(default_factory=list)
    messages: list[tuple[str, str, str]] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False
    stopped: RunStopped | None = None
    """Why the run ended before all of it was done, other than by an interruption."""
    profile: Profile = field(default_factory=Profile)

    def add(self, event: Event) -> None:
        """Take one event into account."""
        self.profile.add(event)
        match event:
            case RunStarted():
                self.command, self.run, self.check = event.command, event.run, event.check
                self.hosts = {host: HostTally() for host in event.hosts}
            case Connected():
                self.host(event.host).simulated = bool(event.facts.get("simulated"))
            case StepEnded():
                self._add_step(event)
            case HostFailed():
                host = self.host(event.host)
                host.error, host.failed = event.error, max(host.failed, 1)
            case HostUnreachable():
                host = self.host(event.host)
                host.error, host.unreachable = event.error, True
            case HostEnded():
                self.host(event.host).seconds = event.seconds
            case OrphansFound():
                host = self.host(event.host)
                host.orphans, host.unjudged = event.orphans, event.unjudged
            case Notice():
                self.notices.append(event)
            case RunStopped():
                self.stopped = event
            case RunEnded():
                self.seconds, self.interrupted = event.seconds, event.interrupted

    def host(self, name: str) -> HostTally:
        return self.hosts.setdefault(name, HostTally())

    def _add_step(self, event: StepEnded) -> None:
        host, status = self.host(event.host), event.result.status
        host.simulated = host.simulated or event.result.simulated
        change = Change(event.host, event.title, event.where, event.result, event.ignored, event.rescued)
        if status == "failed" and event.ignored:
            host.ignored += 1
        elif status == "failed" and event.rescued:
            host.rescued += 1
        else:
            setattr(host, status, getattr(host, status) + 1)
        if status == "changed":
            self.changes.append(change)
        elif status == "failed":
            self.failures.append(change)
        elif event.message and status == "ok":
            self.messages.append((event.host, event.title, event.message))

    @property
    def simulated(self) -> bool:
        """True when anything said of a host rests on simulated parts."""
        return any(host.simulated for host in self.hosts.values())

    @property
    def ok(self) -> bool:
        return self.exit_code == 0

    @property
    def exit_code(self) -> int:
        """0 fine; 2: a host failed; 4: a host was unreachable; the two add up. 130 after an interruption."""
        if self.interrupted:
            return 130
        failed = any(host.failed for host in self.hosts.values())
        unreachable = any(host.unreachable for host in self.hosts.values())
        return 2 * failed + 4 * unreachable


def grouped(changes: Iterable[Change]) -> list[tuple[Change, list[str]]]:
    """Changes that read the same once, with their hosts, in the order of their first appearance."""
    groups: dict[str, tuple[Change, list[str]]] = {}
    for change in changes:
        groups.setdefault(change.key, (change, []))[1].append(change.host)
    return list(groups.values())


def host_names(hosts: list[str], known: int, most: int = 6) -> str:
    """Hosts as people read them: all of a fleet as a count, many cut after `most` names."""
    if len(hosts) == known and known > 1:
        return f"all {known} hosts"
    shown = ", ".join(hosts[:most])
    return shown if len(hosts) <= most else f"{shown} and {len(hosts) - most} more"
