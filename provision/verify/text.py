"""A verdict for people: a ladder of the fleet, what is not true with its mend, what was not looked at, one total.

Identical rows and identical findings are shown once with their hosts. Text of hosts carries no control characters.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from provision.printable import printable
from provision.verify.ladder import RUNGS, Group, HostVerdict, Verdict, fold_hosts, grouped, patterns, title

__all__ = ["Line", "age", "flat", "lines", "names_of", "one_line", "plain", "since", "subject_of", "total"]

WORDS = {"ok": "ok", "failed": "FAILED", "warning": "warning", "skipped": "-", "not reached": "."}
STYLES = {"ok": "green", "failed": "bold red", "warning": "yellow", "skipped": "dim", "not reached": "dim"}
DETAIL_LINES = 8
"""Details of one finding that are shown; `-o json` has all."""
_HIDDEN = frozenset(("drift", "simulated"))
_LONGEST = 240
_NAMES = 44


@dataclass(frozen=True, slots=True)
class Line:
    """A line, or a part of one where `end` is not a line's end, and rich's style for it."""

    text: str
    style: str = ""
    end: str = "\n"


def lines(verdict: Verdict, *, verbose: bool = False) -> Iterator[Line]:
    """Everything that is shown of a verdict; with `verbose` also what was found right."""
    for section in _sections(verdict, verbose):
        if shown := list(section):
            yield from (*shown, Line(""))
    yield total(verdict)


def _sections(verdict: Verdict, verbose: bool) -> Iterator[Iterable[Line]]:
    hosts = verdict.hosts
    if verbose or any(state in ("failed", "warning") for host in hosts for state in host.rungs.values()):
        yield _ladder(hosts)
    if verbose:
        yield _groups("Right", grouped(hosts, ["ok"]), verdict, "green")
    skipped = grouped(hosts, ["skipped"])
    yield _groups("Not looked at", skipped, verdict, "dim") if verbose else _skipped(skipped, verdict)
    yield _groups("Worth knowing", grouped(hosts, ["warning"]), verdict, "yellow")
    yield _groups("Not as it should be", grouped(hosts, ["failed"]), verdict, "bold red")


def total(verdict: Verdict) -> Line:
    """The last line: how many hosts, and what became of them."""
    hosts = verdict.hosts
    broken = sum(bool(host.broken) and not host.unreachable for host in hosts)
    unreachable = sum(host.unreachable for host in hosts)
    count = f"{len(hosts)} host{'s' * (len(hosts) != 1)}"
    said = f"{broken} not as it should be" if broken else "all true" if hosts and not unreachable else "none broken"
    parts = [said, *([f"{unreachable} unreachable"] if unreachable else [])]
    deep = ", every file's hash" if verdict.deep else ""
    simulated = "  (simulated)" if verdict.simulated else ""
    stopped = "interrupted; " if verdict.interrupted else ""
    style = "bold red" if verdict.exit_code else "bold green"
    return Line(f"{stopped}{count}: {', '.join(parts)}  in {verdict.seconds:.1f} s{deep}{simulated}", style)


def _ladder(hosts: Sequence[HostVerdict]) -> Iterator[Line]:
    """One row for all hosts that came alike far."""
    rows = [(_row_name(names, rungs), rungs) for rungs, names in patterns(hosts)]
    width = min(_NAMES, max(len(name) for name, _ in rows)) if rows else 0
    yield Line(" " * width + "  " + "  ".join(title(rung) for rung in RUNGS), "bold")
    for name, rungs in rows:
        if len(name) > width:
            yield Line(name)
            name = ""
        yield Line(f"{name:<{width}}", end="")
        for rung in RUNGS:
            word = WORDS[rungs[rung]]
            yield Line(f"  {word:<{len(title(rung))}}", STYLES[rungs[rung]], end="")
        yield Line("")


def _row_name(names: Sequence[str], rungs: Mapping[str, str]) -> str:
    """Those that stopped nowhere are many and all alike; the others are named."""
    folded = fold_hosts(names)
    return f"the other {len(names)} hosts" if len(folded) > _NAMES and "failed" not in rungs.values() else folded


def _groups(heading: str, groups: Sequence[Group], verdict: Verdict, style: str) -> Iterator[Line]:
    if not groups:
        return
    yield Line(f"{heading}:", "bold")
    for group in groups:
        yield from _group(group, verdict, style)


def _skipped(groups: Sequence[Group], verdict: Verdict) -> Iterator[Line]:
    """One line for each reason, however many environments or GPUs it is said of; the figures behind it are left out."""
    reasons: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        reason = one_line(group.summary).partition(": ")[0] if group.finding.subject else one_line(group.summary)
        reasons.setdefault((group.finding.rung, reason), []).append(group)
    if reasons:
        yield Line("Not looked at:", "bold")
    for (rung, reason), members in reasons.items():
        subjects = list(dict.fromkeys(one_line(each.finding.subject) for each in members if each.finding.subject))
        if len(members) == 1:
            reason = one_line(members[0].summary)
        of = f" ({subjects[0]})" if len(subjects) == 1 else f" ({len(subjects)} of them)" if subjects else ""
        hosts = dict.fromkeys(host for each in members for host in each.hosts)
        yield Line(f"  {title(rung)}", "dim", end="")
        yield Line(f": {reason}{of}", end="")
        yield Line(f"  {names_of(list(hosts), len(verdict.hosts))}", "dim")


def _group(group: Group, verdict: Verdict, style: str) -> Iterator[Line]:
    finding = group.finding
    yield Line(f"  {title(finding.rung)}", style, end="")
    yield Line(f"{subject_of(group)}: {one_line(group.summary)}", end="")
    yield Line(f"  {names_of(group.hosts, len(verdict.hosts))}", "dim")
    if finding.status in ("failed", "warning"):
        yield from (Line(f"      {line}", "dim") for line in _details(group, verdict))
        if group.mend:
            yield Line("      mend: ", "cyan", end="")
            yield Line(one_line(group.mend))


def subject_of(group: Group) -> str:
    """What the finding is about, with a space before it, where its summary does not say so."""
    subject = one_line(group.finding.subject)
    return f" {subject}" if subject and f"`{subject}`" not in group.summary else ""


def names_of(hosts: Sequence[str], known: int) -> str:
    """Hosts as people read them; all of a fleet as a count."""
    return f"all {known} hosts" if len(hosts) == known and known > 1 else fold_hosts(hosts)


def _details(group: Group, verdict: Verdict) -> Iterator[str]:
    where = group.finding.detail.get("where")
    if where:
        yield f"--> {one_line(str(where))}"
    if group.since:
        yield f"since {since(group.since, verdict.time)}"
    told = list(flat(group.finding.detail))
    for key, text in told[:DETAIL_LINES]:
        yield f"{key}: {text}" if key else f"         {text}"
    if len(told) > DETAIL_LINES:
        yield f"and {len(told) - DETAIL_LINES} more details (-o json has all)"
    if told and not group.alike:
        yield f"(details are those of {group.hosts[0]}; they differ between hosts)"


def flat(detail: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Details as short lines; a list shows its length when it is long."""
    for key, value in detail.items():
        if key in _HIDDEN or key == "where" or value in (None, "", [], {}):
            continue
        name = one_line(str(key)).replace("_", " ")
        if key == "differs" and isinstance(value, list | tuple):
            yield from zip((name, *("" for _ in value[1:])), (one_line(str(line)) for line in value), strict=True)
        else:
            yield name, _short(value)


def _short(value: Any) -> str:
    if isinstance(value, list | tuple):
        shown = ", ".join(_short(item) for item in value[:4])
        text = shown if len(value) <= 4 else f"{shown} and {len(value) - 4} more"
    elif isinstance(value, Mapping):
        text = ", ".join(f"{key} {_short(item)}" for key, item in value.items())
    else:
        text = str(value)
    text = one_line(text)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def since(span: tuple[float, float], now: float) -> str:
    """A moment with its age, or the first and the last of several."""
    first, last = (time.strftime("%Y-%m-%d %H:%M", time.localtime(moment)) for moment in span)
    return f"{first} ({age(now - span[0])} ago)" if first == last else f"{first} to {last}"


def age(seconds: float) -> str:
    """A span of time in its largest unit."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size * (2 if unit == "days" else 1):
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def one_line(text: str) -> str:
    """Text of unknown origin on one line, fit for a terminal."""
    return " ".join(printable(text).split())


def plain(shown: Iterable[Line]) -> str:
    """Lines as text without style."""
    return "".join(line.text + line.end for line in shown)
