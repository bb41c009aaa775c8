"""Multiplies a matrix on every GPU that nobody uses. Changes nothing; what it finds is in `findings`."""

from __future__ import annotations

from dataclasses import field
from typing import Dict, Optional

from ..record import record
from ..system import System
from ..verify.looking import State, decide, fields, looked

__all__ = ["Spec", "State", "decide", "fields", "observe"]


@record(frozen=True)
class Spec:
    """Which environment's torch computes, and what it must say of itself.

        verify_compute:
          name: img2video-torch20-cu118
          lock: 0f343b0931126a20f133d67c2b018a3b5d1a3a1ae8b0c4d0c3c1a3b9d1f0e2a4
          expect: {torch: 2.0.1, cuda: "11.8"}
          user: video

    `lock`: whose newest generation is used; None: what the environment's link leads to. `expect`: versions, as in
    `conda_env`; an environment without `torch` there is skipped. `busy`: also compute on a GPU that is in use or
    exclusive. `product`: false: compare versions only, as they were seen when the generation was built. At most
    `memory_mb` and `seconds` are used on each GPU. `deadline`: seconds until torch must be loaded; `seconds` for each
    GPU come on top.

    Checks: compute.torch and compute.cuda (subject: the environment), compute.product (subject: a GPU's UUID, or the
    environment where there is none).
    """

    name: str
    expect: Dict[str, str] = field(default_factory=dict)
    lock: Optional[str] = None
    root: str = "/opt/conda"
    user: str = "root"
    busy: bool = False
    product: bool = True
    memory_mb: int = 256
    seconds: float = 2.0
    deadline: float = 120.0

    def __post_init__(self) -> None:
        if not self.name or self.name.startswith(".") or "/" in self.name:
            raise ValueError("name: `%s` is no environment's name" % self.name)
        if not self.root.startswith("/"):
            raise ValueError("root: `%s` is not an absolute path" % self.root)
        if self.deadline <= 0 or self.seconds <= 0:
            raise ValueError("deadline and seconds are above 0")
        if self.memory_mb < 16:
            raise ValueError("memory_mb: a product takes 16 MiB at least")


def observe(spec: Spec, system: System) -> State:
    """Look."""
    from ..verify import compute

    return looked(system, "compute", lambda: compute.look(spec, system), simulated=True)
