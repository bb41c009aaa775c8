"""Looks whether an app runs from what it should, and serves. Changes nothing; what it finds is in `findings`."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

from .. import units
from ..record import record
from ..system import System
from ..verify.looking import State, decide, fields, looked

__all__ = ["Spec", "State", "decide", "fields", "observe", "questions"]


@record(frozen=True)
class Spec:
    """The app as its own step has it.

    - verify_app:
        app:
          name: img2video
          environment: img2video-torch20-cu118
          directory: /root/Image-to-Video
          command: [python, gradio_app.py, --port, "7860"]
          port: 7860
          health: {path: /}
        restarts: 0
        deadline: 5

    `app`: the spec of the `app` step, word for word with secrets, since what the process carries is compared with it: a
    step that holds secrets is sensitive. `restarts`: this many by systemd since the start are not worth a word.
    `deadline`: seconds for the answer to the health check.

    Checks (subject: the app): apps.unit, apps.state, apps.restarts, apps.digest, apps.port, apps.health.
    """

    app: Dict[str, Any]
    restarts: int = 0
    deadline: float = 5.0

    def __post_init__(self) -> None:
        from . import app

        app.Spec(**self.app)  # raises what it does not take
        if self.deadline <= 0:
            raise ValueError("deadline is seconds, above 0")


def questions(spec: Spec) -> List[Tuple[str, str]]:
    """One question to their keeper, and one to the kernel, serve all apps of a batch."""
    asked, port = [("unit", units.full(spec.app["name"]))], spec.app.get("port")
    return [*asked, ("port", str(port))] if port else asked


def observe(spec: Spec, system: System) -> State:
    """Look."""
    from ..verify import apps

    return looked(system, "apps", lambda: apps.look(spec, system))
