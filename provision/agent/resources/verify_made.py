"""Lists what provision made on a host: environments, apps, and paths by its journal. Changes nothing."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Dict, List

from ..record import record
from ..system import System
from ..verify.looking import decide

__all__ = ["Spec", "State", "decide", "fields", "observe"]


@record(frozen=True)
class Spec:
    """Where environments live.

        verify_made:
          roots: [/opt/conda]

    It finds nothing wrong: what of it no play names any more is the control node's to say.
    """

    roots: List[str] = field(default_factory=lambda: ["/opt/conda"])

    def __post_init__(self) -> None:
        for root in self.roots:
            if not root.startswith("/"):
                raise ValueError("roots: `%s` is not an absolute path" % root)


@record(frozen=True)
class State:
    """What was found, as `provision_agent.verify.made` tells it."""

    environments: List[Dict[str, Any]]
    apps: List[Dict[str, Any]]
    paths: List[Dict[str, Any]]
    crontab: List[Dict[str, Any]] = field(default_factory=list)


def observe(spec: Spec, system: System) -> State:
    """Look."""
    from ..verify import made

    entries = made.crontab_entries(system)
    return State(made.environments(system, spec.roots), made.applications(system), made.paths(system), entries)


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`environments`, `apps`, `paths` and `crontab`."""
    found = {"environments": state.environments, "apps": state.apps, "paths": state.paths}
    return {**found, "crontab": state.crontab}
