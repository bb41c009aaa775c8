"""One host's part of a plan, gathered while a check goes through its plays.

Stands in the place of `compile.next_batch`, which it asks; must not connect, and must not change what is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from provision.agent.protocol import Result
from provision.agent.shown import summed_up
from provision.compile import Batch, Cursor, HostVariables, next_batch
from provision.errors import ProvisionError
from provision.events import StepEnded
from provision.modules import INCLUDES
from provision.outcome import PlannedStep
from provision.plans.document import HostPlan, Planned, keyed
from provision.playbook import Play, Task
from provision.secret.known import clean
from provision.secret.value import masked
from provision.selection import answering, handlers_by_id
from provision.session import NextBatch
from provision.source import Template

__all__ = ["INCLUDE", "KNOWN_AFTER", "Making", "digest", "repeated"]

KNOWN_AFTER = "known after apply: "
INCLUDE = "include"
"""The resource of an include of which only apply can tell what it brings."""


class Making:
    """Gathers one host's steps with what they came to. `plays` are all plays that the host takes part in."""

    def __init__(self, plays: Sequence[tuple[int, Play]], key: str, compile_batch: NextBatch = next_batch) -> None:
        self._numbers = {id(play): number for number, play in plays}
        self._left = {number for number, _ in plays}
        self._key = key
        self._compile = compile_batch
        self._open: dict[int, tuple[int, PlannedStep, bool]] = {}
        self._steps: list[Planned] = []
        self._failed: ProvisionError | None = None
        self.specs: dict[str, Any] = {}
        """The rendered specs by their keyed hash; a secret one is not here but as a note that it is one."""

    def __call__(
        self,
        play: Play,
        cursor: Cursor,
        variables: HostVariables,
        results: Mapping[int, Result],
        pending: Sequence[str] = (),
    ) -> tuple[Batch, Cursor]:
        """The next batch, as it is."""
        number = self._numbers[id(play)]
        for identity, result in results.items():
            if identity in self._open:
                self._ended(*self._open.pop(identity), result)
        batch, after = self._compile(play, cursor, variables, results, pending)
        self._note(play, number, batch.verdicts)
        for item in batch.steps:
            self._open[item.step.id] = (number, item, repeated(after))
            self._note(play, number, item.then)
        if batch.failed or variables.halted:
            self._failed = self._failed or batch.failed or ProvisionError("the run was ended for all hosts")
        elif batch.done:
            self._left.discard(number)
        return batch, after

    def part(self) -> HostPlan:
        """What was gathered; it is incomplete where the host did not come to its end."""
        why = self._failed.summary if self._failed else "it was not brought to its end" if self._left else ""
        return HostPlan(tuple(self._steps), clean(why))

    def _ended(self, number: int, item: PlannedStep, again: bool, result: Result) -> None:
        if result.status == "skipped":
            return
        if again:
            self._forget(number, item)
        spec = digest(item, self._key)
        self.specs[spec] = _shown(item)
        why = "what it does depends on what is made before it" if result.unknown else ""
        if result.status == "failed":
            why = "it failed when the plan was made, which the task ignores"
        self._steps.append(
            Planned(
                number,
                clean(item.title),
                str(item.where),
                item.step.resource,
                spec,
                result.status,
                item.handler,
                result.foretold,
                item.step.check,
                tuple(_safe(action, self._key) for action in result.actions),
                why,
                tuple(item.step.notify),
                keyed(item.title, self._key),
            )
        )

    def _forget(self, number: int, item: PlannedStep) -> None:
        """Only the last attempt of a step counts."""
        place = (number, str(item.where), keyed(item.title, self._key))
        for index, step in reversed(list(enumerate(self._steps))):
            if (step.play, step.where, step.name) == place:
                del self._steps[index]
                return

    def _note(self, play: Play, number: int, verdicts: Iterable[StepEnded]) -> None:
        for verdict in verdicts:
            if verdict.result.step < 0 and verdict.message.startswith(KNOWN_AFTER):
                why = clean(verdict.message.removeprefix(KNOWN_AFTER))
                place, title = str(verdict.where), clean(verdict.title)
                tasks = [task for task in play.tasks if str(task.where) == place]
                kind = INCLUDE if not tasks or any(task.module in INCLUDES for task in tasks) else ""
                self._steps.append(Planned(number, title, place, kind, status="skipped", unknown=why))
                self._steps += _perhaps(play, number, tasks, title)


def digest(item: PlannedStep, key: str) -> str:
    """A step's rendered form as a keyed hash: equal where the same is asked of the host."""
    step = item.step
    return keyed([step.resource, step.spec, step.user, step.environment], key)


def _safe(action: Mapping[str, Any], key: str) -> dict[str, Any]:
    """An action with a keyed hash in place of a text that a secret stands in."""
    safe = dict(action)
    for side in ("target", "before", "after"):
        text = action.get(side)
        if text is not None and clean(text) != text:
            safe[side] = summed_up(text, key.encode())
    return safe


def _shown(item: PlannedStep) -> Any:
    if item.step.sensitive:
        return {"secret": f"rendered from {item.where}, with secrets"}
    shown: dict[str, Any] = {"spec": item.step.spec, "user": item.step.user, "environment": item.step.environment}
    return clean(masked({name: value for name, value in shown.items() if value}))


def repeated(cursor: Cursor) -> bool:
    """Whether the batch before a cursor is another attempt at what the batch before it did."""
    return cursor.trying is not None and cursor.trying.attempt > 1


def _perhaps(play: Play, number: int, tasks: Sequence[Task], title: str) -> list[Planned]:
    """Handlers that a task notifies of which only apply can tell what it does."""
    handlers = handlers_by_id(play)
    names: dict[str, None] = {} if tasks else dict.fromkeys(handlers)
    for written in (written for task in tasks for written in task.notify):
        names |= dict.fromkeys(handlers if isinstance(written, Template) else answering(handlers, str(written)))
    return [
        Planned(
            number,
            handlers[name].title,
            str(handlers[name].where),
            status="skipped",
            handler=True,
            unknown=f"`{title}` may notify it",
        )
        for name in names
    ]
