"""Imports what an environment declares, as its app's user. Changes nothing; what it finds is in `findings`."""

from __future__ import annotations

from dataclasses import field
from typing import List, Optional

from ..record import record
from ..system import System
from ..verify.looking import State, decide, fields, looked

__all__ = ["Spec", "State", "decide", "fields", "observe"]


@record(frozen=True)
class Spec:
    """What is imported in which environment, and as whom.

        verify_imports:
          name: img2video-torch20-cu118
          lock: 0f343b0931126a20f133d67c2b018a3b5d1a3a1ae8b0c4d0c3c1a3b9d1f0e2a4
          imports: [torch, gradio]
          user: video

    `lock`: whose newest generation is used; None: what the environment's link leads to. `imports`: as in `conda_env`.
    Without `deep` nothing is run where they were imported when the generation was built, under the driver that is
    there now, and `user` may read it. `deadline`: seconds for all of them.

    Check (subject: the environment): imports.declared.
    """

    name: str
    imports: List[str] = field(default_factory=list)
    lock: Optional[str] = None
    root: str = "/opt/conda"
    user: str = "root"
    deep: bool = False
    deadline: float = 300.0

    def __post_init__(self) -> None:
        if not self.name or self.name.startswith(".") or "/" in self.name:
            raise ValueError("name: `%s` is no environment's name" % self.name)
        if not self.root.startswith("/"):
            raise ValueError("root: `%s` is not an absolute path" % self.root)
        if self.deadline <= 0:
            raise ValueError("deadline is seconds, above 0")


def observe(spec: Spec, system: System) -> State:
    """Look."""
    from ..verify import imports

    return looked(system, "imports", lambda: imports.look(spec, system), simulated=True)
