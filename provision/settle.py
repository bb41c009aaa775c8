"""What came back from a host, judged: registered values, changed_when and failed_when, notified handlers, failure.

Pure: of results and what was asked for, never of the wire.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Any

from provision.agent.protocol import Result
from provision.agent.record import record
from provision.errors import Mark, ProvisionError
from provision.playbook import Condition, Task
from provision.secret.value import HIDDEN, marked
from provision.variables import Registered, Scope

__all__ = [
    "CONDITION_FALSE",
    "Asked",
    "Awaited",
    "error_of",
    "hidden_fields",
    "holds",
    "judge",
    "registered",
    "skipped_fields",
    "values_of",
]


CONDITION_FALSE = "Conditional result was False"


@record(frozen=True, slots=True)
class Asked:
    """One step, or one item that was decided here: then `step` is None and `fields` is its result.

    `sensitive`: a secret went into the step, or it says `no_log`.
    """

    step: int | None
    title: str
    item: Any = None
    index: int = 0
    fields: Mapping[str, Any] | None = None
    sensitive: bool = False
    names: Mapping[str, Any] = field(default_factory=dict)
    """What its loop brings."""


@record(frozen=True, slots=True)
class Awaited:
    """A task whose steps are on their way; `handler` is its id when it is one.

    Without any step: one that was decided behind such a task, and does not count if that fails. `before` are the
    values, if any, that the names had which it set.
    """

    task: Task
    asked: tuple[Asked, ...]
    looped: bool
    handler: str | None = None
    notify: tuple[str, ...] = ()
    ignore_errors: bool = False
    check: bool = False
    items: int = 1
    before: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


def values_of(result: Result, check: bool, sensitive: bool = False, title: str = "") -> Registered:
    """A result as templates see it, with Ansible's words.

    Of a sensitive step every text is a secret, but for paths and what its title says in any case.
    """
    fields = result.fields
    if sensitive:
        fields = {
            name: value if _is_path(value) or (isinstance(value, str) and value in title) else _learned(value)
            for name, value in fields.items()
        }
    values = Registered(fields)
    for name in result.cut:
        values.pop(name, None)
    for stream in ("stdout", "stderr"):
        if isinstance(values.get(stream), str):
            lines = values[stream].splitlines()
            values.setdefault(f"{stream}_lines", marked(lines) if sensitive else lines)
    # as in Ansible: a command that ran is a change, also where it failed
    ran = result.status == "failed" and bool(fields.get("cmd")) and isinstance(fields.get("rc"), int)
    values["changed"] = result.status == "changed" or ran
    values["failed"] = result.status == "failed"
    if result.error:
        values.setdefault("msg", result.error.get("summary", ""))
    values.partial = check and result.status == "changed"
    values.cut = frozenset(result.cut)
    return values


def hidden_fields(result: Result) -> Result:
    """A sensitive step's result as it may be shown: of texts only paths."""
    return replace(result, fields={name: _hidden(value) for name, value in result.fields.items()})


def _hidden(value: Any) -> Any:
    return value if isinstance(value, bool | int | float) or value is None or _is_path(value) else HIDDEN


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("/") and not any(sign.isspace() for sign in value)


def _learned(value: Any) -> Any:
    # imported here: a start without secrets does without
    from provision.secret.known import derived

    return derived(value)


def skipped_fields(reason: str) -> dict[str, Any]:
    """What is registered of a task that was skipped: as in Ansible nothing of a failure."""
    return {"changed": False, "skipped": True, "skip_reason": reason}


def registered(awaited: Awaited, results: Sequence[tuple[Asked, Mapping[str, Any]]]) -> Registered:
    """What `register` keeps of a task: its result, or with a loop those of all items."""
    if not awaited.looped:
        return _registered(results[0][1]) if results else Registered(skipped_fields("not run"))
    items = []
    for asked, values in results:
        item = _registered(values)
        item.update(asked.names)
        items.append(item)
    if not items:
        return Registered(changed=False, results=[], skipped=True, skipped_reason="No items in the list")
    whole = Registered(results=items, changed=any(item.get("changed") for item in items))
    whole["skipped"] = all(item.get("skipped") for item in items)
    if any(item.get("failed") for item in items):
        whole.update(failed=True, msg="One or more items failed")
    else:
        whole["msg"] = "All items skipped" if whole["skipped"] else "All items completed"
    return whole


def _registered(values: Mapping[str, Any]) -> Registered:
    copy = Registered(values)
    copy.partial = getattr(values, "partial", False)
    copy.cut = getattr(values, "cut", frozenset())
    return copy


def judge(task: Task, result: Result, values: Registered, scope: Scope) -> Result:
    """The result after the task's `changed_when` and `failed_when`; `scope` knows the result by its registered name.

    As in Ansible `changed_when` comes first, and says nothing of whether the task failed.
    """
    failed = result.status == "failed"
    if task.changed_when:
        values["changed"] = _changed(task, scope, failed and not task.failed_when, values["changed"])
    if task.failed_when:
        failed = values["failed"] = values["failed_when_result"] = holds(task.failed_when, scope)
    status = "failed" if failed else "changed" if values["changed"] else "ok"
    if status == result.status:
        return result
    error = result.error
    if status == "failed" and not error:
        error = {"summary": "the task's `failed_when` holds", "cause": _shown(task.failed_when), "hint": ""}
    return replace(result, status=status, error=error if status == "failed" else None)


def _changed(task: Task, scope: Scope, failed: bool, before: bool) -> bool:
    try:
        return holds(task.changed_when, scope)
    except ProvisionError:
        # what failed may lack what the condition asks for; its own error is told then
        if failed:
            return before
        raise


def holds(conditions: Sequence[Condition], scope: Scope) -> bool:
    """Whether all conditions hold."""
    return all(scope.renderer.test(condition.expression, scope, condition.where) for condition in conditions)


def _shown(conditions: Sequence[Condition]) -> str:
    return " and ".join(f"`{condition.expression}`" for condition in conditions)


def error_of(result: Result, where: Mark, title: str) -> ProvisionError:
    """A failed result as the error that ends its host."""
    said = result.error or {}
    return ProvisionError(
        said.get("summary") or "the step failed",
        where=where,
        context=f'task "{title}"',
        cause=said.get("cause") or "",
        hint=said.get("hint") or "",
        exit_code=2,
    )
