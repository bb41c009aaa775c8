"""What a fault is: when it comes, what a run may come to under it, which words must name it. Knows no fault itself."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from fault_site import PLAYBOOK, Run, Site

Phase = Literal["before", "during"]
Body = Callable[["Trial"], Iterator[None]]
KINDS: dict[str, Kind] = {}


@dataclass
class Trial:
    """One fault at one site: what the run is given, and what was measured."""

    site: Site
    rng: random.Random
    folder: Path
    argv: list[str] = field(default_factory=list)
    rerun: list[str] = field(default_factory=list)
    inventory: Path | None = None
    playbook: str = PLAYBOOK
    environment: dict[str, str] = field(default_factory=dict)
    run: Run | None = None
    at: float = 0.0
    figures: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    strike: Callable[[], object] = print
    """What a fault does that is prepared before the run and strikes within it."""
    proof: Callable[[], object] = bool
    """What must hold once the next run is over, besides what must always; raises AssertionError."""

    @property
    def under_way(self) -> Run:
        assert self.run
        return self.run

    def shell(self, text: str, *, check: bool = True) -> str:
        """Something done by hand on the host that is hit."""
        return self.site.hit.run(["timeout", "40", "sh", "-c", text], check=check).stdout

    def within(self, what: str, seconds: float, limit: float) -> None:
        """Write a time down, and hold it against its limit."""
        self.figures[what] = seconds
        if seconds > limit:
            self.problems.append(f"{what}: {seconds:.1f} s, over {limit:g} s")


@dataclass(frozen=True)
class Kind:
    """A kind of fault. `codes`: what the run may end with, and words that its report then must have.

    `noticed`: seconds from the fault to the report of the host's loss. `rebuild`: an environment is built meanwhile.
    `undoes`: what the run did vanishes with the fault. `moment`: the task within which it comes, else seeded.
    `stale`: the app was started on another configuration, which stands in its file.
    """

    name: str
    phase: Phase
    body: Callable[[Trial], AbstractContextManager[None]]
    codes: dict[int, str]
    rebuild: bool = True
    noticed: float = 0.0
    undoes: bool = False
    seconds: float = 150.0
    moment: str = ""
    stale: bool = False

    def explained(self, code: int, said: str) -> bool:
        return code in self.codes and bool(re.search(self.codes[code], said, re.IGNORECASE | re.DOTALL))


def kind(name: str, phase: Phase, codes: dict[int, str], **more: Any) -> Callable[[Body], Body]:
    """Makes a generator function (the fault, a yield, the way back) a kind of fault."""

    def known(body: Body) -> Body:
        KINDS[name] = Kind(name, phase, contextmanager(body), codes, **more)
        return body

    return known
