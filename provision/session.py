"""One host through a play: connect, facts, batches, results.

Knows no other host and no failure policy; turns what the host reports into events of the run. Never raises out of
`advance`: a host costs its own row, never the run.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from provision import rebooting
from provision.agent import protocol
from provision.agent.record import record
from provision.apart import fatal_to_all, forces_handlers, may_lack
from provision.board import Board
from provision.compile import Batch, Cursor, HostVariables, PlannedStep, Play, next_batch, start
from provision.delegation import Delegates, nobody
from provision.errors import ProvisionError
from provision.events import (
    BatchEnded,
    Connected,
    Event,
    HostEnded,
    HostFailed,
    HostUnreachable,
    Notice,
    StepEnded,
    StepOutput,
    StepProgress,
    StepStarted,
)
from provision.selection import handlers_by_id
from provision.settle import hidden_fields
from provision.telling import Telling
from provision.transport import Unreachable
from provision.transport.link import Link
from provision.waits import Waits

__all__ = ["Emit", "NextBatch", "Opened", "Session", "greeted"]

READY_WITHIN = 300.0
"""Seconds from the agent's start to its facts, which a link of 1 kbit/s takes a minute or two to bring."""

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
        board: Board | None = None,
        delegates: Delegates | None = None,
    ) -> None:
        self.host = host
        self.usable = True
        self.begun = False
        self.lost = ""
        self.fatal = False
        self.facts: dict[str, Any] = {}
        self._open_link = open_link
        self._make_variables = variables
        self._emit = emit
        self._compile = compile_batch
        self._board = board or Board({})
        self._delegates = delegates or nobody()
        self._opened: Opened | None = None
        self._lent: Opened | None = None
        self._busy = self._cancelled = self._halted = False
        self._held: Batch | None = None
        self._chosen = ""
        self._begun = time.monotonic()
        self._batch = 0
        self._last = False
        self._play: Play
        self._cursor: Cursor | None = None
        self._user = ""
        self._variables: HostVariables | None = None
        self._results: dict[int, protocol.Result] = {}
        self._pending: list[str] = []
        self._left: list[str] = []
        """Handlers that an earlier run left, of plays that are yet to come."""
        self._telling = Telling(host)

    def begin(self, play: Play, *, last: bool, open_link: Callable[[], Opened] | None = None) -> None:
        """Take up a play; the next `advance` connects. `last`: the connection ends as soon as the host is done.

        `open_link`: the play reaches the host in another way than the one before.
        """
        first = self._cursor.next_id if self._cursor else 1
        self._cursor = replace(start(play, first_id=first), facts=self._board.values(self.host))
        self.begun = True
        self._play, self._variables, self._last = play, None, last
        self._results, self._held, self._chosen = {}, None, ""
        self._resume(self._left)
        if open_link:
            self._open_link = open_link
            self.close()

    def _resume(self, pending: Sequence[str]) -> None:
        """Handlers that an earlier run left: those of this play run with its own, the others in theirs."""
        own = handlers_by_id(self._play)
        self._pending = [name for name in pending if name in own]
        self._left = [name for name in pending if name not in own]

    def advance(self, chosen: str = "") -> Waits | None:
        """Go on until there is something to wait for; None when the host has nothing more to do in this play."""
        try:
            waits = self._advance(chosen)
        except Unreachable as error:
            over = self._cancelled or self._halted
            self._give_up("unreachable", None if over else HostUnreachable(self.host, error), error)
        except ProvisionError as error:
            self._give_up("failed", HostFailed(self.host, error), error)
        except Exception as error:
            wrong = _internal(self.host, error)
            self._give_up("failed", HostFailed(self.host, wrong), wrong)
        else:
            if waits is None:
                self._board.leave(self.host, lost=False)
                if self._last or self._halted:
                    self.usable = self.usable and not self._halted
                    self.close()
            return waits
        return None

    def cancel(self) -> None:
        """End the host's part from another thread: its agent stops at its next safe point."""
        self._cancelled = True
        self.usable = False
        for opened in (self._opened, self._lent):
            if opened:
                try:
                    opened.link.cancel()
                except Unreachable:
                    pass
                opened.close()

    def halt(self) -> None:
        """End the host's part behind the step that runs, from another thread; the next `advance` winds up.

        Where handlers are run in any case, what has been sent is done first.
        """
        self._halted = True
        opened = self._opened
        if opened and self._busy and not forces_handlers(self._play, self._variables):
            try:
                opened.link.cancel(now=False)
            except Unreachable:
                pass

    def close(self) -> None:
        """Say goodbye and close the connection; may be called twice."""
        opened, self._opened = self._opened, None
        if opened:
            opened.close()
            complete = not (self.lost or self._halted or self._cancelled)
            self._emit(HostEnded(self.host, time.monotonic() - self._begun, complete))

    def _give_up(self, lost: str, event: Event | None, error: ProvisionError) -> None:
        self.usable = False
        if event:
            self.lost, self.fatal = lost, error.ends_run
        self._board.leave(self.host, lost=True)
        for told in self._telling.rest():
            self._emit(told)
        if event:
            self._emit(event)
        self.close()

    def _advance(self, chosen: str) -> Waits | None:
        self._chosen = chosen or self._chosen
        self._begin_connected()
        while self._cursor:
            batch, self._held = self._held, None
            if batch is None:
                batch = self._next(self._cursor)
                if waits := self._before(batch):
                    self._held = batch
                    return waits
            self._results = self._run(batch)
            if batch.failed:
                raise batch.failed
            if batch.done:
                return None
            if waits := self._behind(batch):
                return waits
        return None

    def _begin_connected(self) -> None:
        """Be connected and know the host's variables; where hosts may be gone, without them if need be."""
        if self._variables is not None and self._opened is not None:
            return
        try:
            self._connected()
        except Unreachable as error:
            if self._cancelled or self._halted or not may_lack(self._play):
                error.ends_run = self._ends_all()
                raise
        if self._variables is None:
            self._variables = self._make_variables(self._play, self.facts, self._user)

    def _ends_all(self) -> bool:
        return fatal_to_all(self._play, self._variables or self._make_variables(self._play, self.facts, self._user))

    def _next(self, cursor: Cursor) -> Batch:
        """What is to be done next, as far as other hosts are now."""
        assert self._variables is not None
        variables = replace(self._variables, others=self._board.others(self._chosen), halted=self._halted)
        batch, self._cursor = self._compile(self._play, cursor, variables, self._results, self._pending)
        self._pending = []
        if batch.known is not None:
            self._board.pass_on(self.host, batch.position, batch.known)
        if batch.given:
            self._board.give("localhost", batch.given)
        if batch.told and not (batch.failed and batch.told[1].failed):
            self._board.tell_once(*batch.told)
            self._chosen = ""
        return batch

    def _before(self, batch: Batch) -> Waits | None:
        """What a batch waits for before it is run; others may wait for what was learned when it was made."""
        heard = batch.told is not None or (self._board.awaited and bool(batch.steps))
        if batch.failed or not (batch.throttle or heard):
            return None
        return Waits(batch.position, throttle=batch.throttle)

    def _behind(self, batch: Batch) -> Waits | None:
        """What is waited for behind a batch."""
        if batch.behind:
            # said before it is looked again: the other tells where it is first, and then looks whether to stop
            self._board.awaited = True
            if not self._board.others().behind(batch.behind, batch.position):
                return Waits(batch.position)
            return Waits(batch.position, hosts=frozenset((batch.behind,)))
        if batch.barrier or batch.meets:
            return Waits(batch.position, batch.barrier, batch.meets)
        return Waits(batch.position) if batch.throttle else None

    def _connected(self) -> Link:
        if self._opened is None:
            self._begun = time.monotonic()
            self._opened = self._open_link()
            if self._cancelled:  # meanwhile, when there was nothing yet to be closed
                raise Unreachable("closed", f"the run ended while `{self.host}` was connected to")
            self._user = self._opened.user
            _, ready = greeted(self.host, self._opened)
            self.facts = ready.facts
            self._resume(ready.pending)
            self._pending = ready.pending
            self._emit(Connected(self.host, ready.facts, time.monotonic() - self._begun))
        return self._opened.link

    def _run(self, batch: Batch) -> dict[int, protocol.Result]:
        if batch.again:
            return self._results
        for told in self._telling.batch(batch.verdicts):
            self._emit(told)
        if batch.forget:
            self._connected().forget(batch.forget)
        if batch.resets:
            self._connect_anew()
        for text in batch.notes:
            self._emit(Notice(text, self.host, "retry"))
        self._pause(batch.wait)
        results: dict[int, protocol.Result] = {}
        own = [item for item in batch.steps if not item.delegated]
        while own:
            rebooting.refuse_here(self.host, own, self._opened)
            try:
                self._converse(self._connected(), own, batch, results)
                own = []
            except Unreachable as error:
                own = self._without(error, own, results)
        if elsewhere := [item for item in batch.steps if item.delegated]:
            self._run_here(elsewhere, batch, results)
        for item in batch.steps:
            if item.step.id in results and rebooting.reboots(item, results[item.step.id]):
                results[item.step.id] = self._rebooted(item, results[item.step.id])
        return results

    def _pause(self, seconds: float) -> None:
        """Wait before another attempt, unless the host's part ends meanwhile."""
        until = time.monotonic() + seconds
        while (rest := until - time.monotonic()) > 0 and not (self._cancelled or self._halted):
            time.sleep(min(rest, 0.1))

    def _converse(
        self, link: Link, items: Sequence[PlannedStep], batch: Batch, results: dict[int, protocol.Result]
    ) -> None:
        planned = {item.step.id: item for item in items}
        self._busy = True
        try:
            for event in self._events(link, [item.step for item in items], batch.blobs):
                self._take(event, planned, results)
        finally:
            self._busy = False

    def _run_here(self, items: Sequence[PlannedStep], batch: Batch, results: dict[int, protocol.Result]) -> None:
        """Steps that the control node does in the place of the host."""
        planned = {item.step.id: item for item in items}
        with self._delegates.lent() as (opened, number):
            self._lent = opened
            try:
                for event in self._events(opened.link, [item.step for item in items], batch.blobs, number):
                    self._take(event, planned, results)
            finally:
                self._lent = None

    def _without(
        self, error: Unreachable, items: Sequence[PlannedStep], results: dict[int, protocol.Result]
    ) -> list[PlannedStep]:
        """What is left to be tried after the host was lost, where its being gone is ignored; else raises the error."""
        rest = [item for item in items if item.step.id not in results]
        stopped = any(
            results[item.step.id].status == "failed" and item.step.on_failure != "continue"
            for item in items
            if item.step.id in results
        )
        first = rest[0] if rest and not stopped else None
        error.ends_run = bool(first and first.ends_run)
        if first is None or not first.ignore_unreachable or self._cancelled or self._halted:
            raise error
        gone = protocol.Result(
            first.step.id, "failed", error={"summary": error.summary, "cause": error.cause, "hint": error.hint}
        )
        self._emit(StepEnded(self.host, first.title, first.where, gone, ignored=True, handler=first.handler))
        results[first.step.id] = replace(
            gone, status="ok", fields={"unreachable": True, "msg": error.summary}, error=None
        )
        opened, self._opened = self._opened, None
        if opened:
            opened.close()
        return rest[1:]

    def _events(
        self,
        link: Link,
        steps: Sequence[protocol.Step],
        blobs: Mapping[str, bytes | Path],
        number: int | None = None,
    ) -> Iterator[protocol.HostEvent]:
        """What the host tells of a batch, up to its end; `number` is the batch's, where others use the link as well."""
        self._batch += 1
        begun, sent, received = time.monotonic(), link.sent, link.received
        link.run(number or self._batch, steps, blobs)
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

    def _connect_anew(self) -> None:
        """A new login, for which groups and limits of the user are read again."""
        opened, self._opened = self._opened, None
        if opened:
            opened.close()
        self._opened, ready = self._greeted()
        self.facts, self._user = ready.facts, self._opened.user
        self._variables = self._make_variables(self._play, self.facts, self._user)

    def _greeted(self) -> tuple[Opened, protocol.Ready]:
        return greeted(self.host, self._open_link())

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
        shown = hidden_fields(result) if item.no_log else result
        for told in self._telling.result(item, shown):
            self._emit(told)


def greeted(host: str, opened: Opened) -> tuple[Opened, protocol.Ready]:
    """An agent with its greeting; raises Unreachable, and ProvisionError where another run holds the host."""
    try:
        try:
            ready = opened.link.receive(READY_WITHIN)
        except TimeoutError:
            raise _never_ready(host) from None
        if isinstance(ready, protocol.Fatal):
            raise _fatal(ready)
        if not isinstance(ready, protocol.Ready):
            raise _unexpected(host, ready)
    except BaseException:
        opened.close()
        raise
    return opened, ready


def _noted(result: protocol.Result) -> list[str]:
    """The fields that the operator is told of: a warning always, a notice when something was done."""
    kinds = ("warning", "notice") if result.status == "changed" else ("warning",)
    return [kind for kind in kinds if result.fields.get(kind)]


def _fatal(event: protocol.Fatal) -> ProvisionError:
    if event.kind in ("locked", "internal"):
        return ProvisionError(event.summary, cause=event.cause, hint=event.hint, exit_code=2)
    return Unreachable(event.kind, event.summary, cause=event.cause, hint=event.hint)


def _never_ready(host: str) -> Unreachable:
    return Unreachable(
        "timeout",
        f"the agent on `{host}` was not ready within {READY_WITHIN:g} s",
        cause="it gave signs of life, and never said what the host is",
        hint="look at the load and the disks there; a mount or a driver that hangs is given up after 10 s",
    )


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
