"""A run: hosts, sessions and their schedule for a loaded playbook; events go to the report.

Decides nothing about tasks, and reads no files of the operator but those that sessions need (keys, known_hosts).
"""

from __future__ import annotations

import functools
import getpass
import os
import secrets
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision import fact_store
from provision.agent.record import record
from provision.asking import Outlet, Terminal
from provision.clashes import clashes_on
from provision.compile import HostVariables, next_batch
from provision.errors import ProvisionErrors
from provision.events import Event, RunEnded, RunStarted
from provision.inventory import Inventory
from provision.modules import DIRECTIVES, MODULES, WITHOUT_FACTS
from provision.playbook import Play, gathers
from provision.preflight import may_become
from provision.report import Report
from provision.runner import Runnable, run_sessions
from provision.scopes import Run, Scopes
from provision.session import NextBatch, Opened, Session
from provision.target import Login, target
from provision.transport import Connection, Target
from provision.variables import HostView

if TYPE_CHECKING:
    from provision.transport.auth import Prompts

__all__ = ["Job", "execute", "host_target", "prompts"]


@record(frozen=True, slots=True)
class Job:
    """Everything that a run is made of. `hosts` are the hosts of each play, in the order of `plays`."""

    command: str
    plays: tuple[Play, ...]
    hosts: tuple[tuple[str, ...], ...]
    run: Run
    login: Login
    forks: int
    lock: str = "exclusive"
    compilers: Mapping[str, NextBatch] = field(default_factory=dict)
    """Hosts whose batches are not simply those of their plays."""


def execute(job: Job, report: Report) -> None:
    """Run a job and tell the report everything; closes the report."""
    begun = time.monotonic()
    identity = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(3)}"
    outlet = Outlet(report)
    emit = outlet.emit
    _terminal().begin(outlet)
    prompts()  # made here, since hosts that ask for it at once would each get their own
    everyone = tuple(dict.fromkeys(host for hosts in job.hosts for host in hosts))
    emit(RunStarted(job.command, identity, everyone, job.run.check))
    sessions = {host: _session(job, host, _hello(job, identity), emit) for host in everyone}
    plays = [_begin(job, index, sessions) for index in range(len(job.plays))]
    interrupted = run_sessions(plays, forks=job.forks, interrupted=_terminal().give_up)
    for session in sessions.values():
        if not interrupted:
            session.close()
    _close_bastions()
    emit(RunEnded(time.monotonic() - begun, interrupted))
    report.close()


def _hello(job: Job, identity: str) -> dict[str, Any]:
    return {
        "type": "hello",
        "version": 1,
        "run": identity,
        "operator": f"{getpass.getuser()}@{socket.gethostname()}",
        "lock": job.lock,
        "facts": True,
        "key": secrets.token_hex(16),
    }


def _begin(job: Job, index: int, sessions: Mapping[str, Session]) -> Callable[[], Mapping[str, Runnable]]:
    """Begin one play for its hosts that are still usable."""

    def begin() -> Mapping[str, Runnable]:
        chosen = {host: sessions[host] for host in job.hosts[index] if sessions[host].usable}
        later = {host for hosts in job.hosts[index + 1 :] for host in hosts}
        for host, session in chosen.items():
            session.begin(job.plays[index], last=host not in later)
        return chosen

    return begin


def _session(job: Job, host: str, hello: Mapping[str, Any], emit: Callable[[Event], None]) -> Session:
    hosts_of = {id(play): hosts for play, hosts in zip(job.plays, job.hosts, strict=True)}

    def variables(play: Play, facts: Mapping[str, Any], user: str) -> HostVariables:
        if host not in job.run.facts_of:
            _refuse_clashes(job, host, facts)
            fact_store.remember(job.run.inventory, host, facts)
        gathered = gathers(job.plays[: job.plays.index(play) + 1], job.hosts, host)
        job.run.facts_of[host] = facts if gathered else {}
        return HostVariables(job.run, host, facts, hosts_of[id(play)], user, gathered)

    compiler = job.compilers.get(host, next_batch)
    asked = host in job.compilers or gathers(job.plays, job.hosts, host) or _needs_facts(job, host)
    own = {**hello, "host": host, "facts": asked}
    return Session(host, lambda: _open(host_target(job, host), own), variables, emit, compiler)


def _needs_facts(job: Job, host: str) -> bool:
    """Whether a task that may reach the host is done by means of facts, gathered or not."""
    plays = [play for play, hosts in zip(job.plays, job.hosts, strict=True) if host in hosts]
    words = {task.module for play in plays for task in play.tasks} - set(DIRECTIVES)
    return any(MODULES[word].resource not in WITHOUT_FACTS for word in words)


def _refuse_clashes(job: Job, host: str, facts: Mapping[str, Any]) -> None:
    """ProvisionError, before any step of the host, for apps that clash as its facts show."""
    if host not in job.run.unsettled:
        return
    errors = clashes_on(host, facts, job.plays, job.run, dict(zip(job.plays, job.hosts, strict=True)))
    if errors:
        raise errors[0] if len(errors) == 1 else ProvisionErrors(errors)


def _open(chosen: Target, hello: Mapping[str, Any]) -> Opened:
    # imported here: fabric and paramiko cost start-up time that only a run with hosts should pay
    from provision.transport.launch import launch

    connection = _connection(chosen)
    try:
        link = launch(connection, chosen, hello)
    except BaseException:
        connection.close()
        raise

    def close() -> None:
        link.close()
        connection.close()

    return Opened(link, connection.user, close, here=chosen.connection == "local")


def _connection(chosen: Target) -> Connection:
    if chosen.connection == "local":
        from provision.transport.local import connect as connect_here

        return connect_here(chosen)
    from provision.transport.ssh import connect

    return connect(chosen, prompts=prompts())


@functools.cache
def prompts() -> Prompts:
    """What hosts ask of the operator is asked once for all of them, and only where there is a terminal."""
    from provision.transport.auth import Prompts

    return Prompts(_terminal().ask if _terminal().attended else None)


@functools.cache
def _terminal() -> Terminal:
    """A process has one terminal, whatever it runs."""
    return Terminal()


def _close_bastions() -> None:
    """Hang up on the bastions that hosts of this run were reached through; without SSH there are none."""
    if ssh := sys.modules.get("provision.transport.ssh"):
        ssh.close_bastions()


def host_target(job: Job, host: str) -> Target:
    """Where a host is reached; as root only where a task that may reach it becomes."""
    plays = [play for play, hosts in zip(job.plays, job.hosts, strict=True) if host in hosts]
    scopes = Scopes(plays[0], HostVariables(job.run, host), {})
    view = HostView(scopes.whole())
    login = _play_login(job.login, plays[0], scopes)
    chosen = target(host, view, login, _known_hosts(job.run.inventory))
    if not any(may_become(play, job.run, host) for play in plays) or _logs_in_as_root(chosen):
        return replace(chosen, become=False)
    # the agent starts as root; who a step becomes is the step's own matter
    return replace(chosen, become=True, become_user="root")


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
