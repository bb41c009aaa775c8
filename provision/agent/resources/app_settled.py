"""Whether apps that were started keep serving: all of a host's apps are watched together, once for each section.

Compiled at the end of a section that has apps, and does nothing to apps that have run for long enough. An app that does
not stay up goes back to what was kept with its environment when that last stayed up; where an app does stay up, its
unit is kept so. Must not start anything new.
"""

from __future__ import annotations

from typing import Any, Dict, List

from .. import generations, settling
from ..record import record
from ..resource import Action, Emit
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe", "probe"]


@record(frozen=True)
class Spec:
    """The apps, each with its name, environment and the root of its environments.

    app_settled:
      apps: [{name: img2video, environment: img2video-torch20-cu118, root: /opt/conda}]
    """

    apps: List[Dict[str, str]]


@record(frozen=True)
class State:
    """`apps`: those whose unit is there. In a check none is looked at, as nothing was started."""

    apps: List[settling.App]


def observe(spec: Spec, system: System) -> State:
    """Look at units and at how long their processes have run."""
    return State([] if system.check else settling.found(system, spec.apps))


def decide(spec: Spec, state: State) -> List[Action]:
    """Never anything to do: what is watched was changed by the steps before."""
    return []


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Nothing: there are no actions."""
    raise NotImplementedError(action.verb.word)


def probe(spec: Spec, state: State, system: System, emit: Emit) -> Dict[str, Any]:
    """Watch those that are young; Refusal, with what served before put back, for those that do not stay up."""
    young = [app for app in state.apps if app.watched]
    failed = settling.watch(system, young, emit) if young else []
    for app in state.apps:
        if app.right and app.name not in [fall.app.name for fall in failed]:
            _keep(system, app)
    if failed:
        raise settling.refusal(system, failed, emit)
    return {"watched": [app.name for app in young]}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`apps`: their names."""
    return {"apps": [app["name"] for app in spec.apps]}


def _keep(system: System, app: settling.App) -> None:
    """A unit that stays up on the generation that the link leads to is what a later failure or rollback goes to."""
    now = generations.current(system, app.root, app.environment)
    if now and now.path + "/" in app.text:
        generations.remember_units(system, now, {app.name: app.text})
