"""One host through a play: connect, facts, batches, results.

Knows no other host and no failure policy; turns what the host reports into events of the run. Never raises out of
`advance`: a host costs its own row, never the run.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from provision import rebooting
from provision.agent import protocol
from provision.agent.record import record
from provision.compile import Batch, Cursor, HostVariables, PlannedStep, Play, next_batch, start
from provision.errors import ProvisionError
from provision.events import (
    BatchEnded,
    Connected,
    Event,
    HostEnded,
    HostFailed,
    HostUnreachable,
    Notice,
    StepOutput,
    StepProgress,
    StepStarted,
)
from provision.telling import Telling
from provision.transport import Unreachable
from provision.transport.link import Link

__all__ = ["Emit", "NextBatch", "Opened", "Session"]

Emit = Callable[[Event], None]
NextBatch = Callable[[Play, Cursor, HostVariables, Mapping[int, protocol.Result], Sequence[str]], tuple[Batch, Cursor]]
"""`compile.next_batch`, or what is put around it."""


@record(frozen=True, slots=True)
class Opened:
    """A link whose agent starts; `user` is who logged in, `here` says that it runs on this very machine."""

    link: Link
    user: str
    close: Callable[[], None]
    here: bool = False


class Session:
    """One host's connection, variables and place in a play.

    `open_link` connects and starts the agent; `variables(play, facts, user)` gives the host's variables.
    `compile_batch` says what is to be done next.
    """

    def __init__(
        self,
        host: str,
        open_link: Callable[[], Opened],
        variables: Callable[[Play, Mapping[str, Any], str], HostVariables],
        emit: Emit,
        compile_batch: NextBatch = next_batch,
    ) -> None:
        self.host = host
        self.usable = True
        self.facts: dict[str, Any] = {}
        self._open_link = open_link
        self._make_variables = variables
        self._emit = emit
        self._compile = compile_batch
        self._opened: Opened | None = None
        self._cancelled = False
        self._begun = time.monotonic()
        self._batch = 0
        self._last = False
        self._play: Play
        self._cursor: Cursor | None = None
        self._user = ""
        self._variables: HostVariables | None = None
        self._results: dict[int, protocol.Result] = {}
        self._pending: list[str] = []
        self._telling = Telling(host)

    def begin(self, play: Play, *, last: bool) -> None:
        """Take up a play; the next `advance` connects. `last`: the connection ends as soon as the host is done."""
        self._cursor = start(play, first_id=self._cursor.next_id if self._cursor else 1)
        self._play, self._variables, self._last = play, None, last
        self._results = {}

    def advance(self) -> bool:
        """Go on until the next barrier; False when the host has nothing more to do in this play."""
        try:
            more = self._advance()
        except Unreachable as error:
            self._give_up(None if self._cancelled else HostUnreachable(self.host, error))
        except ProvisionError as error:
            self._give_up(HostFailed(self.host, error))
        except Exception as error:
            self._give_up(HostFailed(self.host, _internal(self.host, error)))
        else:
            if not more and self._last:
                self.close()
            return more
        return False

    def cancel(self) -> None:
        """End the host's part from another thread: its agent stops at its next safe point."""
        self._cancelled = True
        self.usable = False
        opened = self._opened
        if opened:
            try:
                opened.link.cancel()
            except Unreachable:
                pass
            opened.close()

    def close(self) -> None:
        """Say goodbye and close the connection; may be called twice."""
        opened, self._opened = self._opened, None
        if opened:
            opened.close()
            self._emit(HostEnded(self.host, time.monotonic() - self._begun))

    def _give_up(self, event: Event | None) -> None:
        self.usable = False
        for told in self._telling.rest():
            self._emit(told)
        if event:
            self._emit(event)
        self.close()

    def _advance(self) -> bool:
        self._connected()
        if self._variables is None:
            self._variables = self._make_variables(self._play, self.facts, self._user)
        while cursor := self._cursor:
            batch, self._cursor = self._compile(self._play, cursor, self._variables, self._results, self._pending)
            self._pending = []
            self._results = self._run(self._connected(), batch)
            if batch.failed:
                raise batch.failed
            if batch.barrier or batch.done:
                return not batch.done
        return False

    def _connected(self) -> Link:
        if self._opened is None:
            self._begun = time.monotonic()
            self._opened = self._open_link()
            if self._cancelled:  # meanwhile, when there was nothing yet to be closed
                raise Unreachable("closed", f"the run ended while `{self.host}` was connected to")
            self._user = self._opened.user
            ready = self._greeting(self._opened)
            self.facts, self._pending = ready.facts, ready.pending
            self._emit(Connected(self.host, ready.facts, time.monotonic() - self._begun))
        return self._opened.link

    def _greeting(self, opened: Opened) -> protocol.Ready:
        ready = opened.link.receive()
        if isinstance(ready, protocol.Fatal):
            raise _fatal(ready)
        if not isinstance(ready, protocol.Ready):
            raise _unexpected(self.host, ready)
        return ready

    def _run(self, link: Link, batch: Batch) -> dict[int, protocol.Result]:
        for told in self._telling.batch(batch.verdicts):
            self._emit(told)
        if batch.forget:
            link.forget(batch.forget)
        if not batch.steps:
            return {}
        planned = {item.step.id: item for item in batch.steps}
        rebooting.refuse_here(self.host, batch.steps, self._opened)
        results: dict[int, protocol.Result] = {}
        for event in self._events(link, [item.step for item in batch.steps], batch.blobs):
            self._take(event, planned, results)
        for item in batch.steps:
            if item.step.id in results and rebooting.reboots(item, results[item.step.id]):
                results[item.step.id] = self._rebooted(item, results[item.step.id])
        return results

    def _events(
        self, link: Link, steps: Sequence[protocol.Step], blobs: Mapping[str, bytes | Path]
    ) -> Iterator[protocol.HostEvent]:
        """What the host tells of a batch, up to its end."""
        self._batch += 1
        begun, sent, received = time.monotonic(), link.sent, link.received
        link.run(self._batch, steps, blobs)
        while not isinstance(event := link.receive(), protocol.End):
            yield event
        moved = (link.sent - sent, link.received - received)
        self._emit(BatchEnded(self.host, self._batch, len(steps), time.monotonic() - begun, *moved))

    def _rebooted(self, item: PlannedStep, result: protocol.Result) -> protocol.Result:
        """The host goes down: come back to it, with a new connection and agent, and see that it is as wanted."""
        begun = time.monotonic()
        opened, self._opened = self._opened, None
        if opened:
            opened.close()
        patience = rebooting.patience_for(item, lambda: self._cancelled, lambda seconds: self._waits(item, seconds))
        boot = str(result.fields.get("boot_id") or self.facts.get("boot_id") or "")
        self._opened, ready = rebooting.await_return(self.host, boot, self._greeted, patience)
        if self._cancelled:
            raise Unreachable("closed", f"the run ended while `{self.host}` rebooted")
        self.facts, self._user = ready.facts, self._opened.user
        self._variables = self._make_variables(self._play, self.facts, self._user)
        step = rebooting.confirming(item.step, boot, patience.seconds - (time.monotonic() - begun))
        final = result
        for event in self._events(self._opened.link, [step], {}):
            if isinstance(event, protocol.Result):
                final = rebooting.confirmed(result, event, time.monotonic() - begun)
            elif isinstance(event, protocol.Fatal):
                raise _fatal(event)
        self._tell(item, final)
        return final

    def _greeted(self) -> tuple[Opened, protocol.Ready]:
        opened = self._open_link()
        try:
            return opened, self._greeting(opened)
        except BaseException:
            opened.close()
            raise

    def _waits(self, item: PlannedStep, seconds: float) -> None:
        timeout = float(item.step.spec.get("reboot_timeout", 0))
        self._emit(StepProgress(self.host, item.step.id, round(seconds), timeout, "s", "reboots"))

    def _take(
        self, event: protocol.HostEvent, planned: Mapping[int, PlannedStep], results: dict[int, protocol.Result]
    ) -> None:
        match event:
            case protocol.Fatal():
                raise _fatal(event)
            case protocol.Started() | protocol.Progress() | protocol.Output() | protocol.Result():
                if event.step not in planned:
                    raise _unexpected(self.host, event)
                self._step_event(event, planned[event.step], results)
            case protocol.Beat() | protocol.Need():
                pass
            case _:
                raise _unexpected(self.host, event)

    def _step_event(
        self,
        event: protocol.Started | protocol.Progress | protocol.Output | protocol.Result,
        item: PlannedStep,
        results: dict[int, protocol.Result],
    ) -> None:
        match event:
            case protocol.Started():
                self._emit(StepStarted(self.host, event.step, item.title, item.where))
            case protocol.Progress():
                values = (event.done, event.total, event.unit, event.label)
                self._emit(StepProgress(self.host, event.step, *values))
            case protocol.Output():
                if not item.no_log:
                    self._emit(StepOutput(self.host, event.step, event.stream, event.text))
            case protocol.Result():
                results[event.step] = event
                if not rebooting.reboots(item, event):
                    self._tell(item, event)
                for kind in _noted(event) if not item.no_log else ():
                    self._emit(Notice(str(event.fields[kind]), self.host, kind))

    def _tell(self, item: PlannedStep, result: protocol.Result) -> None:
        for told in self._telling.result(item, result):
            self._emit(told)


def _noted(result: protocol.Result) -> list[str]:
    """The fields that the operator is told of: a warning always, a notice when something was done."""
    kinds = ("warning", "notice") if result.status == "changed" else ("warning",)
    return [kind for kind in kinds if result.fields.get(kind)]


def _fatal(event: protocol.Fatal) -> ProvisionError:
    if event.kind in ("locked", "internal"):
        return ProvisionError(event.summary, cause=event.cause, hint=event.hint, exit_code=2)
    return Unreachable(event.kind, event.summary, cause=event.cause, hint=event.hint)


def _unexpected(host: str, event: protocol.HostEvent) -> Unreachable:
    return Unreachable(
        "protocol",
        f"`{host}` answered out of turn",
        cause=f"the agent sent `{type(event).__name__.lower()}` where it had no place",
        hint="run again; if it stays, the host's python or a program between is not what it says",
    )


def _internal(host: str, error: Exception) -> ProvisionError:
    last = "".join(traceback.format_exception(error)[-3:]).strip()
    return ProvisionError(
        f"`{host}` could not be gone on with",
        cause=f"an error in provision itself: {type(error).__name__}: {error}\n{last}",
        hint="please report it with the lines above",
        exit_code=2,
    )
