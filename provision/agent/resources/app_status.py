"""What the apps of a host do; changes nothing."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Dict, List, Optional

from .. import app_view, units
from ..record import record
from ..resource import Action, Emit
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]


@record(frozen=True)
class Spec:
    """One app, or all that provision made.

    app_status:
      name: img2video
    """

    name: Optional[str] = None


@record(frozen=True)
class State:
    """Each app as `app_view.view` tells it."""

    apps: List[Dict[str, Any]] = field(default_factory=list)


def observe(spec: Spec, system: System) -> State:
    """Read the units, and ask their keeper once for all."""
    texts = app_view.installed(system, spec.name)
    shown = units.show(system, sorted(texts)) if texts else {}
    return State([app_view.view(name, texts[name], shown[name]) for name in sorted(texts)])


def decide(spec: Spec, state: State) -> List[Action]:
    """Nothing, ever."""
    return []


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """There is nothing to apply."""
    return {}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`apps`, sorted by name."""
    return {"apps": state.apps}
