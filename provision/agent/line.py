"""A worker's line to the pump: events out, questions and their answers, and whether the run was cancelled."""

from __future__ import annotations

import os
import select
import time
from collections import deque
from typing import Any, Deque, Dict, List, Optional, Tuple

from .protocol import Decoder, HostEvent, Result, Started, encode, to_message
from .resource import Refusal
from .spawn import Cancelled, Watch

__all__ = ["Line"]

_HELD = 0.01


class Line(Watch):
    """Two pipes to the pump and back. The pump never waits for a worker, so writing cannot lock both."""

    def __init__(self, reads: int, writes: int, lock: int = -1) -> None:
        self.descriptor: Optional[int] = reads
        self.must_finish = False
        self.kept: Tuple[int, ...] = ()
        self._lock = lock
        self._writes = writes
        self._decoder = Decoder()
        self._inbox: Deque[Dict[str, Any]] = deque()
        self._cancelled = self._stopping = False
        self._held: List[bytes] = []
        self._held_since = 0.0

    def send(self, message: Dict[str, Any]) -> None:
        """Send a message of our own to the pump."""
        self._write(encode(message))

    def event(self, event: HostEvent) -> None:
        """Send what the control node is to know; of quick steps several together, each within about 10 ms."""
        frame = encode(to_message(event))
        if not isinstance(event, (Started, Result)):
            self._write(frame)
            return
        now = time.monotonic()
        self._held_since = self._held_since if self._held else now
        self._held.append(frame)
        if now - self._held_since > _HELD:
            self.flush()

    def flush(self) -> None:
        """Send what is held; called before anything that may take long."""
        if self._held:
            self._write(b"")

    def receive(self) -> Dict[str, Any]:
        """The next message; Cancelled when the pump is gone."""
        while not self._inbox:
            self._wait()
        return self._inbox.popleft()

    def ask(self, question: Dict[str, Any]) -> Dict[str, Any]:
        """Send a question and wait for its answer; raises Cancelled, and Refusal where the pump could not do it."""
        self.send(question)
        while True:
            # looking may read the answer, so it comes before the search, and the search before the wait
            if self.cancelled():
                raise Cancelled
            answer = next((message for message in self._inbox if message["type"] == "answer"), None)
            if answer is not None:
                break
            self._wait()
        self._inbox.remove(answer)
        if "error" in answer:
            raise Refusal(answer["error"], answer["cause"], answer.get("hint", ""))
        return answer

    def action(self, must_finish: str) -> None:
        """From here on an action runs that a cancel waits for, "" for one that it ends; it keeps the host's lock."""
        if must_finish or self.must_finish:
            self.send({"type": "must_finish", "what": must_finish})
        self.must_finish = bool(must_finish)
        self.kept = (self._lock,) if must_finish and self._lock >= 0 else ()

    def blob(self, sha256: str) -> str:
        """The path of a local file with that content; raises Cancelled."""
        return str(self.ask({"type": "need", "sha256": sha256})["path"])

    def cancelled(self) -> bool:
        """Whether what runs is to be ended now; never while it must finish."""
        self._look()
        return self._cancelled and not self.must_finish

    def stopping(self) -> bool:
        """Whether no further step, or action, is to be started."""
        self._look()
        return self._stopping

    def group(self, leader: int) -> None:
        """The pump knows the running group, to end it should this worker die."""
        self.send({"type": "group", "leader": leader})

    def interrupt(self) -> None:
        """The signal that follows a cancel that was not heeded: ends what runs, wherever it is."""
        self._cancelled = self._stopping = True
        if not self.must_finish:
            raise Cancelled

    def _look(self) -> None:
        while self.descriptor is not None and select.select([self.descriptor], [], [], 0)[0]:
            self._read(self.descriptor)

    def _wait(self) -> None:
        if self.descriptor is None:
            raise Cancelled
        self._read(self.descriptor)

    def _read(self, descriptor: int) -> None:
        data = os.read(descriptor, 65536)
        if not data:
            self._pump_gone()
            return
        for message in self._decoder.feed(data):
            if not isinstance(message, dict):
                continue
            if message["type"] == "cancel":
                self._stopping = True
                self._cancelled = self._cancelled or bool(message["now"])
            else:
                self._inbox.append(message)

    def _pump_gone(self) -> None:
        """What must finish does; all else ends here, whoever called."""
        self._cancelled = self._stopping = True
        if not self.must_finish:
            raise Cancelled
        self.descriptor = None

    def _write(self, data: bytes) -> None:
        data, self._held = b"".join((*self._held, data)), []
        try:
            while data:
                data = data[os.write(self._writes, data) :]
        except BrokenPipeError:
            self._pump_gone()
