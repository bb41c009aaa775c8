"""One task on one host as steps or verdicts: loop, when, arguments, user, environment, notify.

Pure: of the task and the names that it sees. Where a task stands in a play is `compile`'s matter.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from provision import directives, network
from provision.agent.protocol import Result, Step
from provision.agent.record import record
from provision.apart import delegated, ends_run
from provision.attempts import is_tried
from provision.blocks import rescued_by
from provision.control_node import refuse_host_values
from provision.errors import ProvisionError
from provision.events import StepEnded
from provision.filters import truth
from provision.host_values import host_names_in, host_roots, only_kind
from provision.loops import names_of
from provision.modules import DIRECTIVES, INCLUDES, NOT_IN_CHECK
from provision.outcome import Environment, Outcome, PlannedStep
from provision.playbook import Frame, Task, keyed
from provision.render import KnownAfterApply, UndefinedVariable, Unsettled
from provision.scopes import INCLUDED, OMIT, Scopes
from provision.secret.rendering import shown
from provision.secret.value import holds as holds_secret
from provision.secret.value import masked
from provision.selection import answering, becomes, first_given, handlers_by_id, variable
from provision.settle import (
    CONDITION_FALSE,
    Asked,
    Awaited,
    error_of,
    hidden_fields,
    holds,
    judge,
    registered,
    skipped_fields,
)
from provision.source import Template, kind_of
from provision.translate import Built, Translated, root_of
from provision.variables import Registered, Scope

__all__ = [
    "ARGUMENT_WORDS",
    "SECRET_OPTIONS",
    "becomes",
    "flip",
    "may_use",
    "plan",
    "secret_argument",
    "settled",
    "unknown",
]

MAX_ITEMS = 10_000
_SHOWN = 60
ARGUMENT_WORDS = {"command": ("argv", "cmd"), "shell": ("cmd",)}
"""Options that every user of a host can read while the command runs."""
SECRET_OPTIONS = frozenset(("password", "url_password", "passphrase", "login_password"))
"""Options whose values are secrets, wherever they come from."""
_NOT_IN_CHECK = "a check does not ask"


@record(slots=True)
class _Item:
    """One item of a loop, or the whole task without one."""

    scope: Scope
    title: str
    value: Any = None
    index: int = 0
    names: Mapping[str, Any] = field(default_factory=dict)
    """What its loop brings."""


def plan(environment: Environment, task: Task, first_id: int, handler: str | None, only: int | None = None) -> Outcome:
    """What a task, or one item of its loop, comes to now; raises Unsettled, KnownAfterApply and ProvisionError."""
    scope = environment.scopes.of(task)
    if task.loop is None:
        items = [_Item(scope, _title(task, scope))]
    else:
        try:
            items = list(_items(environment, task, scope))
        except UndefinedVariable:
            if all(holds([condition], scope) for condition in task.when):
                raise
            # as in Ansible such a task is skipped as one without a loop
            task = replace(task, loop=None)
            items = [_Item(scope, _title(task, scope))]
        if not items:
            return _skipped_whole(environment, task, scope, handler)
    planner = _Planner(environment, task, first_id, handler)
    for item in items if only is None else items[only : only + 1]:
        planner.item(item)
    planner.items = len(items)
    return planner.outcome()


def unknown(environment: Environment, task: Task, reason: str, handler: str | None) -> Outcome:
    """The outcome, in a check, of a task that depends on what only a real run can know."""
    message = f"known after apply: {reason}"
    verdict = _verdict(environment, task, _raw_title(task), Result(-1, "skipped"), message, handler)
    return Outcome(verdicts=(verdict,), registered=_unknown_result())


def _unknown_result(known: Mapping[str, Any] | None = None) -> Any:
    from provision.variables import Registered

    result = Registered(known or {})
    result.partial = True
    return result


def flip(environment: Environment, task: Task, built: Built, step_id: int) -> Outcome:
    """The step that lets an environment serve, after its apps are healthy on it."""
    role = f"{task.role.name} : " if task.role else ""
    spec: dict[str, Any] = {
        "name": built.name,
        "lock": built.lock,
        "root": built.root,
        "keep": built.keep,
        "takeover": built.takeover,
    }
    title = f"{role}Environment {built.name} serves"
    return _own_step(environment, task, title, Translated("conda_flip", spec), step_id)


def settled(environment: Environment, task: Task, apps: Iterable[tuple[str, str, str]], step_id: int) -> Outcome:
    """The step that watches apps (root, environment and name of each) together; `task` is that of the last."""
    spec = {"apps": [{"name": name, "environment": of, "root": root} for root, of, name in apps]}
    return _own_step(environment, task, "Apps stay up", Translated("app_settled", spec), step_id)


def _own_step(environment: Environment, task: Task, title: str, translated: Translated, step_id: int) -> Outcome:
    """A step that stands for itself, as whom the task that it follows runs."""
    own = replace(task, loop=None, register=None, notify=(), changed_when=(), failed_when=(), ignore_errors=False)
    planner = _Planner(environment, own, step_id, None)
    planner.step(_Item(environment.scopes.of(own), title), translated, False)
    return planner.outcome()


def may_use(task: Task, built: Built, scopes: Scopes) -> bool:
    """Whether an app task is, or may be, in an environment; what cannot be told yet counts."""
    arguments = task.arguments
    if "environment" not in arguments:
        return False
    try:
        scope = scopes.of(task)
        values = [arguments["environment"]] if task.loop is None else list(_looped(task, scope, scopes))
        names = [scope.render(value) for value in values] if task.loop is None else values
        root = scope.render(arguments.get("root")) or root_of(scope)
    except (ProvisionError, Unsettled, KnownAfterApply):
        return True
    return built.name in names and root == built.root


def _looped(task: Task, scope: Scope, scopes: Scopes) -> Iterator[Any]:
    for value in scope.render(task.loop):
        yield scopes.inner(task, {task.loop_var: value}).render(task.arguments["environment"])


def _items(environment: Environment, task: Task, scope: Scope) -> Iterator[_Item]:
    values = scope.render(task.loop)
    if not isinstance(values, list):
        raise ProvisionError(
            "`loop` is not a list",
            where=task.loop_where,
            context=f'task "{task.title}"',
            cause=f"it is {kind_of(values)}",
            hint="of a mapping, `dict2items` makes a list",
        )
    if len(values) > MAX_ITEMS:
        raise ProvisionError(
            f"a loop over {len(values)} items", where=task.loop_where, cause=f"the limit is {MAX_ITEMS}"
        )
    extended, allitems = (_truth(value, scope) for value in (task.extended, task.allitems))
    for index, value in enumerate(values):
        names = names_of(task, values, index, extended=extended, allitems=allitems)
        inner = environment.scopes.inner(task, names)
        label = inner.render(task.label) if task.label is not None else value
        yield _Item(inner, f"{_title(task, inner)} ({_label(label)})", value, index, names)


def _truth(value: Any, scope: Scope) -> bool:
    return truth(scope.render(value)) if isinstance(value, Template) else bool(value)


def _seeing(scope: Scope, before: Mapping[str, Any], facts: Mapping[str, Any]) -> Scope:
    """A scope in which the facts that items before have set are there already."""
    values = {**before, **facts}
    layers = (layer._replace(values=values) if layer.values is before else layer for layer in scope.layers)
    return Scope(scope.renderer, tuple(layers), scope.secrets)


def _label(shown: Any) -> str:
    value = masked(shown)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _raw_title(task: Task) -> str:
    return str(task.title)


def _title(task: Task, scope: Scope) -> str:
    """The task's name as people read it; one that cannot be rendered stays as it was written."""
    if not isinstance(task.name, Template):
        return task.title
    try:
        name = shown(scope.render(task.name))
    except (ProvisionError, Unsettled, KnownAfterApply):
        return task.title
    return f"{task.role.name} : {name}" if task.role else name


def _verdict(
    environment: Environment,
    task: Task,
    title: str,
    result: Result,
    message: str,
    handler: str | None,
    ignored: bool = False,
) -> StepEnded:
    return StepEnded(environment.host.host, title, task.where, result, message, ignored, handler is not None)


def _skipped_whole(environment: Environment, task: Task, scope: Scope, handler: str | None) -> Outcome:
    reason = "no items"
    verdict = _verdict(environment, task, _title(task, scope), Result(-1, "skipped"), reason, handler)
    awaited = Awaited(task, (), True)
    return Outcome(verdicts=(verdict,), registered=registered(awaited, []))


class _Planner:
    """Gathers the outcome of one task over its items."""

    def __init__(self, environment: Environment, task: Task, first_id: int, handler: str | None) -> None:
        self.environment = environment
        self.task = task
        self.handler = handler
        self.next_id = first_id
        self.steps: list[PlannedStep] = []
        self.verdicts: list[StepEnded] = []
        self.asked: list[Asked] = []
        self.blobs: dict[str, bytes | Path] = {}
        self.facts: dict[str, Any] = {}
        self.given: dict[str, Any] = {}
        self.delegated = delegated(task)
        self.built: list[Built] = []
        self.apps: list[tuple[str, str, str]] = []
        self.flush = False
        self.included: tuple[Task, ...] = ()
        self.leaves = self.resets = False
        self.items = 1
        self.failed: ProvisionError | None = None
        self.notify: tuple[str, ...] = ()
        self.ignore = False
        self.check = False

    def item(self, item: _Item) -> None:
        """Decide one item: skip it, think, or make a step."""
        if self.facts:
            item.scope = _seeing(item.scope, self.environment.scopes.dynamic, self.facts)
        scope = item.scope
        for condition in self.task.when:
            if not scope.renderer.test(condition.expression, scope, condition.where):
                self.skip(item, condition.expression)
                return
        self.ignore = self.flag(self.task.ignore_errors, scope)
        if self.task.module in INCLUDES:
            self.include(item)
        elif self.task.module in DIRECTIVES:
            self.think(item)
        elif self.task.module in NOT_IN_CHECK and self.flag(self.task.check_mode, scope, self.environment.run.check):
            self.decided(item, Result(-1, "skipped"), _NOT_IN_CHECK, _unknown_result(skipped_fields(_NOT_IN_CHECK)))
        else:
            translated, sensitive = self.translated(item)
            self.step(item, translated, sensitive)

    def skip(self, item: _Item, condition: Any) -> None:
        if self.task.module == "meta":
            return  # it has no result when it runs either; Ansible counts neither
        fields = {**skipped_fields(CONDITION_FALSE), "false_condition": condition}
        self.decided(item, Result(-1, "skipped"), f"`{condition}` is false", fields)

    def decided(
        self, item: _Item, result: Result, message: str, fields: Mapping[str, Any], ignored: bool = False
    ) -> None:
        self.asked.append(Asked(None, item.title, item.value, item.index, fields, names=item.names))
        hidden = self.flag(self.task.no_log, item.scope) and result.status != "skipped"
        title, said = (_raw_title(self.task), "hidden by no_log") if hidden else (item.title, message)
        result = hidden_fields(result) if hidden else result
        verdict = _verdict(self.environment, self.task, title, result, said, self.handler, ignored)
        if self.steps:
            self.steps[-1] = self.steps[-1].followed((verdict,))
        else:
            self.verdicts.append(verdict)

    def include(self, item: _Item) -> None:
        """The tasks of an include come next, with the names of its loop."""
        task = self.task
        content = self.loaded(item)
        layer = item.scope.layers[:1] if task.loop is not None else ()
        key = f"{task.key}/{item.index}"
        found = (keyed(inner, f"{key}/{index}") for index, inner in enumerate(content))
        self.included += tuple(
            replace(inner, given=(*layer, *inner.given), frames=self.frames_in(inner, item)) for inner in found
        )
        self.decided(item, Result(-1, "ok"), "", {"changed": False, "failed": False, "include": item.title})

    def frames_in(self, inner: Task, item: _Item) -> tuple[Frame, ...]:
        """The blocks around an included task; those of the include are other ones for each item."""
        outer = self.task.frames
        own = (replace(frame, block=f"{frame.block}@{item.index}") for frame in inner.frames[len(outer) :])
        return (*outer, *own)

    def loaded(self, item: _Item) -> tuple[Task, ...]:
        """The tasks of a file or role whose name may depend on a variable, never on what a host says."""
        task = self.task
        key = "name" if task.module == "include_role" else "file"
        name = task.arguments[key]
        assert task.load is not None
        if not isinstance(name, Template):
            return task.load(str(name))
        host_named = host_names_in(name, item.scope)
        if host_named and not only_kind(host_roots(host_named, item.scope), item.scope):
            raise ProvisionError(
                "a host's values in the name of a file on the control node",
                where=task.arguments.value_mark(key),
                context=f'task "{task.title}"',
                cause="of the host are " + ", ".join(f"`{name}`" for name in sorted(host_named)),
                hint="choose by a variable of the inventory, or by what kind the host is, such as ansible_os_family",
            )
        return task.load(str(item.scope.render(name)))

    def think(self, item: _Item) -> None:
        values = _without_omitted(item.scope.render(self.task.arguments))
        if self.task.module == "setup":
            decision = directives.gathered(self.task, values, self.environment.host.facts)
        else:
            decision = directives.decide(self.task, values, item.scope, self.environment.run.verbosity)
        fields = {"changed": False, "failed": decision.error is not None, **decision.fields}
        if self.task.among.delegate_to and self.flag(self.task.among.delegate_facts, item.scope):
            self.given |= decision.facts
        else:
            self.facts |= decision.facts
        if decision.included:
            before = self.facts.get(INCLUDED) or self.environment.scopes.dynamic.get(INCLUDED) or {}
            self.facts[INCLUDED] = {**before, **decision.included}
        self.flush = self.flush or decision.flush
        self.leaves = self.leaves or decision.leaves
        self.resets = self.resets or decision.resets
        if self.task.module == "meta":
            return
        error = decision.error
        said = {"summary": error.summary, "cause": error.cause, "hint": error.hint} if error else None
        status = "failed" if error else "skipped" if decision.skipped else "ok"
        result = self.judged(item, Result(-1, status, fields=fields, error=said))
        failed = result.status == "failed"
        self.decided(item, result, "" if failed else decision.message, result.fields, failed and self.ignore)
        if failed and not self.ignore:
            self.failed = self.failed or error or error_of(result, self.task.where, item.title)

    def judged(self, item: _Item, result: Result) -> Result:
        """What was decided here after the task's `changed_when` and `failed_when`; a change notifies."""
        task = self.task
        if result.status == "skipped" or not (task.changed_when or task.failed_when):
            return result
        values = Registered(result.fields)
        own = {**item.names, **({task.register: values} if task.register else {})}
        scope = _seeing(self.environment.scopes.inner(task, own), self.environment.scopes.dynamic, self.facts)
        result = judge(task, result, values, scope)
        if result.status == "changed":
            self.notify = self.notified(item.scope)
        return replace(result, fields=dict(values))

    def translated(self, item: _Item) -> tuple[Translated, bool]:
        """The step's spec, and whether a secret went into it."""
        scope, task = item.scope, self.task
        scope.touched = False
        values: dict[str, Any] = {}
        sensitive = False
        here = self.environment.host.here
        if self.delegated or here.local:
            refuse_host_values(task, scope, self.environment.host.host, here.own)
        for key, value in task.arguments.items():
            scope.touched = False
            values[key] = scope.render(value)
            if values[key] and (key == "secrets" or (key in SECRET_OPTIONS and values[key] != OMIT)):
                values[key] = _learned(values[key])
                sensitive = sensitive or bool(values[key])
            sensitive = sensitive or scope.touched or holds_secret(values[key])
            if sensitive and key in ARGUMENT_WORDS.get(task.module, ()) and holds_secret(values[key]):
                raise secret_argument(task, key)
        if task.module == "conda_env" and self.environment.run.forward:
            values["forward"] = True
        scope.touched = False
        translated = self.environment.run.translator.translate(
            task,
            _without_omitted(values),
            scope,
            self.environment.play.directory,
            self.environment.built,
            self.environment.host.facts,
        )
        self.remember(translated, values)
        return translated, sensitive or scope.touched

    def remember(self, translated: Translated, values: Mapping[str, Any]) -> None:
        """Environments that are built, and apps that run, for the flips."""
        spec = translated.spec
        self.blobs |= translated.blobs
        if translated.resource == "conda_env" and spec.get("state", "present") == "present":
            root = spec.get("root", "/opt/conda")
            self.built.append(
                Built(
                    spec["name"], root, spec["lock"], values.get("keep", 2), spec.get("takeover", False), self.task.key
                )
            )
        if translated.resource == "app" and spec.get("state", "started") == "started":
            self.apps.append((spec["root"], spec.get("environment", ""), spec["name"]))

    def step(self, item: _Item, translated: Translated, sensitive: bool) -> None:
        task, scope = self.task, item.scope
        no_log = self.flag(task.no_log, scope)
        judged = bool(task.changed_when or task.failed_when) or is_tried(task)
        self.check = self.flag(task.check_mode, scope, self.environment.run.check)
        self.notify = self.notified(scope)
        title = _raw_title(task) if no_log and task.loop is not None else item.title
        reach = network.of_step(translated.resource, scope, self.environment.run.inventory.folder)
        self.blobs |= reach.blobs
        step = Step(
            id=self.next_id,
            resource=translated.resource,
            spec=translated.spec,
            name=title,
            user=self.user(scope),
            check=self.check,
            on_failure="continue" if self.ignore or task.failed_when or is_tried(task) else "stop",
            sensitive=sensitive or no_log,
            environment=network.under(reach, self.variables(scope)),
            notify=[] if self.delegated else list(self.notify),
            trust=reach.trust,
        )
        self.next_id += 1
        self.asked.append(Asked(step.id, title, item.value, item.index, sensitive=step.sensitive, names=item.names))
        self.steps.append(
            PlannedStep(
                step,
                title,
                task.where,
                self.handler is not None,
                self.ignore,
                step.sensitive,
                judged,
                task.key,
                delegated=self.delegated,
                ignore_unreachable=self.flag(task.among.ignore_unreachable, scope),
                ends_run=ends_run(task, self.environment.scopes),
                rescued=rescued_by(task.frames),
            )
        )

    def flag(self, value: Any, scope: Scope, default: bool = False) -> bool:
        if value is None:
            return default
        return _truth(value, scope)

    def user(self, scope: Scope) -> str | None:
        """Whom the step runs as; None is who the agent runs as. Variables win over keywords, as in Ansible."""
        host, task, play = self.environment.host, self.task, self.environment.play
        agent, login = host.facts.get("user", "root"), host.login_user
        if self.delegated:
            agent, login = host.here.user, host.here.login_user
        if not becomes(task, play, scope, host.run, delegated=self.delegated):
            return login if login and login != agent else None
        own = None if self.delegated else variable(scope, "ansible_become_user")
        user = first_given(own, task.become_user, play.become_user, "root")
        name = str(scope.render(user))
        return None if name == agent else name

    def variables(self, scope: Scope) -> dict[str, str]:
        result: dict[str, str] = {}
        for mapping in (*self.environment.play.environment, *self.task.environment):
            rendered = scope.render(mapping)
            result |= {str(name): _text(value) for name, value in rendered.items()}
        return result

    def notified(self, scope: Scope) -> tuple[str, ...]:
        """The ids of the handlers that the task notifies, by name or by what they listen to."""
        if not self.task.notify:
            return ()
        handlers = handlers_by_id(self.environment.play)
        found: dict[str, None] = {}
        for written in self.task.notify:
            name = str(scope.render(written))
            own = answering(handlers, name)
            if not own:
                raise ProvisionError(
                    f"there is no handler `{name}`", where=self.task.where, context=f'task "{self.task.title}"'
                )
            found |= dict.fromkeys(own)
        return tuple(found)

    def outcome(self) -> Outcome:
        task = self.task
        # all items run, whatever becomes of one; then the host stops
        for index, planned in enumerate(self.steps[:-1]):
            if planned.step.on_failure == "stop":
                self.steps[index] = replace(planned, step=replace(planned.step, on_failure="later"))
        # tasks that a handler includes have keys below its own: it has not run before all of them have
        if self.handler and self.steps and not self.delegated and "/" not in task.key:
            last = self.steps[-1]
            self.steps[-1] = replace(last, step=replace(last.step, clears=[self.handler]))
        looped = task.loop is not None
        awaited = Awaited(task, tuple(self.asked), looped, self.handler, self.notify, self.ignore, self.check)
        kept = None
        if not self.steps and task.register:
            kept = registered(awaited, [(asked, asked.fields or {}) for asked in self.asked])
        return Outcome(
            asked=tuple(self.asked),
            steps=tuple(self.steps),
            verdicts=tuple(self.verdicts),
            blobs=self.blobs,
            awaited=awaited if self.steps else None,
            registered=kept,
            facts=self.facts,
            given=self.given,
            built=tuple(self.built),
            apps=tuple(self.apps),
            ends=bool(self.given) or (bool(self.steps) and (bool(task.failed_when) or task.module == "reboot")),
            notified=() if self.steps or self.failed else self.notify,
            flush=self.flush,
            included=self.included or None,
            leaves=self.leaves,
            resets=self.resets,
            items=self.items,
            failed=self.failed,
        )


def _learned(value: Any) -> Any:
    # imported here: a start without secrets does without
    from provision.secret.known import learned

    return learned(value)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _without_omitted(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if not (isinstance(value, str) and value == OMIT)}


def secret_argument(task: Task, key: str) -> ProvisionError:
    """The error that a secret stands in a command's arguments."""
    return ProvisionError(
        "a secret in a command's arguments",
        where=task.arguments.value_mark(key),
        context=f'task "{task.title}"',
        cause="every user of the host can read the arguments of a running command",
        hint="give it in `stdin`, or in a file",
    )
