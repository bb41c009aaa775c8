"""Tells when files were changed and by whom, and which run last made them. Changes nothing, judges nothing."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Dict, List

from ..record import record
from ..system import System
from ..verify.looking import decide

__all__ = ["Spec", "State", "decide", "fields", "observe"]


@record(frozen=True)
class Spec:
    """The paths, whether something is there or not.

        verify_traces:
          paths: [/etc/web.conf]

    Field `traces`, by path: `since` (seconds of the epoch; where nothing is there, the time of the folder above), `by`
    (owners of what is there) and `made` (the last line of the host's journal that names the path).
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    paths: List[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for path in self.paths:
            if not path.startswith("/"):
                raise ValueError("`%s` is not an absolute path" % path)


@record(frozen=True)
class State:
    """What is known of each path."""

    traces: Dict[str, Dict[str, Any]]


def observe(spec: Spec, system: System) -> State:
    """Look."""
    return State({path: _traces(path, system) for path in spec.paths})


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`traces`."""
    return {"traces": state.traces}


def _traces(path: str, system: System) -> Dict[str, Any]:
    from ..verify import traces

    def names(line: Dict[str, Any]) -> bool:
        return any(action.get("target") == path for action in line.get("actions") or ())

    since, by = traces.of_files("/", [path])
    return {"since": since, "by": by, "made": traces.journal(system, names)}
