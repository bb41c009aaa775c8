"""Takes batches through the workers: who runs which steps when, and what becomes of what they say.

Must not wait for anything: the pump tells it what came and what time it is. Must not do what a step says.
"""

from __future__ import annotations

import os
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Optional

from .batch import Batch
from .blobs import PATIENCE, Blobs
from .crew import Work, Worker, hire
from .journal import Journal
from .outbox import Outbox
from .protocol import Blob, End, HostEvent, Need, Output, Result, Step, decode, encode, to_message

__all__ = ["GIVEN_UP", "Dispatch"]

HEEDED = 5.0
"""Seconds from a cancel until a worker that did not heed it is interrupted."""
KILLED = 9.0
"""Seconds from a cancel until a worker that is still there is killed."""
GIVEN_UP = 10.0
"""Seconds from a cancel until a worker that even then is there is left to itself."""
_TERM, _KILL = 15, 9
_DISK = "see that its disk is writable and not full"


class Dispatch:
    """The batches and workers of one run. `work` makes what a worker does.

    `lock` is the descriptor of the host's lock, or -1; `busy` is told what runs that must finish, None at its end.
    """

    def __init__(
        self,
        run: Dict[str, str],
        state: str,
        outbox: Outbox,
        lock: int,
        work: Callable[[], Work],
        busy: Callable[[Optional[str]], None],
    ) -> None:
        self._run, self._outbox, self._lock, self._work, self._busy = run, outbox, lock, work, busy
        self.journal = Journal(state)
        self._blobs = Blobs(state)
        self._workers: Dict[Optional[str], Worker] = {}
        self._running: Optional[Worker] = None
        self._batches: Deque[Batch] = deque()
        self._filling: Dict[int, Batch] = {}
        self._shared: Dict[str, Any] = {"pending": [], "notes": {}, "failed": False}
        self._closing = False
        self._cancelled: Optional[float] = None
        self._forced = 0

    @property
    def idle(self) -> bool:
        """Whether no step runs."""
        return self._running is None

    def workers(self) -> Dict[int, Worker]:
        """Workers by the descriptor that they are heard on."""
        return {worker.reads: worker for worker in self._workers.values()}

    def tell(self, event: HostEvent) -> None:
        """Tell the control node."""
        self._outbox.put(encode(to_message(event)))

    # --- what the control node wants

    def add(self, number: int, steps: List[Dict[str, Any]]) -> None:
        """Steps of a batch that is to be run later."""
        self._filling.setdefault(number, Batch(number)).steps.extend(steps)

    def run(self, number: int) -> None:
        """Run a batch, behind those that came before it."""
        self._batches.append(self._filling.pop(number, Batch(number)))
        if len(self._batches) == 1:
            self._advance()

    def blob(self, chunk: Blob) -> None:
        """Content came; ProtocolError when it is not what it should be."""
        try:
            paths = self._blobs.take(chunk) or {}
            answers = {uid: {"type": "answer", "path": path} for uid, path in paths.items()}
        except OSError as error:
            self._fail(chunk.sha256, "cannot store what the step needs", str(error), _DISK)
            return
        for worker in self._workers.values():
            if worker.uid in answers:
                worker.send(answers[worker.uid])

    def _fail(self, sha256: str, error: str, cause: str, hint: str) -> None:
        """Tell those who wait for content that they do not get it."""
        users = self._blobs.give_up(sha256)
        for worker in self._workers.values():
            if worker.uid in users:
                worker.send({"type": "answer", "error": error, "cause": cause, "hint": hint})

    def stop(self, now: bool) -> None:
        """Begin nothing more; with `now`, end what runs at its own safe point."""
        self._closing = True
        if self._running is not None:
            self._running.send({"type": "cancel", "now": now})
        if now and self._cancelled is None:
            self._cancelled = time.monotonic()

    def look_at_the_time(self) -> None:
        """Give up content that does not come, and end what did not heed a cancel unless it is what must finish."""
        for sha256 in self._blobs.late():
            cause = "no byte of it came for %d s" % PATIENCE
            self._fail(sha256, "the control node does not send what the step needs", cause, "run again")
        worker = self._running
        if self._cancelled is None or worker is None or worker.must_finish:
            return
        seconds = time.monotonic() - self._cancelled
        if seconds > GIVEN_UP:
            self._give_up(worker)
        elif seconds > KILLED and self._forced < 2:
            self._forced = 2
            worker.end_group()
            worker.signal(_KILL)
        elif seconds > HEEDED and self._forced < 1:
            self._forced = 1
            worker.signal(_TERM)

    def end(self) -> None:
        """Let no worker be left, but one that hangs in the kernel, and no content."""
        for worker in self._workers.values():
            worker.dismiss()
        for worker in self._workers.values():
            if not worker.await_end(1.0):
                worker.end_group()
                worker.signal(_KILL)
                worker.await_end(1.0)
        self._blobs.clear()

    # --- batches

    def _advance(self) -> None:
        """Give the next steps to their worker, or end the batch."""
        batch = self._batches[0]
        going = not self._closing
        while going:
            user, steps = batch.next_run()
            if not steps:
                break
            try:
                self._give(self._workers.get(user) or self._hire(user), steps)
                return
            except (KeyError, OSError) as error:
                going = self._refuse(batch, steps, user, error)
        self._close_batch()

    def _give(self, worker: Worker, steps: List[Dict[str, Any]]) -> None:
        self._running = worker
        for step in steps:
            worker.send({"type": "step", "step": step})
        worker.send({"type": "run", **self._shared})

    def _close_batch(self) -> None:
        """Steps without a result are skipped, and the batch has its end."""
        batch = self._batches.popleft()
        self._shared["failed"] = False
        for result in batch.rest():
            self.tell(result)
        self.tell(End(batch.number))
        if self._batches:
            self._advance()

    def _hire(self, user: Optional[str]) -> Worker:
        worker = hire(user, [self._lock] if self._lock >= 0 else [], self._work())
        self._workers[user] = worker
        return worker

    def _refuse(self, batch: Batch, steps: List[Dict[str, Any]], user: Optional[str], error: Exception) -> bool:
        """Fail steps whose user nobody can become; whether the batch goes on."""
        unknown = isinstance(error, KeyError)
        failure = {
            "summary": "cannot run as `%s`" % user,
            "cause": "there is no such user" if unknown else str(error),
            "hint": "create the user before" if unknown else "give the task `become: true`, or leave its user out",
        }
        for step in steps:
            self.tell(Result(step["id"], "failed", error=failure))
            batch.ended()
            on_failure = step.get("on_failure", "stop")
            self._shared["failed"] = self._shared["failed"] or on_failure != "continue"
            if self._shared["failed"] and on_failure != "later":
                return False
        return True

    # --- what workers say

    def hear(self, worker: Worker) -> None:
        """A worker said something, or died."""
        data = os.read(worker.reads, 1 << 18)
        if not data:
            self._died(worker)
            return
        for body in worker.decoder.bodies(data):
            if body.startswith(b'{"type":"output"') and self._outbox.full():
                message: Any = decode(body)
                self._outbox.spool(message["step"], message["text"])
            elif body.startswith(b'{"type":"output"'):
                self._outbox.put_output(_framed(body))
            elif body.startswith(b'{"type":"started"'):
                self._relay(body)
            elif body.startswith(b'{"type":"progress"'):
                if not self._outbox.full():
                    self._relay(body)
            else:
                self._serve(worker, decode(body), body)

    def _relay(self, body: bytes) -> None:
        self._outbox.put(_framed(body))

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
            self._journal(worker)
        elif kind == "need":
            self._need(worker, message["sha256"])
        elif kind == "done":
            self._done(message)

    def _journal(self, worker: Worker) -> None:
        """Handlers go into the journal before the worker acts; where they cannot, the step fails before it acted."""
        step = self._batches[0].current() or {}
        try:
            self.journal.notify(step.get("notify", []), self._run["run"])
        except OSError as error:
            failed = "cannot write the journal of handlers"
            worker.send({"type": "answer", "error": failed, "cause": str(error), "hint": _DISK})
        else:
            worker.send({"type": "answer"})

    def _result(self, message: Dict[str, Any], body: bytes) -> None:
        batch = self._batches[0]
        current = batch.current()
        if current is not None:
            try:
                self._note(Step(**current), message)
            except OSError:
                pass  # what was done is told anyway, and a handler that is left runs once too often
        kept, lost = self._outbox.spooled(message["step"])
        text = (
            "[%d bytes of output are only in %s]\n" % (kept, self._outbox.spool_path(message["step"])) if kept else ""
        )
        text += "[%d bytes of output are not kept]\n" % lost if lost else ""
        if text:
            self.tell(Output(message["step"], "stderr", text))
        batch.ended()
        self._relay(body)

    def _note(self, step: Step, message: Dict[str, Any]) -> None:
        """Into the journal: what was changed, and handlers that are no longer due."""
        if step.check:
            return
        if message["actions"]:
            values = {key: value for key, value in message.items() if key != "type"}
            self.journal.changed(self._run, step, Result(**values))
        if step.clears and message["status"] != "failed":
            self.journal.forget(step.clears)

    def _need(self, worker: Worker, sha256: str) -> None:
        if self._blobs.have(sha256, worker.uid):
            worker.send({"type": "answer", "path": self._blobs.path(sha256, worker.uid)})
        elif self._blobs.want(sha256, worker.uid):
            self.tell(Need([sha256]))

    def _done(self, message: Dict[str, Any]) -> None:
        self._running = None
        self._shared = {name: message[name] for name in ("pending", "notes", "failed")}
        if message["stopped"]:
            self._close_batch()
        else:
            self._advance()

    # --- workers that are lost

    def _died(self, worker: Worker) -> None:
        """A worker never ends by itself: its step failed, and what it ran does not go on unless it must finish."""
        del self._workers[worker.user]
        if not worker.must_finish:
            worker.end_group()
        ended = worker.await_end(1.0)
        worker.dismiss()
        if worker is self._running:
            status = worker.status or 0
            how = "signal %d" % (status & 127) if status & 127 else "code %d" % (status >> 8)
            self._lose("its process ended with %s" % how if ended else "its process %d does not end" % worker.pid)

    def _give_up(self, worker: Worker) -> None:
        """Leave a worker that hangs in the kernel to itself; the host stays locked while it lives."""
        del self._workers[worker.user]
        worker.dismiss()
        whose = "of `%s` " % worker.user if worker.user else ""
        self._lose("its process %d %shangs in the kernel and was given up" % (worker.pid, whose))

    def _lose(self, cause: str) -> None:
        self._running = None
        step = self._batches[0].current()
        if step is not None:
            summary = "`%s` was cancelled" if self._closing else "`%s` was ended"
            failure = {"summary": summary % (step.get("name") or step["resource"]), "cause": cause, "hint": ""}
            self.tell(Result(step["id"], "failed", error=failure))
            self._batches[0].ended()
        self._close_batch()


def _framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body
