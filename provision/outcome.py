"""What a task comes to on a host: steps, verdicts, and what is to be remembered of them. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from provision.agent.protocol import Step
from provision.agent.record import record
from provision.errors import Mark, ProvisionError
from provision.events import StepEnded
from provision.playbook import Play, Task
from provision.scopes import HostVariables, Run, Scopes
from provision.settle import Asked, Awaited
from provision.translate import Built

__all__ = ["Environment", "Outcome", "PlannedStep"]


@record(frozen=True, slots=True)
class PlannedStep:
    """A step and what the control node knows of it. `judged`: its verdict comes with the next batch, not its result.

    `task` is the same for all items of a loop. `delegated`: it runs on the control node. `ignore_unreachable`: a host
    that is gone goes on behind it; `ends_run`: one that is gone there ends the run for all. `rescued`: a
    block's `rescue` takes up its failure. `then`: tasks that were decided here and follow it.
    """

    step: Step
    title: str
    where: Mark | None
    handler: bool = False
    ignore_errors: bool = False
    no_log: bool = False
    judged: bool = False
    task: str = ""
    delegated: bool = False
    ignore_unreachable: bool = False
    ends_run: bool = False
    rescued: bool = False
    then: tuple[StepEnded, ...] = ()

    def followed(self, verdicts: tuple[StepEnded, ...]) -> PlannedStep:
        """The step with more verdicts after it."""
        return replace(self, then=(*self.then, *verdicts))


@record(frozen=True, slots=True)
class Outcome:
    """What a task came to. `ends`: the batch ends after it; `flush`: handlers run now; `failed`: the host ends.

    `given`: facts set on the control node (`delegate_facts`). `included`: tasks that come next. `items`: how many the
    task has, one without a loop. `notified`: handlers, by a task without steps. `leaves`: the host does nothing more
    in this play; `resets`: it is connected to anew.
    """

    steps: tuple[PlannedStep, ...] = ()
    verdicts: tuple[StepEnded, ...] = ()
    blobs: Mapping[str, bytes | Path] = field(default_factory=dict)
    awaited: Awaited | None = None
    registered: Any = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)
    built: tuple[Built, ...] = ()
    apps: tuple[tuple[str, str, str], ...] = ()
    ends: bool = False
    flush: bool = False
    asked: tuple[Asked, ...] = ()
    notified: tuple[str, ...] = ()
    included: tuple[Task, ...] | None = None
    items: int = 1
    leaves: bool = False
    resets: bool = False
    failed: ProvisionError | None = None


@record(frozen=True, slots=True)
class Environment:
    """What a task is planned in."""

    play: Play
    host: HostVariables
    scopes: Scopes
    built: Mapping[tuple[str, str], Built]

    @property
    def run(self) -> Run:
        return self.host.run
