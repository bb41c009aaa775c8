"""Waits for a host that reboots: connects again and again until it answers from another boot.

Must not know what a play is; how a connection is made comes as an argument.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from provision.agent.protocol import Ready, Result, Step
from provision.agent.record import record
from provision.errors import ProvisionError
from provision.outcome import PlannedStep
from provision.transport import Unreachable

if TYPE_CHECKING:
    from provision.session import Opened

__all__ = ["Patience", "await_return", "confirmed", "confirming", "patience_for", "reboots", "refuse_here"]

LEAVING = 4.0
"""Seconds that the host surely still needs to go down: an earlier look would only find the old boot."""
PAUSE = 1.0
"""Seconds between two tries."""
LOOK = 0.1
"""Seconds between two looks whether the run has been interrupted."""
FINAL = frozenset(("host-key-unknown", "host-key-changed", "ssh-config"))
"""What no waiting mends."""


@record(frozen=True)
class Patience:
    """How long a host is waited for, in seconds, first without asking, then in all.

    `cancelled` is asked often, `tell` gets the seconds that have passed.
    """

    first: float
    seconds: float
    cancelled: Callable[[], bool]
    tell: Callable[[float], None]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def reboots(item: PlannedStep, result: Result) -> bool:
    """Whether a step that ended has its host go down now."""
    begun = any(action.get("verb") == "reboot" for action in result.actions)
    return item.step.resource == "reboot" and not item.step.check and result.status == "changed" and begun


def patience_for(item: PlannedStep, cancelled: Callable[[], bool], tell: Callable[[float], None]) -> Patience:
    """How long the reboot that a step asks for may take."""
    delay = float(item.step.spec.get("pre_reboot_delay", 0))
    return Patience(LEAVING + delay, delay + float(item.step.spec.get("reboot_timeout", 600)), cancelled, tell)


def refuse_here(host: str, items: Iterable[PlannedStep], opened: Opened | None) -> None:
    """Raises ProvisionError where a step would reboot the machine that this very run works on."""
    for item in items:
        if item.step.resource == "reboot" and opened and opened.here and not item.step.check:
            raise ProvisionError(
                f"`{host}` is this machine, and rebooting it would end this run",
                where=item.where,
                cause="its connection is `local`",
                hint="leave it out with `--limit`, or reboot it by hand",
                exit_code=2,
            )


def confirming(step: Step, boot: str, left: float) -> Step:
    """What is left of a reboot once the host is back from boot `boot`, with `left` seconds for it."""
    spec = {**step.spec, "since": boot, "reboot_timeout": max(1, round(left))}
    return replace(step, spec=spec, notify=[], clears=[])


def confirmed(asked: Result, after: Result, seconds: float) -> Result:
    """One result of both halves: what was done, and whether the host is as wanted."""
    fields = {**after.fields, **asked.fields, "elapsed": round(seconds), "boot_id": after.fields.get("boot_id")}
    status = "failed" if after.status == "failed" else asked.status
    return replace(asked, status=status, fields=fields, error=after.error, seconds=round(asked.seconds + seconds, 3))


def await_return(
    host: str, boot: str, greet: Callable[[], tuple[Opened, Ready]], patience: Patience
) -> tuple[Opened, Ready]:
    """The new connection and its greeting, from another boot than `boot`.

    `greet` connects and hears the agent's greeting. Raises Unreachable when the host does not come back in time, when
    it comes back as another one, and when the run is interrupted.
    """
    begun = patience.clock()
    last = "it still answers from the same boot"
    _pause(patience.first, begun, patience)
    while patience.clock() - begun < patience.seconds:
        if patience.cancelled():
            raise Unreachable("closed", f"the run ended while `{host}` rebooted")
        try:
            opened, ready = greet()
        except ProvisionError as error:
            if getattr(error, "kind", "") in FINAL:
                raise
            last = f"{error.summary}\n{error.cause}".strip()
        else:
            now = ready.facts.get("boot_id")
            if now and now != boot:  # one that does not say is not taken for back
                return opened, ready
            opened.close()
            last = "it still answers from the same boot"
        _pause(PAUSE, begun, patience)
    raise Unreachable(
        "reboot",
        f"`{host}` did not come back within {patience.seconds:g} s of its reboot",
        cause=f"the last try: {last}",
        hint="look at its console; a larger `reboot_timeout` waits longer, and the next run goes on from here",
    )


def _pause(seconds: float, begun: float, patience: Patience) -> None:
    end = patience.clock() + seconds
    while patience.clock() < end and not patience.cancelled():
        patience.sleep(LOOK)
    patience.tell(patience.clock() - begun)
