"""Watches apps that just began to serve until each has lived for its `settle` seconds, and goes back where one dies.

A first good answer proves a start, not a life: apps that load a model and then run out of memory answer before they
die. Must not know specs. How one app is judged is in serving.py.
"""

from __future__ import annotations

import time
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from . import digest, flipping, generations, processes, serving, units
from .record import record
from .resource import Emit, Refusal
from .system import System

__all__ = ["App", "Fall", "found", "refusal", "watch"]

_LOOK = 0.25
"""Seconds between two looks at processes while apps are watched."""
_GRACE = 10.0
"""Seconds beyond `settle` in which an app that is alive must have answered well."""
_LAST_WORDS = 0.3
"""Seconds that a log may be behind the death of a process."""


@record(frozen=True)
class App:
    """An app by its unit's text. `pid`: the process that answered well, 0 where none was seen to.

    `right`: its process was started from this unit. `watched`: it has not run for `settle` seconds, or it is not the
    process any more that this run saw answer.
    """

    name: str
    environment: str
    root: str
    text: str
    pid: int = 0
    right: bool = False
    watched: bool = False


@record(frozen=True)
class Fall:
    """An app that did not stay up, in words; `since`: from when its log tells why, in seconds since the epoch."""

    app: App
    problem: str
    since: float


def found(system: System, apps: Sequence[Dict[str, str]]) -> List[App]:
    """The apps whose units are there, with what is to be watched of them."""
    shown = units.show(system, [app["name"] for app in apps])
    seen = [_found(system, app, shown[app["name"]]) for app in apps]
    return [app for app in seen if app is not None]


def _found(system: System, app: Dict[str, str], shown: Dict[str, str]) -> Optional[App]:
    name = app["name"]
    try:
        text = system.read_text(units.path(system, name))
    except OSError:
        return None
    wanted, pid = serving.expectation(name, text), int(shown.get("MainPID") or 0)
    right = bool(pid) and processes.environment(pid).get(digest.VARIABLE) == wanted.digest
    saw = int(system.notes.get(serving.served(name)) or 0)
    young = right and processes.age(pid) < wanted.settle
    gone = bool(saw) and not (right and pid == saw)
    return App(name, app["environment"], app["root"], text, saw or pid, right, watched=young or gone)


def watch(system: System, apps: Sequence[App], emit: Emit, clock: Callable[[], float] = time.monotonic) -> List[Fall]:
    """Wait until all have lived long enough and answer; those that did not stay up, each found as soon as it falls."""
    began, since, falls = clock(), time.time(), []
    expected = {app.name: serving.expectation(app.name, app.text) for app in apps}
    left = list(apps)
    while True:
        shown = units.fresh(system, [app.name for app in left])
        waiting = []
        for app in left:
            problem, stays = _judged(app, expected[app.name], shown[app.name], clock() - began)
            if problem:
                falls.append(Fall(app, problem, since - expected[app.name].settle))
            elif not stays:
                waiting.append(app)
        left = waiting
        if not left:
            return falls
        rest = max(expected[app.name].settle - processes.age(app.pid) for app in left)
        longest = max(expected[app.name].settle for app in left)
        label = "%s: watched after the start" % ", ".join(app.name for app in left)
        emit(done=round(max(longest - rest, 0.0), 1), total=longest, unit="s", label=label)
        time.sleep(min(_LOOK, max(rest, 0.05)))


def _judged(app: App, wanted: serving.Expectation, shown: Dict[str, str], waited: float) -> Tuple[str, bool]:
    """Why it did not stay up, "" while it does; and whether it has lived long enough and answers."""
    pid = int(shown.get("MainPID") or 0)
    if pid != app.pid or shown.get("ActiveState") != "active":
        return _ended(shown, pid), False
    if processes.age(pid) < wanted.settle:
        return "", False
    seen = serving.look(wanted, shown)
    if seen.problem and (seen.dead or seen.foreign is not None or waited >= wanted.settle + _GRACE):
        return "%s, %g s after its start" % (seen.problem, round(processes.age(pid), 1)), False
    return "", not seen.problem


def _ended(shown: Dict[str, str], pid: int) -> str:
    status = shown.get("ExecMainStatus", "")
    how = " with exit status %s" % status if status.isdigit() and status != "0" and not pid else ""
    again = "; it was started again since" if pid else ""
    return "its process ended after it had answered%s%s" % (how, again)


def refusal(system: System, falls: Sequence[Fall], emit: Emit) -> Refusal:
    """Put back what served before the apps that fell, and say what became of the host."""
    causes: List[str] = []
    hints: List[str] = []
    restored: List[str] = []
    time.sleep(_LAST_WORDS)
    for fall in falls:
        problem = "`%s`: %s" % (fall.app.name, fall.problem)
        causes.append(serving.with_log(system, fall.app.name, problem, fall.since))
        report, stopped = _go_back(system, fall.app, emit)
        restored += [name for name, problem in report.items() if not problem]
        hints.append(serving.outcome(units.log_place(system, fall.app.name), report, not stopped))
    names = ", ".join("`%s`" % fall.app.name for fall in falls)
    return Refusal(
        "app %s does not stay up" % names if len(falls) == 1 else "apps %s do not stay up" % names,
        "\n".join(causes),
        "\n".join(dict.fromkeys(hints)),
        {"healthy": False, "restored": sorted(set(restored))},
    )


def _go_back(system: System, app: App, emit: Emit) -> Tuple[Dict[str, str], bool]:
    """Let serve what stayed up last: another unit on this generation, or the generation before with all its apps.

    Where there is nothing to go back to, the unit is stopped. By app, why what was put back does not serve; and
    whether it was stopped.
    """
    with generations.lock_environment(system, app.root, app.environment):
        now = generations.current(system, app.root, app.environment)
        kept = generations.remembered_units(system, now) if now else {}
        if app.name in kept:
            same = kept[app.name] == app.text
            return {} if same else serving.put_back(system, {app.name: kept[app.name]}, emit), False
        before = generations.previous(system, app.root, app.environment)
        kept = generations.remembered_units(system, before) if before else {}
        if before is None or app.name not in kept:
            serving.stop(system, app.name)
            return {}, True
        report = serving.put_back(system, kept, emit)
        flipping.flip(system, app.root, app.environment, before)
        return report, False
