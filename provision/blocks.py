"""What becomes of a failure in blocks with `rescue` and `always`: which tasks still run, and whether the host fails.

Pure: of the blocks around a task and what is known of each. A play's tasks stand one behind the other, a block's before
its `rescue`, that before its `always`; each task knows the blocks around it (`Frame`, the outermost first).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from provision.agent.record import record
from provision.errors import ProvisionError
from provision.playbook import Frame

__all__ = ["Blocks", "Broken", "caught", "left", "passes", "rescued_by"]


@record(frozen=True, slots=True)
class Broken:
    """A block in which something failed.

    `state`: "rescued" where its `rescue` runs, "open" where only its `always` does, and the error goes on behind it,
    "over" where nothing of it runs any more.
    """

    state: Literal["rescued", "open", "over"]
    error: ProvisionError | None = None


Blocks = Mapping[str, Broken]
"""The blocks around the host's place in which something failed."""


def passes(frames: Sequence[Frame], blocks: Blocks) -> bool:
    """Whether a task in these frames runs."""
    return all(_runs(frame, blocks.get(frame.block)) for frame in frames)


def _runs(frame: Frame, broken: Broken | None) -> bool:
    if frame.part == "block":
        return broken is None
    if frame.part == "rescue":
        return broken is not None and broken.state == "rescued"
    return broken is None or broken.state != "over"


def rescued_by(frames: Sequence[Frame]) -> bool:
    """Whether a failure in these frames is taken up by a `rescue`."""
    return any(frame.part == "block" and frame.rescue for frame in frames)


def caught(error: ProvisionError, frames: Sequence[Frame], blocks: Blocks) -> tuple[Blocks, ProvisionError | None]:
    """The blocks after a failure in these frames, and the error where none of them keeps it from the host."""
    after = dict(blocks)
    for frame in reversed(frames):
        if frame.part == "block" and frame.rescue:
            after[frame.block] = Broken("rescued")
            return after, None
        if frame.part != "always" and frame.always:
            after[frame.block] = Broken("open", error)
            return after, None
        after[frame.block] = Broken("over")
    return after, error


def left(before: Sequence[Frame], now: Sequence[Frame], blocks: Blocks) -> tuple[Blocks, ProvisionError | None]:
    """The blocks once the host has gone from one place to the next, and the error that a block left behind."""
    stays = {frame.block for frame in now}
    after = dict(blocks)
    for depth in range(len(before) - 1, -1, -1):
        if before[depth].block in stays:
            break
        broken = after.pop(before[depth].block, None)
        if broken and broken.error:
            caught_after, error = caught(broken.error, before[:depth], after)
            after = dict(caught_after)
            if error:
                return after, error
    return after, None
