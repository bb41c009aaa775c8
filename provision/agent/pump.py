"""The agent's first process: moves frames between the control node and the workers, keeps time, and ends it all.

Waits for nothing but in its one select. Must not do what a step says: a worker does.
"""

from __future__ import annotations

import os
import select
import time
from typing import Any, Callable, Deque, Dict, List, Optional

from collections import deque  # isort: skip

from .batch import Batch
from .blobs import Blobs
from .crew import Worker, hire
from .gpus import Question
from .journal import Journal
from .outbox import Outbox
from .protocol import (
    BEAT_EVERY,
    SILENCE,
    Blob,
    Decoder,
    End,
    Fatal,
    HostEvent,
    Need,
    Output,
    ProtocolError,
    Ready,
    Result,
    Step,
    decode,
    encode,
    to_message,
)

__all__ = ["Pump"]

HEEDED = 5.0
"""Seconds from a cancel until a worker that did not heed it is interrupted."""
KILLED = 9.0
"""Seconds from a cancel until a worker that is still there is killed."""
_TERM, _KILL = 15, 9
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
        work: Callable[[Dict[str, Any]], Callable[[int, int], None]],
        busy: Callable[[Optional[str]], None],
    ) -> None:
        self._hello, self._source, self._lock, self._busy = hello, source, lock, busy
        self._run = {"run": str(hello.get("run", "")), "operator": str(hello.get("operator", ""))}
        state = str(hello["state"])
        self._outbox = Outbox(sink, os.path.join(state, "output"))
        self._decoder = Decoder()
        self._journal, self._blobs = Journal(state), Blobs(state)
        self._work = work
        self._facts: Dict[str, Any] = {}
        self._question: Optional[Question] = None
        self._workers: Dict[Optional[str], Worker] = {}
        self._batches: Deque[Batch] = deque()
        self._filling: Dict[int, Batch] = {}
        self._running: Optional[Worker] = None
        self._shared: Dict[str, Any] = {"pending": [], "notes": {}}
        self._over = False
        self._stopping: Optional[float] = None
        self._forced = 0
        self._heard = self._said = time.monotonic()
        self._wake: Optional[int] = None

    def run(self, facts: Dict[str, Any], question: Optional[Question]) -> None:
        """Serve the control node until it is done, gone or silent; no worker is left when it returns."""
        self._wake = _signals()
        self._facts, self._question = facts, question
        if question is None:
            self._ready()
        try:
            while not (self._over and self._running is None and not self._outbox):
                self._turn()
                if self._outbox.closed or (self._over and self._late()):
                    self._stop(now=True)
                    if self._running is None:
                        break
        finally:
            self._dismiss()
            self._blobs.clear()

    def _late(self) -> bool:
        """Whether the last words were not taken in time."""
        return self._stopping is not None and time.monotonic() > self._stopping + KILLED + 1

    # --- one turn of the loop

    def _turn(self) -> None:
        reads = [] if self._over else [self._source]
        reads += [self._wake] if self._wake is not None else []
        reads += self._question.descriptors() if self._question else []
        by_pipe = {worker.reads: worker for worker in self._workers.values()}
        boxes = [self._outbox, *(worker.outbox for worker in by_pipe.values())]
        writes = {box.descriptor: box for box in boxes if box and not box.closed}
        ready, writable, _ = select.select([*reads, *by_pipe], list(writes), [], self._pause())
        for descriptor in writable:
            writes[descriptor].flush()
        for descriptor in ready:
            if descriptor == self._source:
                self._hear()
            elif descriptor == self._wake:
                os.read(descriptor, 64)
                self._end()
            elif descriptor in by_pipe:
                self._hear_worker(by_pipe[descriptor])
            elif self._question and descriptor in self._question.descriptors():
                self._question.take(descriptor)
        self._look_at_the_time()

    def _pause(self) -> float:
        now = time.monotonic()
        times = [self._said + BEAT_EVERY, self._heard + SILENCE]
        if self._question:
            times.append(self._question.deadline)
        if self._stopping is not None:
            times.append(now + 0.2)
        return max(0.0, min(times) - now)

    def _look_at_the_time(self) -> None:
        now = time.monotonic()
        if now > self._said + BEAT_EVERY:
            self._said = now
            if not self._outbox:
                self._outbox.put(_BEAT)
        if not self._over and now > self._heard + SILENCE:
            self._tell(Fatal("silence", "the control node was silent for %d s" % SILENCE, "", ""))
            self._end()
        if self._question and (not self._question.descriptors() or now > self._question.deadline):
            self._facts["gpu"], self._question = self._question.answer(), None
            self._facts["simulated"] = self._facts["gpu"]["simulated"]
            self._ready()
        if self._stopping is not None and self._running is not None:
            self._force(self._running, now - self._stopping)

    def _force(self, worker: Worker, seconds: float) -> None:
        """End what did not heed a cancel, unless it is what must finish."""
        if worker.must_finish:
            return
        if seconds > KILLED and self._forced < 2:
            self._forced = 2
            worker.end_group()
            worker.signal(_KILL)
        elif seconds > HEEDED and self._forced < 1:
            self._forced = 1
            worker.signal(_TERM)
        elif seconds > KILLED + 1:
            self._abandon(worker)

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
                    self._blob(message)
                else:
                    self._obey(message)
        except (ProtocolError, KeyError, TypeError, ValueError) as error:
            self._tell(Fatal("protocol", "the control node broke the protocol", "%s: %s" % _told(error), ""))
            self._end()

    def _obey(self, message: Dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "steps":
            number = message["batch"]
            self._filling.setdefault(number, Batch(number)).steps.extend(message["steps"])
        elif kind == "run":
            self._batches.append(self._filling.pop(message["batch"], Batch(message["batch"])))
            if len(self._batches) == 1:
                self._advance()
        elif kind == "cancel":
            self._over = True
            self._stop(now=bool(message.get("now", True)))
        elif kind == "forget":
            self._journal.forget(message["handlers"])
        elif kind == "bye":
            self._end()
        elif kind != "beat":
            raise ProtocolError("an unknown message %r" % kind[:40])

    def _ready(self) -> None:
        self._tell(Ready(self._facts, self._journal.pending()))

    def _tell(self, event: HostEvent) -> None:
        self._send(encode(to_message(event)))

    def _send(self, frame: bytes) -> None:
        self._said = time.monotonic()
        self._outbox.put(frame)

    def _end(self) -> None:
        """The control node is done or gone: nothing more is begun, and what runs is stopped."""
        self._over = True
        self._stop(now=True)

    def _stop(self, now: bool) -> None:
        if self._running is not None:
            if now and self._stopping is None:
                self._stopping = time.monotonic()
            self._running.send({"type": "cancel", "now": now})
        elif now and self._stopping is None:
            self._stopping = time.monotonic()

    # --- batches

    def _advance(self) -> None:
        """Give the next steps to their worker, or end the batch."""
        batch = self._batches[0]
        user, steps = batch.next_run()
        while steps:
            if self._over:
                self._close_batch()
                return
            try:
                worker = self._workers.get(user) or self._hire(user)
            except (KeyError, OSError) as error:
                if not self._refuse(batch, steps, user, error):
                    self._close_batch()
                    return
                user, steps = batch.next_run()
                continue
            self._running = worker
            for step in steps:
                worker.send({"type": "step", "step": step})
            worker.send({"type": "run", **self._shared})
            return
        self._close_batch()

    def _close_batch(self) -> None:
        """Steps without a result are skipped, and the batch has its end."""
        batch = self._batches.popleft()
        for result in batch.rest():
            self._tell(result)
        self._tell(End(batch.number))
        if self._batches:
            self._advance()

    def _hire(self, user: Optional[str]) -> Worker:
        worker = hire(user, [self._lock] if self._lock >= 0 else [], self._work(self._facts))
        self._workers[user] = worker
        return worker

    def _refuse(self, batch: Batch, steps: List[Dict[str, Any]], user: Optional[str], error: Exception) -> bool:
        """Fail steps whose user nobody can become; whether the batch goes on."""
        unknown = isinstance(error, KeyError)
        failure = {
            "summary": "cannot run as `%s`" % user,
            "cause": "there is no such user" if unknown else str(error),
            "hint": "create the user before" if unknown else "",
        }
        for step in steps:
            self._tell(Result(step["id"], "failed", error=failure))
            batch.ended()
            if step.get("on_failure", "stop") == "stop":
                return False
        return True

    # --- workers

    def _hear_worker(self, worker: Worker) -> None:
        data = os.read(worker.reads, 1 << 18)
        if not data:
            self._worker_died(worker)
            return
        for body in worker.decoder.bodies(data):
            if body.startswith(b'{"type":"output"') and self._outbox.full():
                message: Any = decode(body)
                self._outbox.spool(message["step"], message["text"])
            elif body.startswith((b'{"type":"output"', b'{"type":"started"')):
                self._relay(body)
            elif body.startswith(b'{"type":"progress"'):
                if not self._outbox.full():
                    self._relay(body)
            else:
                self._serve(worker, decode(body), body)

    def _relay(self, body: bytes) -> None:
        self._send(len(body).to_bytes(4, "big") + body)

    def _serve(self, worker: Worker, message: Any, body: bytes) -> None:
        kind = message["type"]
        if kind == "result":
            self._result(message, body)
        elif kind == "group":
            worker.leader = message["leader"]
        elif kind == "must_finish":
            worker.must_finish = message["what"]
            self._busy(message["what"] or None)
        elif kind == "journal":
            step = self._batches[0].current() or {}
            self._journal.notify(step.get("notify", []), self._run["run"])
            worker.send({"type": "answer"})
        elif kind == "need":
            self._need(worker, message["sha256"])
        elif kind == "done":
            self._done(message)

    def _result(self, message: Dict[str, Any], body: bytes) -> None:
        batch = self._batches[0]
        current = batch.current()
        if current is not None:
            self._note(Step(**current), message)
        lost = self._outbox.spooled(message["step"])
        if lost:
            text = "[%d bytes of output are only in %s]\n" % (lost, self._outbox.spool_path(message["step"]))
            self._tell(Output(message["step"], "stderr", text))
        batch.ended()
        self._relay(body)

    def _note(self, step: Step, message: Dict[str, Any]) -> None:
        """Into the journal: what was changed, and handlers that are no longer due."""
        if step.check:
            return
        if message["actions"]:
            values = {key: value for key, value in message.items() if key != "type"}
            self._journal.changed(self._run, step, Result(**values))
        if step.clears and message["status"] != "failed":
            self._journal.forget(step.clears)

    def _need(self, worker: Worker, sha256: str) -> None:
        if self._blobs.have(sha256, worker.uid):
            worker.send({"type": "answer", "path": self._blobs.path(sha256, worker.uid)})
        elif self._blobs.want(sha256, worker.uid):
            self._tell(Need([sha256]))

    def _blob(self, chunk: Blob) -> None:
        paths = self._blobs.take(chunk) or {}
        for worker in self._workers.values():
            if worker.uid in paths:
                worker.send({"type": "answer", "path": paths[worker.uid]})

    def _done(self, message: Dict[str, Any]) -> None:
        self._running = None
        self._shared = {"pending": message["pending"], "notes": message["notes"]}
        if message["stopped"] or self._over:
            self._close_batch()
        else:
            self._advance()

    def _worker_died(self, worker: Worker) -> None:
        """A worker never ends by itself: its step failed, and what it ran must not go on."""
        del self._workers[worker.user]
        worker.end_group()
        ended = worker.await_end(1.0)
        worker.dismiss()
        if worker is self._running:
            self._running = None
            status = worker.status or 0
            how = "signal %d" % (status & 127) if status & 127 else "code %d" % (status >> 8)
            self._lose(
                "the process that ran it ended with %s" % how if ended else "it does not end (pid %d)" % worker.pid
            )

    def _abandon(self, worker: Worker) -> None:
        """Leave a worker that hangs in the kernel to itself; the host stays locked while it lives."""
        del self._workers[worker.user]
        worker.dismiss()
        self._running = None
        self._lose(
            "it hangs in the kernel (pid %d, user %s) and was given up" % (worker.pid, worker.user or "of the agent")
        )

    def _lose(self, cause: str) -> None:
        step = self._batches[0].current()
        if step is not None:
            summary = "`%s` was cancelled" if self._over else "`%s` was ended"
            failure = {"summary": summary % (step.get("name") or step["resource"]), "cause": cause, "hint": ""}
            self._tell(Result(step["id"], "failed", error=failure))
            self._batches[0].ended()
        self._close_batch()

    def _dismiss(self) -> None:
        """No worker outlives the pump, but one that hangs in the kernel."""
        if self._question is not None:
            self._question.give_up()
        for worker in self._workers.values():
            worker.dismiss()
        for worker in self._workers.values():
            if not worker.await_end(1.0):
                worker.end_group()
                worker.signal(_KILL)
                worker.await_end(1.0)


def _told(error: Exception) -> tuple[str, Exception]:
    return type(error).__name__, error


def _signals() -> int:
    """A descriptor that becomes readable when this process is asked to end."""
    import signal

    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    signal.set_wakeup_fd(writes)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    return reads
