"""Looks at a host itself: clock, disks, memory, mounts. Changes nothing; what it finds is in `findings`."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Dict, List

from ..record import record
from ..system import System
from ..verify.finding import Finding, climb, reached
from ..verify.looking import decide

__all__ = ["Spec", "State", "decide", "fields", "observe"]


@record(frozen=True)
class Spec:
    """What the host must have.

    - verify_system:
        time: 1795560000.5
        skew: 5
        disks: {/: 1073741824, /opt/conda: 5368709120}
        memory_mb: 256
        mounts: {/data: nfs}
        deadline: 5

    `time`: the control node's clock, in seconds since the epoch, as late as it can be taken before the step is sent; 0:
    the clock is not judged. `skew`: seconds that the host's clock may be off. `disks`: path to the least bytes that
    are free there; one that does not exist is judged by what is above it. `memory_mb`: the least that is available.
    `mounts`: mount point to the kind of its file system (`nfs` is also nfs4), "" for any. Each of them, and each
    network file system that is mounted, must answer within `deadline` seconds; all are asked at once.

    Checks: system.clock, system.disk (subject: path), system.memory, system.mount (subject: mount point).
    """

    time: float = 0.0
    skew: float = 5.0
    disks: Dict[str, int] = field(default_factory=lambda: {"/": 1 << 30})
    memory_mb: int = 256
    mounts: Dict[str, str] = field(default_factory=dict)
    deadline: float = 5.0

    def __post_init__(self) -> None:
        for path in [*self.disks, *self.mounts]:
            if not path.startswith("/"):
                raise ValueError("`%s` is not an absolute path" % path)
        if self.deadline <= 0 or self.skew <= 0:
            raise ValueError("deadline and skew are seconds, above 0")


@record(frozen=True)
class State:
    """`findings`; none where a rung below is broken and this one is therefore not `reached`. `time`: of the host."""

    findings: List[Finding]
    reached: bool = True
    time: float = 0.0


def observe(spec: Spec, system: System) -> State:
    """Look."""
    import time

    from ..verify import host

    now = time.time()
    return State(climb(system, "system", lambda: host.look(spec, system, now)), reached(system, "system"), now)


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`findings`, `reached`, and the host's `time`, by which who measured the way can judge its clock better."""
    return {"findings": state.findings, "reached": state.reached, "time": state.time}
