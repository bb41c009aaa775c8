"""What an explanation of a task holds, as data.

Owns the records only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from provision.agent.record import record
from provision.errors import Mark
from provision.explain.names import Name
from provision.playbook import Task
from provision.variables import Origin

__all__ = ["Explanation", "Seen", "Surrounding", "Tested", "Used"]


@record(frozen=True, slots=True)
class Seen:
    """What is known of a host beside its variables.

    `facts`: why a fact has no value; `by`: which tasks set names; `limit`: what `--limit` says; `ended`: the tasks so
    far that end the play for the host, and whether they surely run; `at`: what was set when an include was reached.
    """

    facts: str
    by: Mapping[str, Task]
    limit: str | None = None
    ended: Sequence[tuple[Task, bool]] = ()
    at: Mapping[Mark, dict[str, Any]] = field(default_factory=dict)


@record(frozen=True, slots=True)
class Tested:
    """A condition and its value: "true", "false", "later" (only a run can say), "wrong" or "mixed" (over a loop)."""

    expression: str
    where: Mark
    state: str
    why: str = ""
    reads: tuple[str, ...] = ()


@record(frozen=True, slots=True)
class Surrounding:
    """What the task stands in, with what that adds.

    `unselected`: an include that tags leave out; `otherwise` says why it is not what is included.
    """

    kind: str
    name: str
    where: Mark
    conditions: tuple[Tested, ...] = ()
    tags: tuple[str, ...] = ()
    unselected: bool = False
    otherwise: str = ""


@record(frozen=True, slots=True)
class Used:
    """A part of the task that reads names; `needed` are those that must have a value."""

    part: str
    where: Mark
    names: tuple[str, ...]
    needed: tuple[str, ...] = ()


@record(frozen=True, slots=True)
class Explanation:
    """All of one task. `verdict`: "runs", "not", "depends" or "fails", with `reasons`.

    `user` is whom it becomes and who says so, "" where nobody, None where only a run can say. `loop` says what is to be
    said of its loop, `items` how many it has where that is known. `others`: what it says of other hosts.
    """

    title: str
    where: Mark
    module: str
    verdict: str
    reasons: tuple[str, ...]
    tags: tuple[str, ...]
    selected: bool
    around: tuple[Surrounding, ...]
    conditions: tuple[Tested, ...]
    user: tuple[str, Origin | None] | None
    loop: str
    items: int | None
    others: tuple[str, ...]
    notified_by: tuple[tuple[str, Mark], ...]
    uses: tuple[Used, ...]
    names: Mapping[str, Name]
