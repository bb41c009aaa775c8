"""What the tasks before one have set and registered on a host, as far as it can be told without a run.

Pure: of plays, variables and stored facts. A name that only the run can give a value stands for it as `Pending`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import field, replace
from typing import Any

from provision import directives
from provision.agent.record import record
from provision.clashes import UNKNOWN, item_scopes
from provision.errors import Mark
from provision.included_vars import names_known
from provision.modules import INCLUDES
from provision.playbook import Play, Task
from provision.scopes import INCLUDED, HostVariables, Scopes
from provision.selection import selected
from provision.settle import CONDITION_FALSE, skipped_fields
from provision.source import Template
from provision.variables import Layer, Pending, Registered

__all__ = ["Before"]

_ENDING = ("end_host", "end_play", "end_batch")
_GIVING = ("set_fact", "include_vars", "setup")


def tasks_of(task: Task, scopes: Scopes) -> tuple[Task, ...]:
    """The tasks of an include, with those of a file whose name can be told now."""
    if task.module not in INCLUDES:
        return ()
    content = task.content if task.content is not None else tuple(_loaded(task, scopes))
    if task.loop is None:
        return content
    names = [name for name in (task.loop_var, task.index_var) if name]
    layer = Layer("the loop of the include", {name: Pending(name) for name in names}, True)
    return tuple(replace(inner, given=(layer, *inner.given)) for inner in content)


def _loaded(task: Task, scopes: Scopes) -> Iterator[Task]:
    assert task.load is not None
    try:
        key = "name" if task.module == "include_role" else "file"
        names = [str(scope.render(task.arguments[key])) for scope in item_scopes(task, scopes)]
    except UNKNOWN:
        return
    for name in dict.fromkeys(names):
        yield from task.load(name)


def _below(task: Task, scopes: Scopes) -> Iterator[Task]:
    for inner in tasks_of(task, scopes):
        yield inner
        yield from _below(inner, scopes)


def fate(task: Task, scopes: Scopes) -> bool | None:
    """Whether the conditions of a task without a loop hold; None where only the run can say."""
    if any(frame.part == "rescue" for frame in task.frames) or task.loop is not None:
        return None
    known: bool | None = True
    for condition in task.when:
        try:
            scope = scopes.of(task)
            if not scope.renderer.test(condition.expression, scope, condition.where):
                return False
        except UNKNOWN:
            known = None
    return known


Visit = Callable[[Task, Scopes], None]


@record(slots=True)
class Before:
    """What was set on one host so far; `by` says by which task."""

    values: dict[str, Any] = field(default_factory=dict)
    by: dict[str, Task] = field(default_factory=dict)
    ended: list[tuple[Task, bool]] = field(default_factory=list)
    """The tasks that end the play at hand, and whether they surely run."""
    at: dict[Mark, dict[str, Any]] = field(default_factory=dict)
    """What was set when each include was reached: its conditions are asked once, there."""

    def play(self, play: Play, host: HostVariables, visit: Visit) -> None:
        """Go through a play; each task is visited with the scopes that it sees, handlers last."""
        scopes = Scopes(play, host, self.values)
        self.ended.clear()
        for section in play.sections:
            for task in section.tasks:
                self._task(task, scopes, True, visit)
            for handler in play.handlers:
                if handler.register and handler.register not in self.values:
                    self._pending(handler.register, handler)
            scopes.changed()
        for handler in play.handlers:
            self._task(handler, scopes, None, visit)

    def _task(self, task: Task, scopes: Scopes, runs: bool | None, visit: Visit) -> None:
        visit(task, scopes)
        if not selected(task, scopes.host.run):
            for inner in _below(task, scopes):
                visit(inner, scopes)
            return
        known = fate(task, scopes)
        runs = False if runs is False or known is False else known if runs else None
        if task.module in INCLUDES:
            self.at[task.where] = dict(self.values)
        for inner in tasks_of(task, scopes):
            self._task(inner, scopes, runs, visit)
        self._sets(task, scopes, runs)
        if task.module == "meta" and task.arguments.get("free_form") in _ENDING and runs is not False:
            self.ended.append((task, bool(runs)))
        scopes.changed()

    def _sets(self, task: Task, scopes: Scopes, runs: bool | None) -> None:
        if task.module in _GIVING and runs is not False:
            try:
                if runs is None:
                    raise _NotTold
                self._decided(task, scopes)
            except (_NotTold, *UNKNOWN):
                self._undecided(task, scopes.play)
        if task.register and runs is False and task.loop is None:
            condition = next((one.expression for one in task.when), "")
            self.values[task.register] = Registered(skipped_fields(CONDITION_FALSE) | {"false_condition": condition})
            self.by[task.register] = task
        elif task.register:
            self._pending(task.register, task)

    def _decided(self, task: Task, scopes: Scopes) -> None:
        scope, facts = scopes.of(task), scopes.host.facts
        if task.module == "setup":
            if facts:
                given = directives.gathered(task, scope.render(task.arguments), facts).facts
                self.values |= given
                self.by |= dict.fromkeys(given, task)
            return
        decision = directives.decide(task, scope.render(task.arguments), scope)
        self.values |= decision.facts
        self.by |= dict.fromkeys(decision.facts, task)
        self._included(decision.included)

    def _undecided(self, task: Task, play: Play) -> None:
        if task.module == "set_fact":
            for name in task.arguments:
                if "{{" not in str(name) and not isinstance(name, Template):
                    self._pending(str(name), task)
        elif task.module == "include_vars":
            names = names_known(task, play) or ()
            self._included({name: Pending(name) for name in names})

    def _included(self, values: Any) -> None:
        if values:
            self.values[INCLUDED] = {**self.values.get(INCLUDED, {}), **values}

    def _pending(self, name: str, task: Task) -> None:
        self.values[name] = Pending(name)
        self.by[name] = task


class _NotTold(Exception):
    """Only the run can say whether a task runs."""
