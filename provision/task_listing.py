"""`--list-tasks`, `--list-tags`, `--list-hosts`: what a playbook holds, as text; no host is contacted.

Pure functions of plays and the hosts that they are for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from provision.playbook import Play, Task
from provision.scopes import Run
from provision.selection import selected

__all__ = ["hosts_of", "tags_of", "tasks_of"]

Hosts = Sequence[Sequence[str]]
"""The hosts of each play."""


def hosts_of(plays: Sequence[Play], hosts: Hosts) -> Iterator[str]:
    """Each play with its hosts."""
    for play, names in zip(plays, hosts, strict=True):
        yield f"{play.name} ({len(names)} host{'' if len(names) == 1 else 's'})"
        yield from (f"  {name}" for name in names)


def tasks_of(plays: Sequence[Play], run: Run) -> Iterator[str]:
    """Each play with the tasks that `--tags` and `--skip-tags` leave, in their order, with their tags."""
    for play in plays:
        yield play.name
        for section in play.sections:
            chosen = [task for task in section.tasks if selected(task, run) and task.module != "meta"]
            yield from (f"  {_line(task)}" for task in chosen)


def tags_of(plays: Sequence[Play]) -> Iterator[str]:
    """Each play with all its tags."""
    for play in plays:
        found = sorted({tag for task in play.tasks for tag in task.tags})
        yield f"{play.name}: {', '.join(found) if found else 'no tags'}"


def _line(task: Task) -> str:
    return f"{task.title}  [{', '.join(sorted(task.tags))}]" if task.tags else task.title
