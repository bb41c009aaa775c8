"""Shows what an app logged, and what it logs while somebody looks; changes nothing.

What is followed is bounded: in bytes a second, so that a chatty app does not take the network, and in all.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List

from .. import app_view, units
from ..record import record
from ..resource import Action, Emit, Refusal, Verb
from ..system import System

__all__ = ["Bounded", "Full", "Spec", "State", "apply", "decide", "fields", "observe"]

RATE = 64 * 1024
"""Bytes a second that are followed over time; a burst may have BURST at once."""
BURST = 512 * 1024
TOTAL = 40 << 20
"""Bytes after which following ends: a run takes only so much of one host."""
_MOST_LINES = 10000
_DEADLINE = 60.0
_FOLLOW_DEADLINE = 86400.0


@record(frozen=True)
class Spec:
    """The app, how many of its last lines, and whether those that come are shown too.

    app_logs:
      name: img2video
      lines: 50
      follow: true
    """

    name: str
    lines: int = 50
    follow: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.lines <= _MOST_LINES:
            raise ValueError("lines: from 0 to %d" % _MOST_LINES)


@record(frozen=True)
class State:
    """Whether this host has the app."""

    known: bool = False


class Full(Exception):
    """As much was shown as one run may show."""


def observe(spec: Spec, system: System) -> State:
    """Look for the app's unit."""
    return State(spec.name in app_view.installed(system, spec.name))


def decide(spec: Spec, state: State) -> List[Action]:
    """One act, where the host has the app."""
    return [Action(Verb.RUN, "log of %s" % spec.name, {"spec": spec})] if state.known else []


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Print the lines as output; ends by itself only where nothing is followed."""
    spec: Spec = action.arguments["spec"]
    argv = units.log_argv(system, spec.name, spec.lines, spec.follow)
    bounded = Bounded(emit)
    try:
        done = system.run(
            argv,
            timeout=_FOLLOW_DEADLINE if spec.follow else _DEADLINE,
            emit=bounded if spec.follow else emit,
            limit=4096,
        )
    except Full:
        emit(output="[%d MiB were shown: run again to go on]\n" % (TOTAL >> 20), stream="stderr")
        return {}
    if done.returncode and not done.timed_out:
        raise Refusal(
            "the log of `%s` cannot be read" % spec.name,
            done.stderr.strip(),
            "see %s" % units.log_place(system, spec.name),
        )
    return {}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`known`: whether this host has the app."""
    return {"known": state.known}


class Bounded:
    """An `emit` that passes on so many bytes a second and says how many lines it left out; raises Full at the end."""

    def __init__(self, emit: Emit, clock: Callable[[], float] = time.monotonic) -> None:
        self._emit, self._clock = emit, clock
        self._credit, self._last = float(BURST), clock()
        self._total = 0
        self._left_out = 0
        self._within_line = False

    def __call__(self, output: str, stream: str = "stdout") -> None:
        now = self._clock()
        self._credit = min(self._credit + (now - self._last) * RATE, BURST)
        self._last = now
        if self._within_line:
            _, end, output = output.partition("\n")
            self._within_line = not end
        if len(output) > self._credit:
            self._left_out += max(output.count("\n"), 1)
            self._within_line = not output.endswith("\n")
            return
        if self._left_out and output:
            self._pass("[%d lines left out: more than %d KiB a second]\n" % (self._left_out, RATE >> 10), "stderr")
            self._left_out = 0
        self._pass(output, stream)

    def _pass(self, output: str, stream: str) -> None:
        self._credit -= len(output)
        self._total += len(output)
        if self._total > TOTAL:
            raise Full
        self._emit(output=output, stream=stream)
