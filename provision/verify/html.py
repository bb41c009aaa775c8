"""A verdict as one HTML file that needs nothing else: heat map, exceptions, facts.

What hosts said is untrusted: everything goes through the template's escaping, and the page runs no script.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from provision.report.page import template, write_page
from provision.verify.ladder import RUNGS, Group, HostVerdict, Verdict, fold_hosts, grouped, title
from provision.verify.text import Line, flat, names_of, one_line, since, subject_of, total

__all__ = ["page", "write"]

WORDS = {"ok": "ok", "failed": "failed", "warning": "warning", "skipped": "–", "not reached": "·"}
FACTS = ("system", "kernel", "python", "glibc", "CPUs", "memory", "driver", "CUDA", "GPUs")


def write(verdict: Verdict, path: Path) -> None:
    """Replace the file at `path` by the page; raises ProvisionError where it cannot be written."""
    write_page(path, page(verdict))


def page(verdict: Verdict) -> str:
    """The text of the page."""
    sections = (
        ("failed", "Not as it should be", ["failed"]),
        ("warning", "Worth knowing", ["warning"]),
        ("skipped", "Not looked at", ["skipped"]),
    )
    exceptions = [
        (identity, heading, [_exception(group, verdict) for group in grouped(verdict.hosts, statuses)])
        for identity, heading, statuses in sections
    ]
    return template("provision.verify", "report.html.j2").render(
        playbook=one_line(verdict.playbook),
        moment=time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(verdict.time)),
        total=_text(total(verdict)),
        good=verdict.exit_code == 0,
        simulated=verdict.simulated,
        rungs=[title(rung) for rung in RUNGS],
        rows=[_row(host) for host in verdict.hosts],
        words=WORDS,
        exceptions=exceptions,
        fact_names=FACTS,
        facts=[(fold_hosts(names), values) for values, names in _facts(verdict.hosts)],
    )


def _text(line: Line) -> str:
    return line.text.strip()


def _row(host: HostVerdict) -> dict[str, Any]:
    cells = []
    for rung in RUNGS:
        told = [
            one_line(each.summary) for each in host.findings if each.rung == rung and each.status == host.rungs[rung]
        ]
        cells.append({"state": host.rungs[rung], "rung": rung, "told": "; ".join(told[:4])})
    return {"host": one_line(host.host), "cells": cells, "simulated": host.simulated}


def _exception(group: Group, verdict: Verdict) -> dict[str, Any]:
    finding = group.finding
    return {
        "rung": title(finding.rung),
        "key": finding.rung,
        "check": finding.check,
        "subject": subject_of(group).strip(),
        "summary": one_line(group.summary),
        "hosts": names_of(group.hosts, len(verdict.hosts)),
        "where": one_line(str(finding.detail.get("where") or "")),
        "since": since(group.since, verdict.time) if group.since else "",
        "details": list(flat(finding.detail)),
        "alike": group.alike,
        "first": one_line(group.hosts[0]),
        "mend": one_line(group.mend),
        "simulated": finding.simulated,
    }


def _facts(hosts: Sequence[HostVerdict]) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Rows of facts that hosts share, with these hosts."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for host in hosts:
        if host.facts:
            rows.setdefault(_fact_row(host.facts), []).append(one_line(host.host))
    yield from rows.items()


def _fact_row(facts: Mapping[str, Any]) -> tuple[str, ...]:
    gpu = facts.get("gpu") or {}
    names = [str(device.get("name", "?")) for device in gpu.get("devices") or []]
    kinds = ", ".join(f"{names.count(name)} × {name}" for name in dict.fromkeys(names)) or "none"
    memory = facts.get("memory_mb")
    values = (
        (facts.get("os") or {}).get("name"),
        facts.get("kernel"),
        facts.get("python"),
        facts.get("glibc"),
        facts.get("cpus"),
        f"{memory / 1024:.0f} GiB" if isinstance(memory, int) and memory else "",
        gpu.get("driver"),
        gpu.get("cuda"),
        kinds + (" (simulated)" if gpu.get("simulated") else ""),
    )
    return tuple(one_line(str(value if value is not None else "–")) for value in values)
