"""What waits to be written to a pipe that may be slow; whoever fills it never waits.

Beyond caps, output of steps is written to a file on the host and counted; nothing else is ever dropped.
"""

from __future__ import annotations

import os
from collections import deque
from itertools import islice
from typing import Deque, Dict, Optional, Tuple

__all__ = ["Outbox"]

CAP = 4 << 20
"""Bytes that may wait before output of steps goes to a file."""
_AT_ONCE = 64
LIVE_LIMIT = 16 << 20
"""Bytes of output that go to the control node in one run, which cuts a host off that sends 64 MiB in all."""
SPOOL_LIMIT = 256 << 20
"""Bytes of output that are kept on the host in one run; more are counted only."""


class Outbox:
    """The frames for one descriptor, which becomes non-blocking."""

    def __init__(self, descriptor: int, spool: Optional[str] = None) -> None:
        self.descriptor = descriptor
        self.closed = False
        self._spool = spool
        self._begun = False
        self._frames: Deque[bytes] = deque()
        self._waiting = 0
        self._live = 0
        self._kept = 0
        self._spooled: Dict[int, Tuple[int, int]] = {}
        os.set_blocking(descriptor, False)

    def __bool__(self) -> bool:
        return bool(self._frames)

    def put(self, frame: bytes) -> None:
        """Add a frame, whatever waits; `flush` writes it, so that what comes together goes together."""
        if self.closed:
            return
        self._frames.append(frame)
        self._waiting += len(frame)

    def full(self) -> bool:
        """Whether so much waits, or went out, that output of steps should not be added."""
        return self._waiting > CAP or self._live > LIVE_LIMIT

    def put_output(self, frame: bytes) -> None:
        """Add a frame of a step's output, which counts for what may go out in one run."""
        self._live += len(frame)
        self.put(frame)

    def spool(self, step: int, text: str) -> None:
        """Write a step's output to the file for it instead."""
        data = text.encode("utf-8", "backslashreplace")
        kept, lost = self._spooled.get(step, (0, 0))
        if self._kept_in_file(step, data, not kept):
            self._kept += len(data)
            self._spooled[step] = kept + len(data), lost
        else:
            self._spooled[step] = kept, lost + len(data)

    def _kept_in_file(self, step: int, data: bytes, new: bool) -> bool:
        if self._spool is None or self._kept + len(data) > SPOOL_LIMIT:
            return False
        try:
            self._begin_spool(self._spool)
            with open(self.spool_path(step), "wb" if new else "ab") as file:
                file.write(data)
        except OSError:
            return False  # a full disk must not end the run; the bytes are counted
        return True

    def _begin_spool(self, folder: str) -> None:
        """Make the folder, and remove what an earlier run left there."""
        if self._begun:
            return
        self._begun = True
        os.makedirs(folder, 0o700, exist_ok=True)
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))

    def spool_path(self, step: int) -> str:
        """The file that a step's output goes to."""
        return os.path.join(self._spool or "", "output-of-step-%d" % step)

    def spooled(self, step: int) -> Tuple[int, int]:
        """Bytes of a step's output that are in its file only, and that are nowhere; asked once, when it ended."""
        return self._spooled.pop(step, (0, 0))

    def flush(self) -> bool:
        """Write what the descriptor takes; whether it took anything. `closed` is set when the other side is gone."""
        taken = False
        while self._frames:
            try:
                count = os.writev(self.descriptor, list(islice(self._frames, _AT_ONCE)))
            except BlockingIOError:
                break
            except OSError:
                self.closed = True
                self._frames.clear()
                self._waiting = 0
                break
            taken = True
            self._waiting -= count
            self._written(count)
        return taken

    def _written(self, count: int) -> None:
        """Drop what was written, from the front."""
        while count >= len(self._frames[0]):
            count -= len(self._frames.popleft())
            if not count:
                return
        self._frames[0] = self._frames[0][count:]
