"""What may not stand in a step that runs on the control node: a path, a program or shell text that a host made up.

Owns which options may hold values of hosts there. Pure; `host_values.py` tells where names come from.
"""

from __future__ import annotations

from typing import Any

from provision.errors import Mark, ProvisionError
from provision.host_values import host_names_in
from provision.playbook import Task
from provision.variables import Scope

__all__ = ["refuse_host_values", "refuse_word"]

TEXT = frozenset(
    (
        *("block", "body", "comment", "content", "headers", "host", "insertafter", "insertbefore", "line", "marker"),
        *("port", "regexp", "replace", "search_string", "status_code", "stdin", "url"),
    )
)
"""Options that only say what is written, sent or looked for; all others may hold no value of a host."""
NOT_IN_PLACE_OF = frozenset(("app", "conda_base", "conda_env", "conda_list", "gpu", "offboard", "reboot"))
"""Words that are about the host itself, its state and its facts."""


def refuse_host_values(task: Task, scope: Scope, host: str, own: bool) -> None:
    """Raises ProvisionError for an option of a task on the control node that gets its value from a host.

    `own`: the host is this very machine, so that only what comes from other hosts is foreign.
    """
    for key, value in task.arguments.items():
        if key in TEXT:
            continue
        behind = list(value[1:]) if key == "argv" and isinstance(value, list) else None
        checked = value[:1] if behind is not None else value
        _refuse(f"`{key}`", checked, task.arguments.value_mark(key), (task, scope, host, own))
    for mapping in task.environment:
        _refuse("`environment`", mapping, mapping.mark, (task, scope, host, own))


def _refuse(what: str, value: Any, where: Mark | None, asked: tuple[Task, Scope, str, bool]) -> None:
    task, scope, host, own = asked
    names = sorted(host_names_in(value, scope, own=own))
    if not names:
        return
    shown = names[0].replace("hostvars.", "hostvars[…].")
    raise ProvisionError(
        f"{what} of a task on the control node is made of what a host says",
        where=where,
        context=f'task "{task.title}"',
        cause=f"`{shown}`, as `{host}` sees it, is a fact or a result of a host, or made of one\n"
        "no host may say what is done on this machine, or where",
        hint="take a value of the inventory or the play\n"
        "`content`, `stdin`, `body` and, in `argv`, what follows the program may come from a host",
    )


def refuse_word(word: str, where: Mark) -> None:
    """Raises ProvisionError for a task that cannot be done by another machine in the place of its host."""
    if word in NOT_IN_PLACE_OF:
        raise ProvisionError(
            f"`{word}` cannot be delegated",
            where=where,
            cause="it is about the very host that a play is for",
            hint="leave out `delegate_to`",
        )
