"""A run: hosts, sessions and their schedule for a loaded playbook; events go to the report.

Decides nothing about tasks, and reads no files of the operator but those that sessions need (keys, known_hosts).
"""

from __future__ import annotations

import functools
import getpass
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

from provision import fact_store
from provision.agent.record import record
from provision.apart import delegated
from provision.asking import Outlet, Terminal
from provision.board import Board
from provision.clashes import clashes_on
from provision.compile import HostVariables, next_batch
from provision.delegation import Delegates
from provision.errors import ProvisionErrors
from provision.events import Event, Notice, RunEnded, RunStarted, RunStopped
from provision.fact_names import groups_for
from provision.modules import DIRECTIVES, MODULES, WITHOUT_FACTS
from provision.playbook import Play, gathers
from provision.reaching import Ways, delegate_target, host_target
from provision.report import Report
from provision.runner import run_waves
from provision.schedule import Cast, never_begun, waves
from provision.scopes import Run
from provision.secret.showing import Showing
from provision.session import NextBatch, Opened, Session, greeted
from provision.source import read_files
from provision.target import Login
from provision.transport import Connection, Target
from provision.waves import ordered

if TYPE_CHECKING:
    from provision.history.store import Store
    from provision.transport.auth import Prompts

__all__ = ["Job", "execute", "host_target", "prompts"]

KEPT = frozenset(("apply", "plan", "run"))
"""Commands whose runs are in the history, beside all that hold hosts for themselves."""


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
    held: Mapping[str, NextBatch] = field(default_factory=dict)
    """Compilers around that of the plays: a plan that is made, or that hosts are held to."""
    playbook: str = ""
    """The playbook's name, which a host's list of changes keeps."""
    key: str = ""
    """What secrets are hashed with where they are told; by default another one for each run."""


def execute(job: Job, report: Report) -> None:
    """Run a job and tell the report everything; closes the report."""
    begun = time.monotonic()
    identity = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(3)}"
    report = _kept(job, report)
    outlet = Outlet(report)
    emit = Showing(outlet.emit).emit
    _terminal().begin(outlet)
    prompts()  # made here, since hosts that ask for it at once would each get their own
    everyone = tuple(dict.fromkeys(host for hosts in job.hosts for host in hosts))
    emit(RunStarted(job.command, identity, everyone, job.run.check))
    cast = _cast(job, _hello(job, identity), emit)

    def ended(reason: str) -> None:
        emit(RunStopped(reason, tuple(never_begun(job.hosts, cast.sessions))))

    turns = waves(job.plays, job.hosts, job.run, cast)
    interrupted = run_waves(turns, forks=job.forks, interrupted=_terminal().give_up, ended=ended)
    if not interrupted:
        for session in cast.sessions.values():
            session.close()
        for close in cast.closing:
            close()
    _close_bastions()
    job.run.renderer.kept.keep()
    emit(RunEnded(time.monotonic() - begun, interrupted))
    report.close()


class _Kept:
    """A report whose events also go into the history."""

    def __init__(self, report: Report, recorder: Report) -> None:
        self._reports = (report, recorder)

    def add(self, event: Event) -> None:
        for report in self._reports:
            report.add(event)

    def close(self) -> None:
        for report in self._reports:
            report.close()


def _kept(job: Job, report: Report) -> Report:
    """The report, and the history where the run is one that is kept: not what only looks at hosts."""
    if job.command not in KEPT and job.lock != "exclusive":
        return report
    from provision.history.recorder import Recorder, without_values

    def open_store() -> Store:
        from provision.history.place import of
        from provision.history.store import Store

        return Store(of(job.run.inventory), writable=True)

    def warn(text: str) -> None:
        report.add(Notice(text, kind="warning"))

    recorder = Recorder(open_store, warn, argv=without_values(sys.argv[1:]), operator=_operator(), inputs=read_files)
    return _Kept(report, recorder)


def _operator() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"


def _groups(job: Job) -> list[str]:
    """The groups of facts that templates or `setup` tasks of the plays name."""
    names = {"ansible_facts"} if any(task.module == "setup" for play in job.plays for task in play.tasks) else set()
    return groups_for(job.run.renderer.facts | names)


def _hello(job: Job, identity: str) -> dict[str, Any]:
    return {
        "type": "hello",
        "version": 1,
        "run": identity,
        "operator": _operator(),
        "lock": job.lock,
        "facts": True,
        "groups": _groups(job),
        "key": job.key or secrets.token_hex(16),
        "playbook": job.playbook,
    }


def _cast(job: Job, hello: Mapping[str, Any], emit: Callable[[Event], None]) -> Cast:
    """The sessions of a job, and what they share."""
    board, ways = Board(job.run.known_of), Ways(job)
    everyone = dict.fromkeys(host for hosts in job.hosts for host in hosts)
    elsewhere = {**hello, "host": "localhost", "lock": "none", "facts": any(map(_delegates_by_facts, job.plays))}
    delegates = Delegates(lambda: greeted("localhost", _open(delegate_target(job), elsewhere))[0])
    machine = _Machine(len(everyone))

    def opening(play: Play, host: str) -> Callable[[], Opened]:
        own = {**hello, "host": host, "facts": _asks_for_facts(job, host)}
        return lambda: machine.opened(ways.of(play, host), own)

    def reach(play: Play, host: str) -> Callable[[], Opened] | None:
        return opening(play, host) if ways.changes(play, host) else None

    sessions = {}
    for host in everyone:
        first = next(play for play, hosts in zip(job.plays, job.hosts, strict=True) if host in hosts)
        compiler = job.compilers.get(host) or job.held.get(host, next_batch)
        variables = _variables(job, host, ways)
        sessions[host] = Session(host, opening(first, host), variables, emit, compiler, board, delegates)
    return Cast(sessions, board, reach, (delegates.close, machine.close), lenient=bool(job.compilers))


class _Machine:
    """This machine as a host, or several: its lock is held for all of them by an agent that does nothing else.

    Where the run has one host only, that host's agent holds it, as on any machine.
    """

    def __init__(self, hosts: int) -> None:
        self._alone = hosts == 1
        self._lock = threading.Lock()
        self._holder: Opened | None = None

    def opened(self, chosen: Target, hello: Mapping[str, Any]) -> Opened:
        """A link to a host; raises Unreachable, and ProvisionError where another run holds this machine."""
        if chosen.connection != "local" or self._alone or hello["lock"] == "none":
            return _open(chosen, hello)
        with self._lock:
            if self._holder is None:
                self._holder, _ = greeted(chosen.name, _open(chosen, {**hello, "facts": False}))
        return _open(chosen, {**hello, "lock": "none"})

    def close(self) -> None:
        if self._holder:
            self._holder.close()


def _variables(job: Job, host: str, ways: Ways) -> Callable[[Play, Mapping[str, Any], str], HostVariables]:
    hosts_of = {
        id(play): ordered(hosts, play.order if play.order != "shuffle" else None)
        for play, hosts in zip(job.plays, job.hosts, strict=True)
    }

    def variables(play: Play, facts: Mapping[str, Any], user: str) -> HostVariables:
        if facts and host not in job.run.facts_of:
            _refuse_clashes(job, host, facts)
            fact_store.remember(job.run.inventory, host, facts)
        gathered = gathers(job.plays[: job.plays.index(play) + 1], job.hosts, host)
        if facts:
            job.run.facts_of[host] = facts if gathered else {}
        return HostVariables(job.run, host, facts, hosts_of[id(play)], user, gathered, here=ways.here(play, host))

    return variables


def _asks_for_facts(job: Job, host: str) -> bool:
    return host in job.compilers or gathers(job.plays, job.hosts, host) or _needs_facts(job, host)


def _delegates_by_facts(play: Play) -> bool:
    """Whether a task of a play that is done here is done by means of facts."""
    return any(delegated(task) and MODULES[task.module].resource not in WITHOUT_FACTS for task in play.tasks)


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
    from provision.transport.connecting import connect

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
