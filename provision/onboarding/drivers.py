"""Whether a playbook brings a host its NVIDIA driver: then an old one, or none, is no reason to turn the host away.

Pure: of plays, variables and facts. What cannot be told yet counts as done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from provision.clashes import UNKNOWN, item_scopes
from provision.execute import Job
from provision.modules import MODULES
from provision.playbook import Play, Task
from provision.scopes import HostVariables, Run, Scopes
from provision.selection import selected

__all__ = ["brings_driver"]


def brings_driver(job: Job, host: str, facts: Mapping[str, Any]) -> bool:
    """Whether a task for this host may install a package whose name speaks of nvidia."""
    plays = [play for play, hosts in zip(job.plays, job.hosts, strict=True) if host in hosts]
    return any(_installs(task) and _may_run(task, play, job.run, host, facts) for play in plays for task in play.tasks)


def _installs(task: Task) -> bool:
    module = MODULES.get(task.module or "")
    return bool(
        module
        and module.resource == "package"
        and task.arguments.get("state") not in ("absent", "removed")
        and any("nvidia" in str(task.arguments.get(word, "")) for word in ("name", "pkg", "package", "deb"))
    )


def _may_run(task: Task, play: Play, run: Run, host: str, facts: Mapping[str, Any]) -> bool:
    if not selected(task, run):
        return False
    try:
        scopes = list(item_scopes(task, Scopes(play, HostVariables(run, host, facts), {})))
    except UNKNOWN:
        return True
    return any(all(_holds(scope, one) for one in task.when) for scope in scopes)


def _holds(scope: Any, condition: Any) -> bool:
    try:
        return bool(scope.renderer.test(condition.expression, scope, condition.where))
    except UNKNOWN:
        return True
