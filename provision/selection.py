"""Which tasks run, which handlers answer, and who becomes root.

Pure functions of tasks, plays and names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from provision.filters import truth
from provision.playbook import Play, Task
from provision.scopes import Run
from provision.variables import Scope

__all__ = ["answering", "becomes", "first_given", "handler_id", "handlers_by_id", "selected", "variable"]


def handler_id(play: Play, task: Task) -> str:
    """The id of a handler in a host's journal; the same in every run while its names stay."""
    return hashlib.sha256(f"{play.name}\0{task.title}".encode()).hexdigest()[:16]


def handlers_by_id(play: Play) -> dict[str, Task]:
    """The handlers by id, in the order in which they run; of two with one name the last counts."""
    return {handler_id(play, task): task for task in play.handlers}


def selected(task: Task, run: Run) -> bool:
    """Whether `--tags` and `--skip-tags` let a task run, as in Ansible."""
    tags = task.tags or frozenset(("untagged",))
    tagged = bool(task.tags)
    wanted = run.tags or frozenset(("all",))
    never = "never" in tags
    chosen = (
        ("all" in wanted and not never)
        or bool(tags & wanted)
        or "always" in tags
        or ("tagged" in wanted and tagged and not never)
    )
    skipped = bool(tags & run.skip_tags) or ("tagged" in run.skip_tags and tagged)
    if "all" in run.skip_tags:
        skipped = "always" not in tags or "always" in run.skip_tags
    return chosen and not skipped


def becomes(task: Task, play: Play, scope: Scope, run: Run, *, delegated: bool = False) -> bool:
    """Whether a task becomes another user; what the inventory says of its host does not count where it is delegated."""
    own = None if delegated else variable(scope, "ansible_become")
    return truth(scope.render(first_given(own, task.become, play.become, run.become)))


def variable(scope: Scope, name: str) -> Any:
    value = scope.raw(name)
    return value if isinstance(value, str | bool | int) else None


def first_given(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def answering(handlers: Mapping[str, Task], name: str) -> list[str]:
    """The ids of the handlers that a notification reaches, as in Ansible: the last of that name, and all listeners."""
    named = [key for key, task in handlers.items() if name in (str(task.name), task.title)]
    return named[-1:] + [key for key, task in handlers.items() if name in task.listen]
