"""A host on its way in: what is known of it, what was left on the way, and why it stopped.

A host's error costs its own row, never the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from provision.errors import ProvisionError
from provision.onboarding.keys import PublicKey
from provision.onboarding.newcomers import Newcomer
from provision.transport import Connection, Target

if TYPE_CHECKING:
    from provision.transport.ssh.scan import Scanned

__all__ = ["Row", "each", "ended", "going_on"]


@dataclass(slots=True)
class Row:
    """One host. `left`: what this run has made so far; `next`: the command that goes on from there; `confirmed`: its
    host key was confirmed in this run; `entered`: the inventory has it now.
    """

    newcomer: Newcomer
    written: str
    target: Target
    next: str
    key: PublicKey | None = None
    scanned: Scanned | None = None
    confirmed: bool = False
    connection: Connection | None = None
    left: list[str] = field(default_factory=list)
    entered: bool = False
    error: ProvisionError | None = None

    @property
    def name(self) -> str:
        return self.newcomer.name

    @property
    def code(self) -> int:
        """The host's part of the exit code."""
        if self.error is None:
            return 0
        return 4 if self.error.exit_code == 4 else 2


def going_on(rows: Iterable[Row]) -> list[Row]:
    """Those that nothing stopped so far."""
    return [row for row in rows if row.error is None]


def each(rows: Sequence[Row], action: Callable[[Row], None], *, forks: int) -> list[Row]:
    """Do something to all rows at once; a ProvisionError stops its own row. Gives those that go on."""
    if not rows:
        return []

    def attempt(row: Row) -> None:
        try:
            action(row)
        except ProvisionError as error:
            row.error = error

    with ThreadPoolExecutor(min(forks, len(rows)), thread_name_prefix="onboard") as pool:
        list(pool.map(attempt, rows))
    return going_on(rows)


def ended(rows: Iterable[Row]) -> list[str]:
    """What is said of hosts that stopped: why, what this run has made and leaves, and what to run next."""
    return [
        "\n".join(
            [
                *([str(row.error)] if row.error else []),
                f"left of this run for {row.name}: {', '.join(row.left) or 'nothing'}",
                *([] if row.entered else ["its place in the inventory is as it was"]),
                f"next: {row.next}",
                *([f"or undo it: provision offboard {row.name}"] if row.entered else []),
            ]
        )
        for row in rows
    ]
