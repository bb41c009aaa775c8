"""`provision report`: one run as an offline HTML page: host by task heat map, what failed and changed, timeline.

Hosts with the same results share a row, so that 200 hosts are read as easily as two.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from provision.history.command import ended, grouped, sums
from provision.history.place import stored
from provision.history.store import HostRow, ResultRow, RunRow
from provision.options import SHOWN, Inventories
from provision.printable import printable
from provision.report.page import template, write_page
from provision.report.tally import host_names

__all__ = ["page", "report"]

MARKS = {"changed": "~", "failed": "✗", "ignored": "!"}
RANK = ("failed", "ignored", "changed", "ok", "skipped")
"""Of the items of a loop, which says what the task came to: the first."""
DIFF_LINES = 200
CHART = 900
"""Width of the timeline's bars, in pixels."""
LABEL = 130
BARS = 60
"""Hosts in the timeline: those that took longest."""


def report(
    run: str = "last",
    /,
    *,
    html: Annotated[Path, Parameter("--html", group=SHOWN)],
    where: Inventories = Inventories(),
) -> int:
    """Write one run as an HTML page that needs nothing else.

    Parameters
    ----------
    run
        The beginning of its id, or `last`.
    html
        The file to write.
    """
    with stored(where) as store:
        chosen = store.run(run)
        hosts, results = store.hosts(chosen.number), store.results(chosen.number)
        inputs = store.inputs(chosen.number)
    write_page(html, page(chosen, hosts, results, inputs))
    return 0


def page(run: RunRow, hosts: Sequence[HostRow], results: Sequence[ResultRow], inputs: dict[str, str]) -> str:
    """The text of the page."""
    titles, cells = _map(results)
    changes = [_change(row, host_names(names, len(hosts))) for row, names in grouped(hosts, results)]
    failed = [group for group in changes if group["status"] == "failed"] + list(_host_errors(hosts, results))
    counts = sums(hosts)
    word, style = ended(run)
    return template("provision.history", "report.html.j2").render(
        command=run.command,
        run=run.id,
        argv=printable("provision " + (" ".join(run.argv) or run.command)),
        total=f"{len(hosts)} hosts: " + ", ".join(f"{word} {count}" for word, count in counts.items()),
        end=word,
        good=style == "green",
        moment=time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(run.began)),
        operator=printable(run.operator),
        version=run.version,
        checks=run.checks,
        simulated=run.simulated,
        titles=[printable(title) for title in titles],
        rows=list(_rows(hosts, titles, cells)),
        sections=[("What failed", failed), ("What changed", [row for row in changes if row["status"] == "changed"])],
        chart=_chart(run, hosts, results),
        slowest=_slowest(hosts, results),
        inputs=sorted(inputs.items()),
    )


def _map(results: Sequence[ResultRow]) -> tuple[list[str], dict[tuple[int, str], str]]:
    """The tasks, and what each came to on each host; the items of a loop are one task."""
    places: dict[str, str] = {}
    cells: dict[tuple[int, str], str] = {}
    for row in results:
        title = places.setdefault(row.place or row.title, row.title)
        status = "ignored" if row.ignored and row.status == "failed" else row.status
        before = cells.get((row.host, title), status)
        cells[row.host, title] = min(before, status, key=RANK.index)
    return list(dict.fromkeys(places.values())), cells


def _rows(
    hosts: Sequence[HostRow], titles: Sequence[str], cells: dict[tuple[int, str], str]
) -> Iterator[dict[str, Any]]:
    groups: dict[tuple[str, ...], list[str]] = {}
    for host in hosts:
        states = tuple(cells.get((host.number, title), "none") for title in titles)
        groups.setdefault((host.state, *states), []).append(host.name)
    for key, names in sorted(groups.items(), key=lambda item: (item[0][0] == "done", len(item[1]))):
        state, states = key[0], key[1:]
        label = names[0] if len(names) == 1 else f"{len(names)} hosts: {host_names(names, 0, most=3)}"
        yield {
            "label": printable(label if state == "done" else f"{label} ({state})"),
            "names": printable(", ".join(names)),
            "cells": [{"status": status, "mark": MARKS.get(status, "")} for status in states],
        }


def _change(row: ResultRow, hosts: str) -> dict[str, Any]:
    error = row.detail.get("error") or {}
    words = ("summary", "cause", "hint")
    return {
        "status": row.status,
        "title": printable(row.title),
        "hosts": printable(hosts) + (", gone on with" if row.ignored else ""),
        "place": row.place,
        "error": [(word, printable(str(error[word]))) for word in words if error.get(word)],
        "actions": [_action(action) for action in row.detail.get("actions") or []],
        "open": row.status == "failed",
    }


def _action(action: dict[str, Any]) -> dict[str, Any]:
    before, after = (printable(action.get(side) or "").splitlines() for side in ("before", "after"))
    lines = [line for line in difflib.unified_diff(before, after, lineterm="", n=2) if line[:3] not in ("---", "+++")]
    shown = [({"+": "plus", "-": "minus", "@": "at"}.get(line[:1], ""), line) for line in lines[:DIFF_LINES]]
    if len(lines) > DIFF_LINES:
        shown.append(("at", f"… and {len(lines) - DIFF_LINES} more lines"))
    return {"verb": str(action["verb"]), "target": printable(str(action["target"])), "lines": shown}


def _host_errors(hosts: Sequence[HostRow], results: Sequence[ResultRow]) -> Iterator[dict[str, Any]]:
    """Errors of hosts that no failed task of theirs explains, equal ones once."""
    explained = {row.host for row in results if row.status == "failed" and not row.ignored}
    groups: dict[str, list[HostRow]] = {}
    for host in hosts:
        if host.error and (host.state == "unreachable" or host.number not in explained):
            groups.setdefault(repr(host.error), []).append(host)
    for group in groups.values():
        error = dict(group[0].error or {})
        yield {
            "status": "failed",
            "title": group[0].state,
            "hosts": host_names([host.name for host in group], len(hosts)),
            "place": error.get("where") or "",
            "error": [(word, printable(str(error[word]))) for word in ("summary", "cause", "hint") if error.get(word)],
            "actions": [],
            "open": True,
        }


def _chart(run: RunRow, hosts: Sequence[HostRow], results: Sequence[ResultRow]) -> dict[str, Any]:
    """Bars of the hosts that took longest; what took less than a pixel is not drawn."""
    worked = [host for host in hosts if host.began is not None]
    chosen = sorted(worked, key=lambda host: -(host.seconds or 0.0))[:BARS]
    last = max([run.seconds or 0.0, *(row.ended for row in results), 0.001])
    scale = CHART / last
    of_host: dict[int, list[ResultRow]] = {}
    for row in results:
        of_host.setdefault(row.host, []).append(row)
    bars = []
    for index, host in enumerate(chosen):
        y = index * 15 + 2
        began = host.began or 0.0
        bars.append(
            {
                "label": printable(host.name)[:20],
                "y": y,
                "x": round(LABEL + began * scale, 1),
                "width": round(max(1.0, (host.seconds or last - began) * scale), 1),
                "parts": list(_parts(of_host.get(host.number, ()), scale, y)),
            }
        )
    return {
        "width": LABEL + CHART + 60,
        "height": len(bars) * 15 + 24,
        "bars": bars,
        "ticks": [{"x": round(LABEL + CHART * part / 4, 1), "label": f"{last * part / 4:.1f} s"} for part in range(5)],
        "shown": f"{len(bars)} of {len(hosts)} hosts, those that took longest"
        if len(hosts) > len(bars)
        else f"{len(bars)} hosts, those that took longest first",
    }


def _parts(rows: Iterable[ResultRow], scale: float, y: int) -> Iterator[dict[str, Any]]:
    for row in rows:
        if row.seconds * scale >= 1.0:
            yield {
                "status": row.status,
                "x": round(LABEL + max(0.0, row.ended - row.seconds) * scale, 1),
                "y": y,
                "width": round(row.seconds * scale, 1),
                "label": printable(f"{row.title}: {row.status}, {row.seconds:.2f} s"),
            }


def _slowest(hosts: Sequence[HostRow], results: Sequence[ResultRow]) -> list[dict[str, Any]]:
    names = {host.number: host.name for host in hosts}
    tasks: dict[str, list[ResultRow]] = {}
    for row in results:
        tasks.setdefault(row.title, []).append(row)
    worst = sorted(
        ((max(rows, key=lambda row: row.seconds), rows) for rows in tasks.values()), key=lambda item: -item[0].seconds
    )
    return [
        {
            "title": printable(longest.title),
            "longest": f"{longest.seconds:.2f}",
            "host": names[longest.host],
            "mean": f"{sum(row.seconds for row in rows) / len(rows):.2f}",
            "count": len(rows),
        }
        for longest, rows in worst[:10]
    ]
