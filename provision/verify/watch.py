"""What changed between two verifications of a fleet, and how often they are made. Pure but for its clock."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from provision.errors import ProvisionError
from provision.verify.ladder import NOT_REACHED, Finding, HostVerdict, Verdict, grouped, title
from provision.verify.text import Line, names_of, one_line, subject_of, total

__all__ = ["changes", "interval", "repeated"]

_TEXT = re.compile(r"(\d+(?:\.\d+)?)\s*(s|sec|m|min|h)?")
_UNITS = {None: 1.0, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_SHOWN = ("failed", "warning", "skipped")


def interval(text: str) -> float:
    """Seconds of `30s`, `5m`, `1h` or a plain number, at least one; raises ProvisionError for anything else."""
    found = _TEXT.fullmatch(text.strip())
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if seconds < 1:
        raise ProvisionError(
            f"`--watch {text}` is no interval", hint="write it as `30s`, `5m` or `1h`; at least a second"
        )
    return seconds


def repeated(
    look: Callable[[], Verdict],
    told: Callable[[Verdict, Verdict | None], None],
    seconds: float,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Look again every `seconds` until a keyboard interrupt, and tell each verdict with the one before it.

    Gives the exit code of the last whole verification, 130 when none came to its end.
    """
    last: Verdict | None = None
    try:
        while True:
            begun = clock()
            verdict = look()
            if verdict.interrupted:
                break
            # first remembered, then told: who reads what is told may end this at once
            before, last = last, verdict
            told(verdict, before)
            sleep(max(0.0, begun + seconds - clock()))
    except KeyboardInterrupt:
        pass
    return last.exit_code if last else 130


def changes(before: Verdict, after: Verdict) -> list[Line]:
    """What is new and what is gone since the verification before; no line where nothing changed."""
    shown = [*_side("+", "bold red", before, after), *_side("-", "green", after, before)]
    if not shown:
        return []
    moment = time.strftime("%H:%M:%S", time.localtime(after.time))
    return [Line(f"{moment}  changed:", "bold"), *shown, total(after)]


def _side(sign: str, style: str, without: Verdict, having: Verdict) -> Iterator[Line]:
    others = {host.host: host for host in without.hosts}
    hosts = [_only(host, others.get(host.host), gone=sign == "-") for host in having.hosts]
    for group in grouped(hosts, _SHOWN):
        finding = group.finding
        yield Line(f"  {sign} {title(finding.rung)}{subject_of(group)}: {one_line(group.summary)}", style, end="")
        yield Line(f"  {names_of(group.hosts, len(having.hosts))}", "dim")
        if sign == "+" and group.mend and finding.status != "skipped":
            yield Line("      mend: ", "cyan", end="")
            yield Line(one_line(group.mend))


def _only(host: HostVerdict, other: HostVerdict | None, *, gone: bool) -> HostVerdict:
    """The host with what the other verdict of it lacks; what that one did not reach is not gone."""
    known = {_key(finding) for finding in other.findings} if other else set()
    reached = [each for each in host.findings if not (gone and other and other.rungs[each.rung] == NOT_REACHED)]
    return replace(host, findings=tuple(each for each in reached if _key(each) not in known))


def _key(finding: Finding) -> tuple[str, ...]:
    """What makes a finding the same one later; figures in its summary may move."""
    return (finding.check, finding.status, finding.subject)
