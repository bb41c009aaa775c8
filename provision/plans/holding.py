"""One host held to its part of a plan while it is applied; what moved since the plan was made.

Stands in the place of `compile.next_batch`, which it asks. Must not connect: the host compares each step with what is
expected of it, right before it acts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from provision.agent.expected import differences
from provision.agent.protocol import Result
from provision.compile import Batch, Cursor, HostVariables, next_batch
from provision.errors import ProvisionError
from provision.outcome import PlannedStep
from provision.plans.document import HostPlan, Planned, keyed
from provision.plans.making import INCLUDE, digest, repeated
from provision.playbook import Play
from provision.session import NextBatch

__all__ = ["Holding", "moved"]

Key = tuple[int, str, str, int]
_AGAIN = "nothing was done here: look at what changed it, and make a new plan"


def moved(host: str, planned: HostPlan, now: HostPlan, key: str) -> ProvisionError | None:
    """Why a host must not be touched: what is not as it was when the plan was made; None where nothing is."""
    if planned.incomplete or now.incomplete:
        cause = planned.incomplete or now.incomplete
        when = "the plan was made" if planned.incomplete else "it was looked at again"
        return ProvisionError(
            f"`{host}` is not covered by the plan", cause=f"when {when}: {cause}", hint=_AGAIN, exit_code=2
        )
    lines = list(_moved(_numbered(planned.steps), _numbered(now.steps), key))
    if not lines:
        return None
    return ProvisionError(
        f"`{host}` has moved since the plan was made", cause="\n".join(lines), hint=_AGAIN, exit_code=2
    )


def _moved(before: Mapping[Key, Planned], now: Mapping[Key, Planned], secret: str) -> Iterator[str]:
    for key, planned in before.items():
        found = now.get(key)
        told = list(_differs(planned, found, secret))
        if told:
            yield f'task "{planned.title}" ({planned.where}):'
            yield from (f"  {line}" for line in told)
    for key, found in now.items():
        if key not in before:
            yield f'task "{found.title}" ({found.where}):'
            yield "  the plan has no such step"


def _differs(planned: Planned, found: Planned | None, secret: str) -> Iterator[str]:
    if found is None:
        yield "the plan has it, and now it would not run"
    elif bool(planned.unknown) != bool(found.unknown):
        yield f"now known only after apply: {found.unknown}" if found.unknown else "it was known only after apply"
    elif planned.spec != found.spec:
        yield "what it asks for has changed: its templates give something else for this host"
    elif planned.checked:
        for target, lines in differences(list(planned.actions), found.actions, secret.encode()):
            yield from lines or [target]


def _numbered(steps: Sequence[Planned]) -> dict[Key, Planned]:
    counts: Counter[tuple[int, str, str]] = Counter()
    found: dict[Key, Planned] = {}
    for step in steps:
        place = (step.play, step.where, step.name)
        found[(*place, counts[place])] = step
        counts[place] += 1
    return found


class Holding:
    """Gives the host's batches with what the plan expects of each step; `refused` is why there are none."""

    def __init__(
        self,
        plays: Sequence[tuple[int, Play]],
        planned: HostPlan,
        key: str,
        refused: ProvisionError | None,
        compile_batch: NextBatch = next_batch,
    ) -> None:
        self._numbers = {id(play): number for number, play in plays}
        self._steps = {key: step for key, step in _numbered(planned.steps).items() if not step.unknown}
        self._unknown = {step.place for step in planned.steps if step.unknown}
        self._includes = any(step.resource == INCLUDE and step.unknown for step in planned.steps)
        self._counts: Counter[tuple[int, str, str]] = Counter()
        self._key = key
        self._refused = refused
        self._compile = compile_batch

    def __call__(
        self,
        play: Play,
        cursor: Cursor,
        variables: HostVariables,
        results: Mapping[int, Result],
        pending: Sequence[str] = (),
    ) -> tuple[Batch, Cursor]:
        """The next batch; one that fails where it is not what the plan holds."""
        if self._refused:
            return Batch(done=True, failed=self._refused), cursor
        batch, after = self._compile(play, cursor, variables, results, pending)
        try:
            again = repeated(after)
            steps = tuple(self._held(self._numbers[id(play)], item, again) for item in batch.steps)
        except ProvisionError as error:
            return Batch(verdicts=batch.verdicts, done=True, failed=error), after
        return replace(batch, steps=steps), after

    def _held(self, number: int, item: PlannedStep, again: bool) -> PlannedStep:
        title, where = keyed(item.title, self._key), str(item.where)
        if (number, where) in self._unknown:
            return item
        place = (number, where, title)
        if again and self._counts[place]:
            self._counts[place] -= 1
        planned = self._steps.get((*place, self._counts[place]))
        self._counts[place] += 1
        if planned is None and self._includes:
            return item
        if planned is None:
            raise _not_planned(item, "the plan has no such step")
        if planned.spec != digest(item, self._key):
            raise _not_planned(item, "what it asks for is not what the plan holds")
        return replace(item, step=replace(item.step, expected=[_loose(planned, each) for each in planned.actions]))


def _loose(planned: Planned, action: Mapping[str, Any]) -> dict[str, Any]:
    """What a step is to be held to: of one that rests on earlier changes only what it does, and to what."""
    left_out = ("before", "after") if planned.foretold else ()
    return {name: value for name, value in action.items() if name not in left_out}


def _not_planned(item: PlannedStep, cause: str) -> ProvisionError:
    return ProvisionError(
        f"`{item.title}` is not what the plan says",
        where=item.where,
        context=f'task "{item.title}"',
        cause=cause,
        hint="what came before it is done: look at what made the difference, and make a new plan",
        exit_code=2,
    )
