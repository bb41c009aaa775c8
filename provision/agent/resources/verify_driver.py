"""Looks at GPUs and their driver. Changes nothing, runs nothing on a GPU; what it finds is in `findings`."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Dict, List, Optional

from ..record import record
from ..system import System
from ..verify.finding import Finding, climb, reached
from ..verify.looking import decide

__all__ = ["Spec", "State", "decide", "fields", "observe"]


@record(frozen=True)
class Spec:
    """What GPUs the host must have, and what its environments ask of the driver.

    - verify_driver:
        floors: {img2video: {driver: "450.80.02", cuda: "11.8", toolkit_driver: "520.61.05", glibc: "2.17"}}
        count: 8
        kind: A100
        mig: false
        deep: false
        deadline: 30

    `floors`: what each environment's lock asks for, by its name, as `conda_env` has it in `floor`. `count` and `kind`
    (part of a name): of the GPUs that the inventory says are there; None: whatever there is. `mig`: whether MIG mode
    must be on; None: as it is. `deep`: read the whole kernel log since the boot, not only what the kernel still has in
    memory. `deadline`: seconds for each program that is asked (nvidia-smi, dmesg). `root`: a folder that stands for /,
    where /proc, /sys, /lib/modules and the like are looked for.

    Checks: driver.floor (subject: environment), driver.glibc, driver.present, driver.answer, driver.library,
    driver.nouveau, driver.module (subject: kernel), driver.count, driver.kind, driver.fabric, and by GPU (subject:
    UUID) driver.mig, driver.ecc, driver.throttling, driver.persistence, driver.mode; driver.xid (subject: PCI address).
    """

    floors: Dict[str, Dict[str, Optional[str]]] = field(default_factory=dict)
    count: Optional[int] = None
    kind: Optional[str] = None
    mig: Optional[bool] = None
    deep: bool = False
    deadline: float = 30.0
    root: str = ""

    def __post_init__(self) -> None:
        if self.count is not None and self.count < 0:
            raise ValueError("count is a number of GPUs")
        if self.deadline <= 0:
            raise ValueError("deadline is seconds, above 0")
        if self.root and not self.root.startswith("/"):
            raise ValueError("root is an absolute path, or empty")


@record(frozen=True)
class State:
    """`findings`; none where a rung below is broken and this one is therefore not `reached`.

    `simulated`: what was looked at is a simulation. `gpus`: each with index, uuid, name, address and driver's answers.
    """

    findings: List[Finding]
    reached: bool = True
    simulated: bool = False
    gpus: List[Dict[str, Any]] = field(default_factory=list)


def observe(spec: Spec, system: System) -> State:
    """Look."""
    from ..verify import driver, gpu_report

    found = climb(system, "driver", lambda: driver.look(spec, system))
    report = gpu_report.known(system)
    return State(found, reached(system, "driver"), bool(report.get("simulated")), report.get("gpus") or [])


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`findings`, `reached`, `gpus` and `simulated`."""
    return {
        "findings": state.findings,
        "reached": state.reached,
        "gpus": state.gpus,
        "simulated": state.simulated,
    }
