"""Tasks that only think: debug, set_fact, assert, fail, meta. Decided on the control node, never sent.

Pure functions of arguments and names; must not know batches.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from provision.agent.record import record
from provision.errors import ProvisionError
from provision.playbook import Task
from provision.secret.rendering import shown
from provision.secret.value import masked
from provision.source import Template, plain
from provision.variables import Scope

__all__ = ["Decision", "decide", "gathered"]


@record(frozen=True, slots=True)
class Decision:
    """What a directive came to; `facts` are to be set, `error` says why it failed.

    `flush`: run handlers now; `resets`: connect anew; `leaves`: the host does nothing more in this play. `included`:
    variables of a file, as they are written. `skipped`: nothing was done, as `message` says.
    """

    message: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    error: ProvisionError | None = None
    flush: bool = False
    leaves: bool = False
    resets: bool = False
    included: Mapping[str, Any] = field(default_factory=dict)
    skipped: bool = False


def decide(task: Task, values: dict[str, Any], scope: Scope, verbosity: int = 0) -> Decision:
    """What a directive with these rendered arguments comes to; `verbosity` is that of the run."""
    if task.module == "debug" and int(values.get("verbosity") or 0) > verbosity:
        said = "Verbosity threshold not met."
        return Decision(said, {"skipped": True, "skipped_reason": said}, skipped=True)
    return _DECIDE[task.module](task, values, scope)


def gathered(task: Task, values: dict[str, Any], facts: Mapping[str, Any]) -> Decision:
    """What `setup` comes to: facts as the host told them when it was connected to, and their names from now on."""
    from provision.fact_names import of_subset, wanted

    try:
        told = wanted(facts, of_subset(values.get("gather_subset")), values.get("filter"))
    except ValueError as error:
        raise ProvisionError(
            "`setup` cannot gather this", where=task.where, context=f'task "{task.title}"', cause=str(error)
        ) from None
    named = {f"ansible_{name}": value for name, value in told.items()}
    return Decision(fields={"ansible_facts": named}, facts={**named, "ansible_facts": told, "facts": facts})


def _debug(task: Task, values: dict[str, Any], scope: Scope) -> Decision:
    if "var" in values:
        name = str(values["var"])
        value = scope.renderer.evaluate(name, scope, task.arguments.value_mark("var"))
        return Decision(f"{name}: {_shown(value)}", {name: value})
    message = values.get("msg", "Hello world!")
    return Decision(shown(message) if isinstance(message, str) else _shown(message), {"msg": message})


def _shown(value: Any) -> str:
    return json.dumps(plain(masked(value)), indent=2, ensure_ascii=False, default=str)


def _set_fact(task: Task, values: dict[str, Any], scope: Scope) -> Decision:
    """`cacheable` says nothing here: facts that are set are those of the run."""
    facts: dict[str, Any] = {}
    for written, value in values.items():
        where = task.arguments.key_mark(written)
        name = str(scope.render(Template(written, where, written)) if "{{" in str(written) else written)
        if name == "cacheable":
            continue
        if not name.isidentifier():
            raise ProvisionError(f"`{name}` is no name for a variable", where=where)
        facts[name] = value
    return Decision(fields={"ansible_facts": facts}, facts=facts)


def _include_vars(task: Task, values: dict[str, Any], scope: Scope) -> Decision:
    # imported here: a run without it does without
    from provision.included_vars import included

    found, files = included(task, values, scope)
    shown_values = {name: plain(value) for name, value in found.items()}
    return Decision(fields={"ansible_facts": shown_values, "ansible_included_var_files": files}, included=found)


def _assert(task: Task, values: dict[str, Any], scope: Scope) -> Decision:
    where = task.arguments.value_mark("that")
    that = values.get("that", [])
    for expression in that if isinstance(that, list) else [that]:
        if not scope.renderer.test(expression, scope, where):
            said = _lines(values.get("fail_msg", values.get("msg")))
            summary = shown(said) if said is not None else f"assertion failed: `{expression}`"
            cause = f"`{expression}` is false" if said is not None else ""
            fields = {"msg": summary, "assertion": str(expression), "evaluated_to": False}
            return Decision(fields=fields, error=_failure(task, summary, cause))
    said = _lines(values.get("success_msg"))
    return Decision("" if values.get("quiet") else str(said or ""), {"msg": said or "All assertions passed"})


def _lines(said: Any) -> Any:
    return "\n".join(map(str, said)) if isinstance(said, list) else said


def _fail(task: Task, values: dict[str, Any], _: Scope) -> Decision:
    message = shown(values.get("msg", "Failed as requested from task"))
    return Decision(fields={"msg": message}, error=_failure(task, message, ""))


def _failure(task: Task, summary: str, cause: str) -> ProvisionError:
    return ProvisionError(summary, where=task.where, context=f'task "{task.title}"', cause=cause, exit_code=2)


def _meta(_task: Task, values: dict[str, Any], _: Scope) -> Decision:
    word = values["free_form"]
    leaves = word in ("end_host", "end_play", "end_batch")
    return Decision(flush=word == "flush_handlers", leaves=leaves, resets=word == "reset_connection")


_DECIDE = {
    "debug": _debug,
    "set_fact": _set_fact,
    "assert": _assert,
    "fail": _fail,
    "meta": _meta,
    "include_vars": _include_vars,
}
