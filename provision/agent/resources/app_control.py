"""Starts, stops or restarts an app that is installed, as it is; what it is to be is said by `app`.

A start is watched until the app serves. Must not write any file of the app.
"""

from __future__ import annotations

import time
from dataclasses import field
from typing import Any, Dict, List

from .. import app_view, serving, units
from ..record import record
from ..resource import Action, Emit, Refusal, Verb
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]

_VERBS = ("start", "stop", "restart")


@record(frozen=True)
class Spec:
    """The app, and what is to be done: start, stop or restart.

    app_control:
      name: img2video
      do: restart
    """

    name: str
    do: str

    def __post_init__(self) -> None:
        if self.do not in _VERBS:
            raise ValueError("do is one of %s" % ", ".join(_VERBS))


@record(frozen=True)
class State:
    """`text` is the app's unit, "" where this host has no such app; `app` is told by `app_view.view`."""

    text: str = ""
    app: Dict[str, Any] = field(default_factory=dict)


def observe(spec: Spec, system: System) -> State:
    """Look at the app, if there is one."""
    text = app_view.installed(system, spec.name).get(spec.name, "")
    if not text:
        return State()
    return State(text, app_view.view(spec.name, text, units.fresh(system, [spec.name])[spec.name]))


def decide(spec: Spec, state: State) -> List[Action]:
    """One action, where the host has the app and it is not in that state yet; a restart is done every time."""
    if not state.text:
        return []
    target, arguments = "process of %s" % spec.name, {"name": spec.name, "text": state.text}
    rests = state.app["state"] in ("stopped", "failed")
    if spec.do == "restart":
        return [Action(Verb.RESTART, target, arguments)]
    if spec.do == "start":
        return [Action(Verb.START, target, arguments)] if rests else []
    return [] if rests else [Action(Verb.STOP, target, arguments)]


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Do it; Refusal with the app's last words where it does not serve then, and it is left as it is."""
    name, begun = action.arguments["name"], time.time()
    if action.verb is Verb.STOP:
        serving.stop(system, name)
        return {}
    serving.restart(system, name, emit)
    seen = serving.watch(system, serving.expectation(name, action.arguments["text"]), emit)
    if seen.problem:
        raise Refusal(
            "app `%s` does not serve" % name,
            serving.with_log(system, name, seen.problem, begun),
            "it was left as it is; see %s" % units.log_place(system, name),
        )
    return {}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`apps`: the app as it is now, or none where the host does not have it."""
    return {"apps": [state.app] if state.text else []}
