"""Tasks that are tried again (`until`, `retries`, `delay`), and loops whose items wait for each other (`pause`,
`break_when`): each item of a loop is done before the next begins.

Pure: of a task, what it came to, and what is known of the attempts so far.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from provision.agent.record import record
from provision.errors import ProvisionError
from provision.filters import truth
from provision.outcome import Outcome
from provision.playbook import Task
from provision.render import KnownAfterApply
from provision.scopes import Scopes
from provision.settle import Asked, error_of, holds
from provision.variables import Registered

__all__ = ["Trying", "breaks", "counted", "delay", "is_tried", "never_reached", "pause", "reached", "retries"]

RETRIES, DELAY = 3, 5.0


@record(frozen=True, slots=True)
class Trying:
    """How far a task is: the item of its loop, the attempt at it, and what came of the items before.

    `failed` is the first error of these; `notify`: one of them changed something.
    """

    item: int = 0
    attempt: int = 1
    kept: tuple[tuple[Asked, Mapping[str, Any]], ...] = ()
    changed: bool = False
    failed: ProvisionError | None = None


def is_tried(task: Task) -> bool:
    """Whether a task, or each item of its loop, is judged before anything follows it."""
    if task.until or task.retries is not None:
        return True
    return task.loop is not None and (bool(task.break_when) or task.pause is not None)


def retries(task: Task, scopes: Scopes) -> int:
    """How many attempts follow the first; raises ProvisionError for what is no number."""
    return int(_number(task, "retries", RETRIES, scopes))


def delay(task: Task, scopes: Scopes) -> float:
    """Seconds before another attempt; raises ProvisionError for what is no number."""
    return max(0.0, _number(task, "delay", DELAY, scopes))


def pause(task: Task, scopes: Scopes) -> float:
    """Seconds between two items of a loop; raises ProvisionError for what is no number."""
    return max(0.0, _number(task, "pause", 0.0, scopes))


def breaks(task: Task, own: Mapping[str, Any], scopes: Scopes) -> bool:
    """Whether a loop ends with the item that brings the names `own`, its result among them.

    What a check cannot know counts as no end.
    """
    try:
        return bool(task.break_when) and holds(task.break_when, scopes.inner(task, own))
    except KnownAfterApply:
        return False


def counted(task: Task, outcome: Outcome, attempt: int, scopes: Scopes) -> Outcome | None:
    """A task, or an item, that was decided here, with its attempts counted; None where another one follows.

    In a check none does: nothing that is waited for comes about.
    """
    if not (task.until or task.retries is not None) or not outcome.asked:
        return outcome
    (asked,) = outcome.asked
    values = Registered(asked.fields or {})
    if values.get("skipped"):
        return outcome
    values["attempts"] = attempt
    own = {**outcome.facts, **({task.register: values} if task.register else {}), **asked.names}
    done = scopes.host.run.check or reached(task, values, own, scopes)
    if not done and attempt <= retries(task, scopes):
        return None
    if not done:
        values |= {"attempts": attempt - 1, "failed": True}
        outcome = _in_vain(task, outcome, attempt, scopes)
    kept = values if task.register and task.loop is None else outcome.registered
    return replace(outcome, asked=(replace(asked, fields=values),), registered=kept)


def _in_vain(task: Task, outcome: Outcome, attempt: int, scopes: Scopes) -> Outcome:
    """What was decided here as a failure, where it is none by itself."""
    verdict = outcome.verdicts[-1]
    if verdict.result.status == "failed":
        return outcome
    ignored = truth(scopes.of(task).render(task.ignore_errors))
    result = replace(verdict.result, status="failed", error=never_reached(task, attempt))
    told = replace(verdict, result=result, message="", ignored=ignored)
    failed = None if ignored else error_of(result, task.where, verdict.title)
    return replace(outcome, verdicts=(*outcome.verdicts[:-1], told), failed=failed, notified=())


def never_reached(task: Task, attempts: int) -> dict[str, Any]:
    """What is said of a task that was tried so often in vain."""
    until = " and ".join(f"`{condition.expression}`" for condition in task.until)
    cause = f"{until} did not hold" if until else "each of them failed"
    return {"summary": f"not what is waited for after {attempts} attempts", "cause": cause, "hint": ""}


def _number(task: Task, word: str, default: float, scopes: Scopes) -> float:
    value = getattr(task, word)
    if value is None:
        return default
    try:
        return float(scopes.of(task).render(value))
    except (TypeError, ValueError):
        raise ProvisionError(
            f"`{word}` is not a number", where=task.where, context=f'task "{task.title}"', hint="such as 3"
        ) from None


def reached(task: Task, values: Registered, own: Mapping[str, Any], scopes: Scopes) -> bool:
    """Whether an attempt is the last one, as `until` holds; without `until`, as it did not fail.

    `own` are the names that the attempt itself brings. What a check cannot know counts as reached.
    """
    if not task.until:
        return task.retries is None or not values.get("failed")
    try:
        return holds(task.until, scopes.inner(task, own))
    except KnownAfterApply:
        return True
