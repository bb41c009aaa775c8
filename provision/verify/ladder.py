"""Findings to rungs to a verdict for each host. Pure; knows neither where a finding came from nor how it is shown.

A host climbs from the lowest rung; the first with a failed finding breaks it, and what is above is not reached.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from provision.agent.verify.finding import RUNGS

__all__ = [
    "NOT_REACHED",
    "RUNGS",
    "Finding",
    "Group",
    "HostVerdict",
    "Verdict",
    "fold_hosts",
    "grouped",
    "judge",
    "patterns",
    "title",
]

NOT_REACHED = "not reached"
Status = Literal["ok", "failed", "warning", "skipped"]
_STATUSES = ("ok", "failed", "warning", "skipped")
_WORST = ("failed", "warning", "ok", "skipped")
_NUMBER = re.compile(r"(\d+)(\D*)$")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look at one thing found; `check` is a stable id `RUNG.NAME`, `since` seconds of the epoch.

    `subject` names what was looked at ("" where there is only one), `mend` a command, or words.
    """

    rung: str
    check: str
    status: Status
    summary: str
    subject: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    since: float | None = None
    mend: str = ""

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Finding:
        """A finding as a host tells it; raises ValueError for one that is none."""
        rung, status = told.get("rung"), told.get("status")
        if rung not in RUNGS or status not in _STATUSES:
            raise ValueError(f"a finding of the rung {rung!r} with the status {status!r}")
        detail, since = told.get("detail"), told.get("since")
        return cls(
            rung=str(rung),
            check=str(told.get("check") or rung),
            status=status,
            summary=str(told.get("summary") or ""),
            subject=str(told.get("subject") or ""),
            detail=dict(detail) if isinstance(detail, Mapping) else {},
            since=float(since) if isinstance(since, int | float) else None,
            mend=str(told.get("mend") or ""),
        )

    @property
    def simulated(self) -> bool:
        return bool(self.detail.get("simulated"))


@dataclass(frozen=True, slots=True)
class HostVerdict:
    """One host's ladder. `rungs`: each rung's state, one of the statuses of findings or NOT_REACHED.

    `findings` are those of the rungs that were reached, `broken` is the rung that stopped the host. `spent`: seconds
    that the host itself took for each rung.
    """

    host: str
    rungs: Mapping[str, str]
    findings: tuple[Finding, ...]
    broken: str | None = None
    unreachable: bool = False
    simulated: bool = False
    seconds: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)
    spent: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification of a fleet came to; `time` is when it began, in seconds of the epoch."""

    playbook: str
    hosts: tuple[HostVerdict, ...]
    deep: bool = False
    interrupted: bool = False
    seconds: float = 0.0
    time: float = 0.0

    @property
    def exit_code(self) -> int:
        """0: all true, 2: something is not, 4: a host was unreachable (the two add up); 130 after an interruption."""
        if self.interrupted:
            return 130
        failed = any(host.broken and not host.unreachable for host in self.hosts)
        return 2 * failed + 4 * any(host.unreachable for host in self.hosts)

    @property
    def simulated(self) -> bool:
        """Whether anything said here rests on simulated parts."""
        return any(host.simulated for host in self.hosts)


@dataclass(frozen=True, slots=True)
class Group:
    """A finding with all hosts that have it.

    `summary` and `mend` are for all of them, `since` spans theirs, `alike` says whether their details are the same.
    """

    finding: Finding
    hosts: tuple[str, ...]
    summary: str
    mend: str
    since: tuple[float, float] | None
    alike: bool


def judge(
    host: str,
    findings: Iterable[Finding],
    *,
    unreachable: bool = False,
    seconds: float = 0.0,
    facts: Mapping[str, Any] | None = None,
    spent: Mapping[str, float] | None = None,
    simulated: bool = False,
) -> HostVerdict:
    """The verdict of a host: its rungs up to the first broken one."""
    everything = _told_once(findings)
    rungs: dict[str, str] = {}
    broken: str | None = None
    for rung in RUNGS:
        if broken:
            rungs[rung] = NOT_REACHED
            continue
        found = {finding.status for finding in everything if finding.rung == rung}
        rungs[rung] = next((status for status in _WORST if status in found), "skipped")
        broken = rung if rungs[rung] == "failed" else None
    order = {rung: index for index, rung in enumerate(RUNGS)}
    reached = sorted(
        (finding for finding in everything if rungs[finding.rung] != NOT_REACHED),
        key=lambda finding: (order[finding.rung], _WORST.index(finding.status)),
    )
    return HostVerdict(
        host=host,
        rungs=rungs,
        findings=tuple(reached),
        broken=broken,
        unreachable=unreachable,
        simulated=simulated or any(finding.simulated for finding in reached),
        seconds=seconds,
        facts=dict(facts or {}),
        spent=dict(spent or {}),
    )


def _told_once(findings: Iterable[Finding]) -> list[Finding]:
    """Without drift that the engine found where a probe says of the same subject what is wrong with it.

    An app's probe knows more than its step also where it only warns: one that still starts is no drift.
    """
    known = list(findings)
    probed = {(each.rung, each.subject) for each in known if _says_more(each)}
    told = [
        each
        for each in known
        if not (each.detail.get("drift") and each.subject and (each.rung, each.subject) in probed)
    ]
    return list({repr(replace(each, detail=_placeless(each))): each for each in reversed(told)}.values())[::-1]


def _placeless(finding: Finding) -> dict[str, Any]:
    """Its details without the task that says how it should be: several may say so of one thing."""
    return {key: value for key, value in finding.detail.items() if key != "where"}


def _says_more(finding: Finding) -> bool:
    if finding.detail.get("drift"):
        return False
    return finding.status == "failed" or (finding.status == "warning" and finding.rung == "apps")


def title(rung: str) -> str:
    """A rung's name as people read it."""
    return rung.replace("_", " ")


def patterns(hosts: Iterable[HostVerdict]) -> list[tuple[Mapping[str, str], list[str]]]:
    """Rows of rung states that hosts share, with these hosts; those that broke lowest come last."""
    rows: dict[tuple[str, ...], tuple[Mapping[str, str], list[str]]] = {}
    for host in hosts:
        rows.setdefault(tuple(host.rungs.values()), (host.rungs, []))[1].append(host.host)
    return sorted(rows.values(), key=lambda row: -sum(state != NOT_REACHED for state in row[0].values()))


def grouped(hosts: Sequence[HostVerdict], statuses: Iterable[str]) -> list[Group]:
    """The findings of these statuses, equal ones once, in the order of the ladder; a host's own name does
    not make two findings different."""
    wanted = set(statuses)
    groups: dict[tuple[Any, ...], list[tuple[str, Finding]]] = {}
    for host in hosts:
        for finding in host.findings:
            if finding.status in wanted:
                groups.setdefault(_key(finding, host.host), []).append((host.host, finding))
    ordered = sorted(groups.values(), key=lambda members: RUNGS.index(members[0][1].rung))
    return [_group(members, len(hosts)) for members in ordered]


def _key(finding: Finding, host: str) -> tuple[Any, ...]:
    mend = finding.mend.replace(f"-l {host}", "-l HOST")
    return (finding.rung, finding.check, finding.status, finding.subject, _nameless(finding.summary, host), mend)


def _nameless(summary: str, host: str) -> str:
    return summary.replace(f"`{host}`", "the host")


def _group(members: Sequence[tuple[str, Finding]], known: int) -> Group:
    names = tuple(dict.fromkeys(host for host, _ in members))
    host, first = members[0]
    times = [finding.since for _, finding in members if finding.since is not None]
    limit = "" if len(names) == known and known > 1 else f" -l {','.join(names)}"
    return Group(
        finding=first,
        hosts=names,
        summary=first.summary if len(names) == 1 else _nameless(first.summary, host),
        mend=first.mend.replace(f" -l {host}", limit),
        since=(min(times), max(times)) if times else None,
        alike=all(finding.detail == first.detail for _, finding in members),
    )


def fold_hosts(names: Sequence[str]) -> str:
    """Names as an inventory would write them: `gpu-[01:07], login`."""
    return ", ".join(_ranges(names))


def _ranges(names: Sequence[str]) -> Iterator[str]:
    """Consecutive numbers of one width become one range; a single name stays as it is."""
    numbered: dict[tuple[str, str, int], list[int]] = {}
    plain: list[str] = []
    for name in dict.fromkeys(names):
        found = _NUMBER.search(name)
        if found:
            numbered.setdefault((name[: found.start()], found[2], len(found[1])), []).append(int(found[1]))
        else:
            plain.append(name)
    for (before, after, width), numbers in numbered.items():
        for first, last in _runs(sorted(numbers)):
            low, high = str(first).zfill(width), str(last).zfill(width)
            yield f"{before}{low}{after}" if first == last else f"{before}[{low}:{high}]{after}"
    yield from plain


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last of each run of consecutive numbers."""
    first = previous = numbers[0]
    for number in numbers[1:]:
        if number != previous + 1:
            yield first, previous
            first = number
        previous = number
    yield first, previous
