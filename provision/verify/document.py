"""A verdict for programs: the object that `-o json` prints. Its schema is `schema.json` beside this file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from provision.verify.ladder import Finding, HostVerdict, Verdict

__all__ = ["document", "schema"]


def schema() -> dict[str, Any]:
    """The JSON Schema of what `provision verify -o json` prints."""
    loaded: dict[str, Any] = json.loads((Path(__file__).parent / "schema.json").read_text(encoding="utf-8"))
    return loaded


def document(verdict: Verdict) -> dict[str, Any]:
    """The object that `-o json` prints."""
    return {
        "command": "verify",
        "playbook": verdict.playbook,
        "time": round(verdict.time, 3),
        "deep": verdict.deep,
        "ok": verdict.exit_code == 0,
        "exit_code": verdict.exit_code,
        "interrupted": verdict.interrupted,
        "simulated": verdict.simulated,
        "seconds": round(verdict.seconds, 3),
        "hosts": {host.host: _host(host) for host in verdict.hosts},
    }


def _host(host: HostVerdict) -> dict[str, Any]:
    return {
        "broken": host.broken,
        "unreachable": host.unreachable,
        "simulated": host.simulated,
        "seconds": round(host.seconds, 3),
        "rungs": dict(host.rungs),
        "spent": {rung: round(seconds, 4) for rung, seconds in host.spent.items()},
        "findings": [_finding(finding) for finding in host.findings],
        "facts": dict(host.facts),
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "rung": finding.rung,
        "check": finding.check,
        "status": finding.status,
        "subject": finding.subject,
        "summary": finding.summary,
        "detail": dict(finding.detail),
        "since": finding.since,
        "mend": finding.mend,
    }
