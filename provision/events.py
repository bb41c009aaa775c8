"""Typed events that arise on the control node, without behaviour; those of a host are in agent/protocol.py.

Whoever shows or stores a run reads only these. Every one is a fact of the past.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any

from provision.agent.protocol import Result
from provision.agent.record import record
from provision.errors import Mark, ProvisionError

__all__ = [
    "BatchEnded",
    "Connected",
    "Event",
    "HostEnded",
    "HostFailed",
    "HostUnreachable",
    "Notice",
    "OperatorAnswered",
    "OperatorAsked",
    "PlayStarted",
    "RunEnded",
    "RunStarted",
    "RunStopped",
    "StepEnded",
    "StepOutput",
    "StepProgress",
    "StepStarted",
]


@record(frozen=True, slots=True)
class RunStarted:
    """`command` is the subcommand ("apply", "plan", ...); `run` the run's id."""

    command: str
    run: str
    hosts: tuple[str, ...]
    check: bool


@record(frozen=True, slots=True)
class PlayStarted:
    name: str
    hosts: tuple[str, ...]


@record(frozen=True, slots=True)
class Connected:
    """A host's agent is ready. `seconds` since its session began."""

    host: str
    facts: dict[str, Any]
    seconds: float


@record(frozen=True, slots=True)
class BatchEnded:
    """A host did a batch: seconds from the first byte out to the last in, bytes since its batch before."""

    host: str
    batch: int
    steps: int
    seconds: float
    sent: int
    received: int


@record(frozen=True, slots=True)
class StepStarted:
    """`title` is the task's name with its role and loop item, as people read it."""

    host: str
    step: int
    title: str
    where: Mark | None


@record(frozen=True, slots=True)
class StepProgress:
    host: str
    step: int
    done: float
    total: float
    unit: str
    label: str


@record(frozen=True, slots=True)
class StepOutput:
    host: str
    step: int
    stream: str
    text: str


@record(frozen=True, slots=True)
class StepEnded:
    """A step's result, or that of a task that was decided on the control node (`result.step` is then -1).

    `message`: what `debug` says, or why the step was skipped. `ignored`: failed, and the task says to ignore that;
    `rescued`: a block's `rescue` takes it up.
    """

    host: str
    title: str
    where: Mark | None
    result: Result
    message: str = ""
    ignored: bool = False
    handler: bool = False
    rescued: bool = False


@record(frozen=True, slots=True)
class HostFailed:
    """The host takes no further part; `error` says why."""

    host: str
    error: ProvisionError


@record(frozen=True, slots=True)
class HostUnreachable:
    """Connection, authentication or the agent itself failed; never counted as failed."""

    host: str
    error: ProvisionError


@record(frozen=True, slots=True)
class HostEnded:
    """The connection is closed. `complete`: the host was brought to the end of what it had to do."""

    host: str
    seconds: float
    complete: bool = True


@record(frozen=True, slots=True)
class Notice:
    """Something that the operator should know and that is no failure; `host` is None where it concerns all."""

    text: str
    host: str | None = None
    kind: str = "notice"
    details: dict[str, Any] = field(default_factory=dict)


@record(frozen=True, slots=True)
class OperatorAsked:
    """A question to the operator stands on the terminal; no other event follows until it has its end."""


@record(frozen=True, slots=True)
class OperatorAnswered:
    """The question has its end, answered or not."""


@record(frozen=True, slots=True)
class OrphansFound:
    """What provision made on a host and the playbook no longer names: `kind`, `what`, `made_by` and `stays` of each.

    `unjudged` says why it cannot be told, "" where it can.
    """

    host: str
    orphans: tuple[dict[str, str], ...] = ()
    unjudged: str = ""


@record(frozen=True, slots=True)
class RunStopped:
    """The loss of hosts ended the run early; `never` are hosts whose turn did not come."""

    reason: str
    never: tuple[str, ...]


@record(frozen=True, slots=True)
class RunEnded:
    seconds: float
    interrupted: bool = False


Event = (
    RunStarted
    | PlayStarted
    | Connected
    | BatchEnded
    | StepStarted
    | StepProgress
    | StepOutput
    | StepEnded
    | HostFailed
    | HostUnreachable
    | HostEnded
    | Notice
    | OperatorAsked
    | OperatorAnswered
    | OrphansFound
    | RunStopped
    | RunEnded
)
