"""What a look found, in one form; and the ladder: behind a broken rung nothing is looked at.

Must not look at anything itself.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional

from ..system import System

__all__ = ["RUNGS", "Finding", "climb", "failed", "ok", "reached", "skipped", "warning"]

Finding = Dict[str, Any]
"""`rung`, `check` (RUNG.NAME, stable), `status` (ok, failed, warning, skipped), `subject` (a name, path or GPU, or ""),
`summary` (one line), `detail` (small JSON), `since` (seconds since the epoch, or None) and `mend` (a command or words;
`provision apply` stands for applying the playbook to this host)."""

RUNGS = (
    "reachable",
    "system",
    "driver",
    "environments",
    "imports",
    "compute",
    "shared_data",
    "configuration",
    "apps",
)
"""The ladder, from its foot."""
_BROKEN = "verify: broken rung"
_SHOWN = 20


def ok(check: str, summary: str, subject: str = "", **detail: Any) -> Finding:
    """All is well; the summary says what was seen."""
    return _finding("ok", check, summary, subject, detail, None, "")


def failed(
    check: str, summary: str, subject: str = "", mend: str = "", since: Optional[float] = None, **detail: Any
) -> Finding:
    """Something is not as it should be, and breaks its rung."""
    return _finding("failed", check, summary, subject, detail, since, mend)


def warning(
    check: str, summary: str, subject: str = "", mend: str = "", since: Optional[float] = None, **detail: Any
) -> Finding:
    """Something that people should know of, and that breaks nothing now."""
    return _finding("warning", check, summary, subject, detail, since, mend)


def skipped(check: str, summary: str, subject: str = "", **detail: Any) -> Finding:
    """Something was not looked at; the summary says why."""
    return _finding("skipped", check, summary, subject, detail, None, "")


def reached(system: System, rung: str) -> bool:
    """Whether no rung below this one was found broken in this run."""
    broken = system.notes.get(_BROKEN)
    return broken is None or RUNGS.index(broken) >= RUNGS.index(rung)


def climb(system: System, rung: str, look: Callable[[], List[Finding]]) -> List[Finding]:
    """What a look at a rung finds; nothing where a rung below is broken. A broken one is noted for the steps behind."""
    if not reached(system, rung):
        return []
    found = look()
    if any(one["status"] == "failed" for one in found) and system.notes.get(_BROKEN) is None:
        system.notes[_BROKEN] = rung
    return found


def _finding(
    status: str, check: str, summary: str, subject: str, detail: Dict[str, Any], since: Optional[float], mend: str
) -> Finding:
    return {
        "rung": check.partition(".")[0],
        "check": check,
        "status": status,
        "subject": subject,
        "summary": " ".join(summary.split()),
        "detail": {name: _short(value) for name, value in detail.items()},
        "since": None if since is None else int(since),
        "mend": mend,
    }


def _short(value: Any) -> Any:
    """A long list is told by its start."""
    if isinstance(value, list) and len(value) > _SHOWN:
        return [*value[:_SHOWN], "and %d more" % (len(value) - _SHOWN)]
    return value
