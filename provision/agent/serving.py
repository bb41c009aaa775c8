"""Starts an app's unit, watches it until it serves, and puts units back that served before.

Everything that watching needs is in the unit's own text (unit_text.py), so a remembered unit is judged like a new
one. Must not know specs, nor flip any environment.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, Optional, Union

from . import digest, generations, health, ports, processes, unit_text, units
from .record import record
from .resource import Emit, Refusal
from .system import System

__all__ = [
    "Expectation",
    "Observation",
    "ensure",
    "expectation",
    "look",
    "outcome",
    "put_back",
    "restart",
    "serve",
    "served",
    "stop",
    "watch",
    "with_log",
]

_ALIVE = 5.0
"""Seconds that an app without a port must stay up to count as started."""
_CRASHES = 2
"""This many restarts by its keeper while it is watched are a crash loop."""
_TWICE = 0.2
"""Seconds between the two good answers of one process that make it serve: some apps answer once and die."""
_ASK = 5.0
_LINES = 15


@record(frozen=True)
class Expectation:
    """When an app counts as serving."""

    name: str
    digest: Optional[str]
    port: Optional[int]
    path: Optional[str]
    expect: Union[int, str]
    start_timeout: float
    interval: float
    settle: float = unit_text.SETTLE


@record(frozen=True)
class Observation:
    """An app as it is now. `problem` is why it does not serve, "" when it does; `dead`: waiting will not help."""

    pid: int
    problem: str
    dead: bool = False
    foreign: Optional[int] = None


def expectation(name: str, text: str) -> Expectation:
    """What the text of an app's unit says about when it serves."""
    facts = unit_text.facts_of(text)
    expect = facts.get("Expect", "200")
    return Expectation(
        name,
        unit_text.digest_of(text),
        int(facts["Port"]) if facts.get("Port") else None,
        facts.get("Path") or None,
        int(expect) if expect.isdigit() else expect,
        float(facts.get("StartTimeout") or 300),
        float(facts.get("Interval") or 0.5),
        float(facts.get("Settle") or unit_text.SETTLE),
    )


def look(
    wanted: Expectation,
    shown: Dict[str, str],
    ask: float = _ASK,
    listeners: Callable[[int], List[ports.Listener]] = ports.listeners,
) -> Observation:
    """Judge a unit by its properties, its process, the owner of its port and its health check.

    `listeners` tells who listens on a port.
    """
    pid = int(shown.get("MainPID") or 0)
    if shown.get("ActiveState") == "failed":
        return Observation(0, "its unit failed (%s)" % shown.get("Result", "unknown"), dead=True)
    if not pid or shown.get("ActiveState") != "active" or shown.get("SubState") != "running":
        return Observation(0, "its process is not running (%s)" % (shown.get("SubState") or "unknown"))
    carried = processes.environment(pid).get(digest.VARIABLE)
    if wanted.digest and carried != wanted.digest:
        return Observation(pid, "its process was not started from this unit")
    if wanted.port is None:
        least = min(_ALIVE, wanted.settle)
        return Observation(pid, "" if processes.age(pid) >= least else "it runs for less than %g s" % least)
    return _look_at_port(wanted, wanted.port, pid, shown.get("ControlGroup", ""), ask, listeners(wanted.port))


def _look_at_port(
    wanted: Expectation, port: int, pid: int, group: str, ask: float, sockets: List[ports.Listener]
) -> Observation:
    if not sockets:
        return Observation(pid, "nothing listens on port %d yet" % port)
    own = processes.of_unit(wanted.name, pid, group)
    holder = ports.owner(sockets, own)
    if holder is not None and holder not in own:
        return Observation(pid, "port %d belongs to %s" % (port, processes.describe(holder)), foreign=holder)
    if wanted.path is None:
        return Observation(pid, "")
    answer = health.ask(ports.reachable(sockets[0]), port, wanted.path, ask)
    problem = health.judge(answer, wanted.expect)
    return Observation(pid, problem and "`http://127.0.0.1:%d%s` %s" % (port, wanted.path, problem))


def watch(system: System, wanted: Expectation, emit: Emit, clock: Callable[[], float] = time.monotonic) -> Observation:
    """Wait until an app serves, crashes repeatedly, or `start_timeout` is over; the last observation."""
    start, answered = clock(), 0
    restarts: Optional[int] = None
    while True:
        shown = units.fresh(system, [wanted.name])[wanted.name]
        seen = look(wanted, shown)
        if seen.dead or seen.foreign is not None:
            return seen
        if not seen.problem:
            if seen.pid == answered:
                return seen
            answered = seen.pid
            time.sleep(_TWICE)
            continue
        count = int(shown.get("NRestarts") or 0)
        restarts = count if restarts is None else restarts
        if count - restarts >= _CRASHES:
            return Observation(seen.pid, _crash(shown, count - restarts), dead=True)
        waited = clock() - start
        if waited >= wanted.start_timeout:
            return Observation(seen.pid, "%s after %g s" % (seen.problem, wanted.start_timeout))
        emit(done=round(waited, 1), total=wanted.start_timeout, unit="s", label=seen.problem)
        time.sleep(min(max(wanted.interval, 0.05), wanted.start_timeout, 5.0))


def _crash(shown: Dict[str, str], restarts: int) -> str:
    status = shown.get("ExecMainStatus", "?")
    how = "exit status %s" % status if status.isdigit() else status
    return "it ended %d times while it was watched, last with %s" % (restarts, how)


def served(name: str) -> str:
    """Under which name a run notes the process of an app that it saw serve."""
    return "serves: %s" % name


def restart(system: System, name: str, emit: Emit) -> None:
    """Start an app's unit afresh, with its count of restarts at zero."""
    emit(output="starting %s\n" % units.full(name))
    units.restart(system, name)


def stop(system: System, name: str) -> None:
    """Stop an app's unit."""
    units.control(system, "stop", name)


def ensure(system: System, name: str, text: str, emit: Emit) -> Observation:
    """Make an app serve from exactly this unit text; does nothing to one that already does."""
    if _installed(system, name) != text:
        units.install(system, name, text)
    wanted = expectation(name, text)
    seen = look(wanted, units.fresh(system, [name])[name])
    if not seen.problem:
        return seen
    if seen.pid == 0 or processes.environment(seen.pid).get(digest.VARIABLE) != wanted.digest:
        restart(system, name, emit)
    return watch(system, wanted, emit)


def put_back(system: System, texts: Dict[str, str], emit: Emit) -> Dict[str, str]:
    """Put remembered units back and let each serve again; why each one does not ("" for those that do), by app."""
    report: Dict[str, str] = {}
    for name, text in sorted(texts.items()):
        try:
            report[name] = ensure(system, name, text, emit).problem
        except Refusal as refusal:
            report[name] = refusal.summary
    return report


def _installed(system: System, name: str) -> str:
    try:
        return system.read_text(units.path(system, name))
    except FileNotFoundError:
        return ""


def serve(system: System, arguments: Dict[str, Any], emit: Emit) -> Dict[str, Any]:
    """Start an app on its new unit and watch it; where it does not serve, put back what served before and refuse.

    `arguments`: name, text, restart, previous (the unit text that served until now, or None), environment, root and
    generation. The unit file is in place already. Whether it stays up is for settling.py.
    """
    name, since = arguments["name"], time.time()
    seen = _start(system, arguments, emit)
    if not seen.problem:
        system.notes[served(name)] = seen.pid
        return {"pid": seen.pid, "healthy": True}
    told = with_log(system, name, seen.problem, since)
    back = _texts_to_put_back(system, arguments)
    if not back and not arguments["previous"]:
        stop(system, name)
    report = put_back(system, back, emit)
    raise Refusal(
        "app `%s` does not serve" % name,
        told,
        outcome(units.log_place(system, name), report, bool(arguments["previous"])),
        {"healthy": False, "restored": sorted(app for app, problem in report.items() if not problem)},
    )


def with_log(system: System, name: str, problem: str, since: float) -> str:
    """A problem with the last lines below it that the app logged since then, in seconds since the epoch."""
    return "\n".join([problem, *("  " + line for line in units.journal(system, name, _LINES, since))])


def outcome(log: str, report: Dict[str, str], served: bool) -> str:
    """What state a failed start left the host in, in words; `log`: where people find why."""
    well = ", ".join("`%s`" % app for app, problem in sorted(report.items()) if not problem)
    ill = ["`%s` was put back too, but %s" % (app, problem) for app, problem in sorted(report.items()) if problem]
    lines = ["what served before was put back and serves again: %s" % well] if well else []
    if not report:
        kept = "it was left running as it is" if served else "its unit was stopped"
        lines = ["%s; see %s, mend the cause and run again" % (kept, log)]
    return "\n".join([*lines, *ill])


def _start(system: System, arguments: Dict[str, Any], emit: Emit) -> Observation:
    name, wanted = arguments["name"], expectation(arguments["name"], arguments["text"])
    try:
        if arguments["restart"]:
            restart(system, name, emit)
        return watch(system, wanted, emit)
    except Refusal as refusal:
        return Observation(0, "\n".join([refusal.summary, *refusal.cause.splitlines()[:1]]), dead=True)


def _texts_to_put_back(system: System, arguments: Dict[str, Any]) -> Dict[str, str]:
    """Units that served before: this app's, and on a change of generation those of all apps of the environment."""
    name, texts = arguments["name"], {}
    now = generations.current(system, arguments["root"], arguments["environment"])
    remembered = generations.remembered_units(system, now) if now else {}
    if now and now.path != arguments["generation"]:
        texts = {app: text for app, text in remembered.items() if system.lstat(units.path(system, app)) is not None}
    text = texts.get(name) or arguments["previous"] or remembered.get(name)
    if text and text != arguments["text"]:
        texts[name] = text
    return texts
