"""What the resources that only look share: their state, that there is never a difference, and what is registered."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional

from ..record import record
from ..resource import Action
from ..system import System
from .finding import Finding, climb, reached

__all__ = ["State", "decide", "fields", "looked"]


@record(frozen=True)
class State:
    """`findings`; none where a rung below is broken and this one is therefore not `reached`.

    `simulated`: whether they rest on simulated parts, None where that is not asked of this look.
    """

    findings: List[Finding]
    reached: bool = True
    simulated: Optional[bool] = None


def looked(system: System, rung: str, look: Callable[[], List[Finding]], *, simulated: bool = False) -> State:
    """The state of a look at a rung; `simulated`: each finding's detail tells whether it rests on simulated parts."""
    found = climb(system, rung, look)
    rests = any(one["detail"].get("simulated") for one in found) if simulated else None
    return State(found, reached(system, rung), rests)


def decide(spec: Any, state: Any) -> List[Action]:  # noqa: ARG001 - as every resource has it
    """Nothing, ever."""
    return []


def fields(spec: Any, state: State) -> Dict[str, Any]:  # noqa: ARG001 - as every resource has it
    """`findings` and `reached`, and `simulated` where that is asked."""
    told = {"findings": state.findings, "reached": state.reached}
    return told if state.simulated is None else {**told, "simulated": state.simulated}
