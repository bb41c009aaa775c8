"""The contract that every resource keeps: specs, actions, refusals.

A resource is one module in `resources/` with a frozen dataclass `Spec`, a frozen dataclass `State` and

    observe(spec: Spec, system: System) -> State        reads only; may raise Refusal
    decide(spec: Spec, state: State) -> List[Action]     pure; an empty list means: already right; may raise Refusal
    apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]
                                                          does one action, decides nothing; its fields are registered
and, only where it needs them,

    fields(spec: Spec, state: State) -> Dict[str, Any]   what `register` keeps of the last state (stat, gpu, ...)
    questions(spec: Spec) -> List[Tuple[str, str]]       what steps of a batch ask together: (kind, subject)
    probe(spec: Spec, state: State, system: System, emit: Emit) -> Optional[Dict[str, Any]]
                                                          a read-only question after everything is right; raises
                                                          Refusal; what it gives is registered too
Specs are flat: str, int, bool, float, None, and lists or maps of these. Limits are checked in `__post_init__`
and raised as ValueError.
"""

from __future__ import annotations

import enum
from dataclasses import field
from typing import Any, Callable, Dict, Optional

from .record import record

__all__ = ["Action", "Emit", "Refusal", "Verb"]


class Verb(enum.Enum):
    """What an action does. A difference is gone once done; an act is done once and judged by its own result.

    The value is `(word in reports, sign in plans, is an act)`.
    """

    CREATE = ("create", "+", False)
    CHANGE = ("change", "~", False)
    REMOVE = ("remove", "-", False)
    INSTALL = ("install", "+", False)
    FLIP = ("flip", ">", False)
    ENABLE = ("enable", "~", False)
    START = ("start", ">", False)
    STOP = ("stop", "x", False)
    RUN = ("run", "!", True)
    RESTART = ("restart", "!", True)
    RELOAD = ("reload", "!", True)
    FETCH = ("fetch", "!", True)
    TOUCH = ("touch", "!", True)
    REBOOT = ("reboot", "!", True)

    @property
    def word(self) -> str:
        return self.value[0]

    @property
    def sign(self) -> str:
        return self.value[1]

    @property
    def act(self) -> bool:
        return self.value[2]


@record(frozen=True)
class Action:
    """One thing to do, found on the host.

    `arguments` is what doing it needs and never leaves the host; `before` and `after` are what is shown
    (text; None: there is nothing there). `must_finish` marks an action that a cancel waits for (package managers).
    `unknown`: of a check, stands for what can only be told once earlier steps are applied.
    """

    verb: Verb
    target: str
    arguments: Dict[str, Any] = field(default_factory=dict)
    before: Optional[str] = None
    after: Optional[str] = None
    must_finish: bool = False
    unknown: bool = False


class Refusal(Exception):
    """A step cannot be done, in the one form of an error: summary, cause, hint; `fields` are registered."""

    def __init__(self, summary: str, cause: str = "", hint: str = "", fields: Optional[Dict[str, Any]] = None) -> None:
        super().__init__(summary)
        self.summary = summary
        self.cause = cause
        self.hint = hint
        self.fields = fields or {}


Emit = Callable[..., None]
"""`emit(output="text", stream="stdout")` for output of a running action, or
`emit(done=3, total=118, unit="packages", label="pytorch")` for its progress."""
