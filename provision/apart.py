"""What of a task keeps it out of a batch with its neighbours: run once for all, throttled, or run elsewhere.

Pure: of a task and the names that it sees.
"""

from __future__ import annotations

from typing import Any

from provision.agent.record import record
from provision.errors import ProvisionError
from provision.filters import truth
from provision.modules import DIRECTIVES
from provision.others import Position
from provision.playbook import Play, Task
from provision.render import KnownAfterApply, Unsettled
from provision.scopes import HostVariables, Scopes
from provision.source import Template

__all__ = [
    "NOT_APART",
    "Apart",
    "Running",
    "apart_of",
    "delegated",
    "ends_run",
    "fatal_to_all",
    "flag",
    "forces_handlers",
    "may_lack",
]


@record(frozen=True, slots=True)
class Apart:
    """Tasks next to each other are in one batch only where these are equal.

    `once` names a task that one host runs for all; `throttle` is the name and the size of a limit of hosts at once.
    """

    once: str = ""
    throttle: tuple[str, int] | None = None
    delegated: bool = False


@record(frozen=True, slots=True)
class Running:
    """A task that a host runs for all while its results are awaited: its name, and where the result goes."""

    key: str
    register: str | None


NOT_APART = Apart()


def apart_of(task: Task, handler: str | None, position: Position, scopes: Scopes) -> Apart:
    """What keeps a task at a place of the play apart; raises what rendering raises."""
    among = task.among
    if (among.run_once, among.throttle, among.delegate_to) == (False, None, None):
        return NOT_APART
    key = ""
    if among.run_once and task.module != "meta" and flag(among.run_once, task, scopes):
        key = f"{task.key}@{'.'.join(map(str, position))}{handler or ''}"
    return Apart(key, _throttle(task, scopes), delegated(task))


def delegated(task: Task) -> bool:
    """Whether a task is done on the control node in the place of its host; what only thinks is always done there."""
    return task.among.delegate_to is not None and task.module not in DIRECTIVES


def ends_run(task: Task, scopes: Scopes) -> bool:
    """Whether a failure of a task, where it costs its host, ends the run for all."""
    among = task.among
    if among.any_errors_fatal is False and among.run_once is False:
        return False
    try:
        return flag(among.any_errors_fatal, task, scopes) or flag(among.run_once, task, scopes)
    except (ProvisionError, Unsettled, KnownAfterApply):
        return True


def flag(value: Any, task: Task, scopes: Scopes) -> bool:
    """The truth of a keyword of a task."""
    return truth(scopes.of(task).render(value)) if isinstance(value, Template) else bool(value)


def fatal_to_all(play: Play, host: HostVariables) -> bool:
    """Whether a host that is lost, before any task of a play, ends the run for all."""
    return _of_play(play.among.any_errors_fatal, play, host)


def forces_handlers(play: Play, host: HostVariables | None) -> bool:
    """Whether notified handlers run on a host in any case, whatever fails."""
    return host is not None and (host.run.force_handlers or _of_play(play.force_handlers, play, host))


def may_lack(play: Play) -> bool:
    """Whether hosts may be gone before a play's first task and go on all the same.

    Where facts are gathered the play itself must say so, as its tasks have no say in that.
    """
    alone = not play.gather_facts and any(task.among.ignore_unreachable for task in play.tasks)
    return bool(play.among.ignore_unreachable) or alone


def _of_play(value: Any, play: Play, host: HostVariables) -> bool:
    return truth(Scopes(play, host, {}).whole().render(value)) if isinstance(value, Template) else bool(value)


def _throttle(task: Task, scopes: Scopes) -> tuple[str, int] | None:
    among = task.among
    if among.throttle is None or task.module in DIRECTIVES:
        return None
    value = scopes.of(task).render(among.throttle)
    try:
        most = int(value)
    except (TypeError, ValueError):
        raise ProvisionError(
            f"`throttle` is a number of hosts, not `{value}`", where=among.throttle_at, context=f'task "{task.title}"'
        ) from None
    return (str(among.throttle_at), most) if most > 0 else None
