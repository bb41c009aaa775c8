"""Where the hosts of a job are reached, play by play, and how much of it happens on this very machine.

Must not connect, and must not read ssh_config; that is the transport's.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections import ChainMap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision.apart import delegated
from provision.clashes import UNKNOWN
from provision.errors import ProvisionError
from provision.inventory import Inventory
from provision.playbook import Play
from provision.preflight import may_become
from provision.scopes import Here, HostVariables, Scopes
from provision.selection import becomes
from provision.target import Login, target
from provision.transport import Target
from provision.variables import HostView

if TYPE_CHECKING:
    from provision.execute import Job

__all__ = ["Ways", "delegate_target", "host_target"]

Way = tuple[Any, Any, Any]


def host_target(job: Job, host: str, play: Play | None = None) -> Target:
    """Where a host is reached in a play, the first of its own where none is given.

    The agent is root only where a task that may reach it in the same way becomes another user.
    """
    own = [one for one, hosts in zip(job.plays, job.hosts, strict=True) if host in hosts]
    first = play or own[0]
    scopes = Scopes(first, HostVariables(job.run, host), {})
    login = _play_login(job.login, first, scopes)
    chosen = target(host, HostView(scopes.whole()), login, _known_hosts(job.run.inventory))
    alike = [one for one in own if _way(one) == _way(first)]
    if not any(may_become(one, job.run, host) for one in alike) or _logs_in_as_root(chosen):
        return replace(chosen, become=False)
    # the agent starts as root; who a step becomes is the step's own matter
    return replace(chosen, become=True, become_user="root")


def delegate_target(job: Job) -> Target:
    """How tasks are done on this machine in the place of hosts: what the inventory says of `localhost` counts."""
    names: list[Any] = [{"ansible_connection": "local", "ansible_user": None}]
    if "localhost" in job.run.inventory.hosts:
        names.append(HostView(Scopes(job.plays[0], HostVariables(job.run, "localhost"), {}).whole()))
    names.append({"ansible_python_interpreter": sys.executable})
    chosen = target("localhost", ChainMap(*names), job.login, [])
    become = os.geteuid() != 0 and any(_delegates_as_root(play, job, hosts) for play, hosts in _plays(job))
    return replace(chosen, become=become, become_user="root")


def _plays(job: Job) -> list[tuple[Play, Sequence[str]]]:
    return [(play, hosts) for play, hosts in zip(job.plays, job.hosts, strict=True) if hosts]


def _delegates_as_root(play: Play, job: Job, hosts: Sequence[str]) -> bool:
    scopes = Scopes(play, HostVariables(job.run, hosts[0]), {})
    for task in play.tasks:
        if delegated(task):
            try:
                if becomes(task, play, scopes.of(task), job.run, delegated=True):
                    return True
            except UNKNOWN:
                return True
    return False


class Ways:
    """How each host of a job is reached; targets are made when they are first asked for, and kept."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._targets: dict[tuple[str, Way], Target] = {}
        self._last: dict[str, Play] = {}
        self._user = getpass.getuser()
        self._root: bool | None = None

    def changes(self, play: Play, host: str) -> bool:
        """Whether a host that now takes up a play is reached in another way than in its play before."""
        before, self._last[host] = self._last.get(host), play
        if before is None or _way(before) == _way(play):
            return False
        try:
            return self.of(play, host) != self.of(before, host)
        except ProvisionError:  # which is told where it is connected
            return True

    def of(self, play: Play, host: str) -> Target:
        """Where a host is reached in a play; raises ProvisionError."""
        key = (host, _way(play))
        if key not in self._targets:
            self._targets[key] = host_target(self._job, host, play)
        return self._targets[key]

    def here(self, play: Play, host: str) -> Here:
        """What a host has to do with this machine in a play."""
        if self._root is None:
            delegates = any(delegated(task) for one in self._job.plays for task in one.tasks)
            self._root = os.geteuid() == 0 or (delegates and delegate_target(self._job).become)
        local = self.of(play, host).connection == "local"
        own = [one for one, hosts in _plays(self._job) if host in hosts] if local else []
        always = local and all(self.of(one, host).connection == "local" for one in own)
        user = "root" if self._root else self._user
        return Here(user, "" if user == self._user else self._user, local, always)


def _way(play: Play) -> Way:
    """Plays for which this is equal reach a host in the same way."""
    return (play.connection, play.remote_user, play.become_method)


def _play_login(login: Login, play: Play, scopes: Scopes) -> Login:
    """What the play says counts where the command line says nothing."""
    scope = scopes.whole()
    return replace(
        login,
        user=login.user or (str(scope.render(play.remote_user)) if play.remote_user is not None else None),
        connection=login.connection or play.connection,
        become_method=login.become_method or play.become_method,
    )


def _logs_in_as_root(chosen: Target) -> bool:
    return os.geteuid() == 0 if chosen.connection == "local" else chosen.user == "root"


def _known_hosts(inventory: Inventory) -> list[Path]:
    """A `known_hosts` beside each inventory is read before the user's own."""
    folders = [source if source.is_dir() else source.parent for source in inventory.sources]
    return [folder / "known_hosts" for folder in folders if (folder / "known_hosts").is_file()]
