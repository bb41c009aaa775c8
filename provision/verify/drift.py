"""What a step of the play says in check mode, as a finding. Pure.

A difference is drift; an act (a command, a restart) is not checkable; a failed step is what its error says.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from provision.agent.protocol import Result
from provision.agent.resource import Verb
from provision.errors import Mark, ProvisionError
from provision.outcome import PlannedStep
from provision.verify.ladder import Finding, Status

__all__ = ["APPLY", "of_error", "of_step", "rung_of", "unknown"]

APPLY = "provision apply"
"""Stands for applying the playbook to the host; `gather.py` knows which."""
_RUNGS = {"app": "apps", "gpu": "driver", "link": "shared_data", "mounted": "shared_data"}
_ACTS = frozenset(verb.word for verb in Verb if verb.act)
_SAID = {
    "create": "is not there",
    "install": "is not installed",
    "change": "is not as the playbook says",
    "remove": "should not be there",
    "enable": "is not enabled",
    "start": "does not run",
    "stop": "should not run",
    "flip": "does not serve yet",
}
_DIFF_LINES = 12
_LONGEST = 160


def rung_of(resource: str) -> str:
    """The rung that a resource's steps belong to."""
    return "environments" if resource.startswith("conda_") else _RUNGS.get(resource, "configuration")


def of_step(planned: PlannedStep, result: Result) -> Finding | None:
    """The finding of one step; None where it is right. `planned.ignore_errors` makes a failure a warning."""
    if result.status == "failed":
        return _failed(planned, result)
    if result.status != "changed":
        return None
    differences = [action for action in result.actions if action["verb"] not in _ACTS]
    if differences:
        return _difference(planned, differences)
    words = ", ".join(dict.fromkeys(str(action["verb"]) for action in result.actions)) or "run"
    return unknown(planned, f"`{planned.title}` is not checkable: apply would {words}")


def unknown(planned: PlannedStep, summary: str) -> Finding:
    """What cannot be told without acting."""
    return _finding(planned, "skipped", summary, {})


def _difference(planned: PlannedStep, actions: Sequence[Mapping[str, Any]]) -> Finding:
    first = actions[0]
    said = _SAID.get(str(first["verb"]), f"is not as the playbook says: apply would {first['verb']} it")
    more = f", and {len(actions) - 1} more" if len(actions) > 1 else ""
    detail: dict[str, Any] = {"task": planned.title}
    if more:
        detail["actions"] = [f"{action['verb']} {action['target']}" for action in actions]
    if lines := [line for action in actions for line in _lines(action)]:
        detail["differs"] = lines[:_DIFF_LINES] + (
            [f"… {len(lines) - _DIFF_LINES} more lines"] * (len(lines) > _DIFF_LINES)
        )
    return _finding(planned, "failed", f"`{first['target']}` {said}{more}", detail, APPLY)


def _lines(action: Mapping[str, Any]) -> list[str]:
    """What is taken away and what comes, cut to what a person reads; nothing where there was nothing before."""
    if action.get("before") is None:
        return []
    before, after = ((action.get(side) or "").splitlines() for side in ("before", "after"))
    found = difflib.unified_diff(before, after, lineterm="", n=0)
    return [line[:_LONGEST] for line in found if line[:1] in "+-" and line[:3] not in ("+++", "---")]


def _failed(planned: PlannedStep, result: Result) -> Finding:
    error = result.error or {}
    detail = {"task": planned.title}
    if error.get("cause"):
        detail["cause"] = str(error["cause"])
    status: Status = "warning" if planned.ignore_errors else "failed"
    return _finding(
        planned, status, str(error.get("summary") or "the step failed"), detail, str(error.get("hint") or "")
    )


def _finding(planned: PlannedStep, status: Status, summary: str, detail: dict[str, Any], mend: str = "") -> Finding:
    rung = rung_of(planned.step.resource)
    place = {"where": str(planned.where)} if planned.where else {}
    return Finding(
        rung=rung,
        check=f"{rung}.{planned.step.resource}",
        status=status,
        summary=summary,
        subject=_subject(planned.step.resource, planned.step.spec),
        detail={**place, **detail, "drift": True},
        mend=mend,
    )


def _subject(resource: str, spec: Mapping[str, Any]) -> str:
    """What the probe of the same thing calls it."""
    key = "path" if resource in ("file", "link", "mounted") else "dest" if resource == "git" else "name"
    value = spec.get(key)
    return value if isinstance(value, str) else ""


def of_error(error: ProvisionError, rung: str, check: str) -> Finding:
    """An error that ended the host's part."""
    detail: dict[str, Any] = {"where": _place(error.where)} if error.where else {}
    if error.context:
        detail["context"] = error.context
    if error.cause:
        detail["cause"] = error.cause
    return Finding(rung, check, "failed", error.summary, detail=detail, mend=error.hint)


def _place(where: Mark | None) -> str:
    return str(where or "")
