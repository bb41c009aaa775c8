"""Goes back to the generation that served before: its apps' units, then the link; and holds the lock that it left.

Must not build anything. A kill in between leaves the link where it was, so that the same command goes on.
"""

from __future__ import annotations

import os
from dataclasses import field
from typing import Any, Dict, List, Tuple

from .. import flipping, generations, serving
from ..record import record
from ..resource import Action, Emit, Refusal, Verb
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]


@record(frozen=True)
class Spec:
    """The environment that goes back to its previous generation.

    conda_rollback:
      name: img2video-torch20-cu118
    """

    name: str
    root: str = "/opt/conda"


@record(frozen=True)
class State:
    """`serves` and `previous` are paths, "" for none; `left` is the lock that serves. `done`: by this very step."""

    serves: str
    left: str
    previous: str
    units: Dict[str, str] = field(default_factory=dict)
    done: bool = False
    simulated: bool = False


def observe(spec: Spec, system: System) -> State:
    """Look at the link and at what served before."""
    now = generations.current(system, spec.root, spec.name)
    done = bool(system.notes.get(_note(spec)))
    before = None if done else generations.previous(system, spec.root, spec.name)
    return State(
        serves=now.path if now else "",
        left=now.lock if now else "",
        previous=before.path if before else "",
        units=generations.remembered_units(system, before) if before else {},
        done=done,
        simulated=bool(now and generations.simulated(system, now.path)),
    )


def decide(spec: Spec, state: State) -> List[Action]:
    """One FLIP back; Refusal where nothing served before."""
    if state.done:
        return []
    if not state.serves:
        raise Refusal(
            "environment `%s` cannot be rolled back" % spec.name,
            "`%s` is no link to a generation" % generations.link_path(spec.root, spec.name),
            "only what `apply` made serve can be rolled back",
        )
    if not state.previous:
        raise Refusal(
            "environment `%s` has no generation to go back to" % spec.name,
            "none that is kept served before `%s`" % os.path.basename(state.serves),
            "put the former environment.yml and its lock back, and `apply`",
        )
    arguments = {"spec": spec, "previous": state.previous, "left": state.left, "units": state.units}
    return [Action(Verb.FLIP, generations.link_path(spec.root, spec.name), arguments, *_shown(state))]


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Hold the lock that is left, put the units back and watch them, set the link; Refusal for an app that is ill."""
    spec: Spec = action.arguments["spec"]
    with generations.lock_environment(system, spec.root, spec.name):
        before = generations.previous(system, spec.root, spec.name)
        if before is None or before.path != action.arguments["previous"]:
            raise Refusal("environment `%s` was changed by somebody else" % spec.name, "", "run again")
        generations.hold(system, spec.root, spec.name, action.arguments["left"])
        report = serving.put_back(system, action.arguments["units"], emit)
        flipping.flip(system, spec.root, spec.name, before)
    system.notes[_note(spec)] = True
    _check(spec, before.path, report)
    return {"units": sorted(report)}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """The generation that serves."""
    return {"generation": state.serves, "name": spec.name, "simulated": state.simulated}


def _check(spec: Spec, path: str, report: Dict[str, str]) -> None:
    ill = ["`%s`: %s" % (app, problem) for app, problem in sorted(report.items()) if problem]
    if ill:
        raise Refusal(
            "environment `%s` was rolled back, but not all of its apps serve" % spec.name,
            "\n".join(ill),
            "`%s` serves now; `provision app logs` shows what the app says" % os.path.basename(path),
        )


def _shown(state: State) -> Tuple[str, str]:
    apps = ["%s.service" % app for app in sorted(state.units)]
    return os.path.basename(state.serves), "\n".join([os.path.basename(state.previous), *apps])


def _note(spec: Spec) -> str:
    return "rolled back: %s/%s" % (spec.root, spec.name)
