"""The agent's first process: moves frames between the control node and the workers, keeps time, and ends it all.

Waits for nothing but in its one select. Must not know steps: `dispatch.py` takes them through the workers.
"""

from __future__ import annotations

import os
import select
import time
from typing import Any, Callable, Dict, Optional

from .crew import Work
from .dispatch import GIVEN_UP, Dispatch
from .gpus import Question
from .outbox import Outbox
from .protocol import (
    BEAT_EVERY,
    SILENCE,
    Blob,
    Decoder,
    Fatal,
    ProtocolError,
    Ready,
    encode,
)

__all__ = ["Pump"]

_BEAT = encode({"type": "beat"})


class Pump:
    """One run on this host, from `ready` to the end. `work` makes what a worker does, from the facts.

    `lock` is the descriptor of the host's lock, or -1; `busy` is told what runs that must finish, None at its end.
    """

    def __init__(
        self,
        hello: Dict[str, Any],
        source: int,
        sink: int,
        lock: int,
        work: Callable[[Dict[str, Any]], Work],
        busy: Callable[[Optional[str]], None],
    ) -> None:
        run = {"run": str(hello.get("run", "")), "operator": str(hello.get("operator", ""))}
        if hello.get("playbook"):
            run["playbook"] = str(hello["playbook"])
        state = str(hello["state"])
        self._source = source
        self._outbox = Outbox(sink, os.path.join(state, "output"))
        self._decoder = Decoder()
        self._facts: Dict[str, Any] = {}
        self._question: Optional[Question] = None
        self._dispatch = Dispatch(run, state, self._outbox, lock, lambda: work(self._facts), busy)
        self._over = self._deaf = False
        self._deadline = float("inf")
        self._heard = self._beaten = time.monotonic()
        self._wake: Optional[int] = None

    def run(self, facts: Dict[str, Any], question: Optional[Question]) -> None:
        """Serve the control node until it is done, gone or silent; no worker is left when it returns."""
        self._wake = _signals()
        self._facts, self._question = facts, question
        if question is None:
            self._ready()
        try:
            while not self._over or not self._dispatch.idle or (self._outbox and time.monotonic() < self._deadline):
                self._turn()
        finally:
            if self._question is not None:
                self._question.give_up()
            self._dispatch.end()

    # --- one turn of the loop

    def _turn(self) -> None:
        workers = self._dispatch.workers()
        reads = [*workers] if self._deaf else [self._source, *workers]
        reads += [self._wake] if self._wake is not None else []
        reads += self._question.descriptors() if self._question else []
        boxes = [self._outbox, *(worker.outbox for worker in workers.values())]
        writes = [box.descriptor for box in boxes if box]
        ready, _, _ = select.select(reads, writes, [], self._pause())
        for descriptor in ready:
            if descriptor == self._source:
                self._hear()
            elif descriptor in workers:
                self._dispatch.hear(workers[descriptor])
            elif descriptor == self._wake:
                os.read(descriptor, 64)
                self._end()
            elif self._question and descriptor in self._question.descriptors():
                self._question.take(descriptor)
        self._look_at_the_time()
        for box in (self._outbox, *(worker.outbox for worker in self._dispatch.workers().values())):
            box.flush()

    def _pause(self) -> float:
        """Seconds until something is due."""
        now = time.monotonic()
        times = [self._beaten + BEAT_EVERY]
        if not self._deaf:
            times.append(self._heard + SILENCE)
        if self._question:
            times.append(self._question.deadline)
        if self._over:
            times.append(now + 0.2)
        return max(0.0, min(times) - now)

    def _look_at_the_time(self) -> None:
        now = time.monotonic()
        if now >= self._beaten + BEAT_EVERY:
            self._beaten = now
            if not self._outbox:
                self._outbox.put(_BEAT)
        if not self._deaf and now >= self._heard + SILENCE:
            self._dispatch.tell(Fatal("silence", "the control node was silent for %d s" % SILENCE, "", ""))
            self._end()
        if self._outbox.closed and not self._deaf:
            self._end()
        if self._question and (not self._question.descriptors() or now >= self._question.deadline):
            self._facts["gpu"], self._question = self._question.answer(), None
            self._facts["simulated"] = self._facts["gpu"]["simulated"]
            self._ready()
        self._dispatch.look_at_the_time()

    def _ready(self) -> None:
        self._dispatch.tell(Ready(self._facts, self._dispatch.journal.pending()))

    # --- the control node

    def _hear(self) -> None:
        data = os.read(self._source, 1 << 18)
        if not data:
            self._end()
            return
        self._heard = time.monotonic()
        try:
            for message in self._decoder.feed(data):
                if isinstance(message, Blob):
                    self._dispatch.blob(message)
                else:
                    self._obey(message)
        except (ProtocolError, KeyError, TypeError, ValueError) as error:
            cause = "%s: %s" % (type(error).__name__, error)
            self._dispatch.tell(Fatal("protocol", "the control node broke the protocol", cause, ""))
            self._end()

    def _obey(self, message: Dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "steps":
            self._dispatch.add(message["batch"], message["steps"])
        elif kind == "run":
            self._dispatch.run(message["batch"])
        elif kind == "forget":
            self._dispatch.journal.forget(message["handlers"])
        elif kind == "cancel":
            self._over = True
            self._dispatch.stop(now=bool(message.get("now", True)))
            self._deadline = time.monotonic() + GIVEN_UP
        elif kind == "bye":
            self._end()
        elif kind != "beat":
            raise ProtocolError("an unknown message %r" % kind[:40])

    def _end(self) -> None:
        """The control node is done or gone: nothing more is begun, and what runs is stopped."""
        self._over = self._deaf = True
        self._dispatch.stop(now=True)
        self._deadline = time.monotonic() + GIVEN_UP


def _signals() -> int:
    """A descriptor that becomes readable when this process is asked to end."""
    import signal

    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    signal.set_wakeup_fd(writes)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    return reads
