"""One host through a play: connect, facts, batches, results.

Knows no other host and no failure policy; turns what the host reports into events of the run. Never raises out of
`advance`: a host costs its own row, never the run.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from provision.agent import protocol
from provision.compile import Batch, Cursor, HostVariables, PlannedStep, Play, next_batch, start
from provision.errors import ProvisionError
from provision.events import (
    Connected,
    Event,
    HostEnded,
    HostFailed,
    HostUnreachable,
    StepEnded,
    StepOutput,
    StepProgress,
    StepStarted,
)
from provision.transport import Unreachable
from provision.transport.link import Link

__all__ = ["Emit", "Opened", "Session"]

Emit = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Opened:
    """A link whose agent starts; `user` is who logged in."""

    link: Link
    user: str
    close: Callable[[], None]


class Session:
    """One host's connection, variables and place in a play.

    `open_link` connects and starts the agent; `variables(play, facts, user)` gives the host's variables.
    """

    def __init__(
        self,
        host: str,
        open_link: Callable[[], Opened],
        variables: Callable[[Play, Mapping[str, Any], str], HostVariables],
        emit: Emit,
    ) -> None:
        self.host = host
        self.usable = True
        self.facts: dict[str, Any] = {}
        self._open_link = open_link
        self._make_variables = variables
        self._emit = emit
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
        if event:
            self._emit(event)
        self.close()

    def _advance(self) -> bool:
        link = self._connected()
        if self._variables is None:
            self._variables = self._make_variables(self._play, self.facts, self._user)
        while cursor := self._cursor:
            batch, self._cursor = next_batch(self._play, cursor, self._variables, self._results, self._pending)
            self._pending = []
            self._results = self._run(link, batch)
            if batch.failed:
                raise batch.failed
            if batch.barrier or batch.done:
                return not batch.done
        return False

    def _connected(self) -> Link:
        if self._opened is None:
            self._begun = time.monotonic()
            self._opened = self._open_link()
            self._user = self._opened.user
            ready = self._opened.link.receive()
            if isinstance(ready, protocol.Fatal):
                raise _fatal(ready)
            if not isinstance(ready, protocol.Ready):
                raise _unexpected(self.host, ready)
            self.facts, self._pending = ready.facts, ready.pending
            self._emit(Connected(self.host, ready.facts, time.monotonic() - self._begun))
        return self._opened.link

    def _run(self, link: Link, batch: Batch) -> dict[int, protocol.Result]:
        for verdict in batch.verdicts:
            self._emit(verdict)
        if batch.forget:
            link.forget(batch.forget)
        if not batch.steps:
            return {}
        self._batch += 1
        planned = {item.step.id: item for item in batch.steps}
        link.run(self._batch, [item.step for item in batch.steps], batch.blobs)
        results: dict[int, protocol.Result] = {}
        while True:
            event = link.receive()
            if isinstance(event, protocol.End):
                return results
            self._take(event, planned, results)

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
                if not item.judged:
                    self._emit(ended(self.host, item, event))


def ended(host: str, item: PlannedStep, result: protocol.Result) -> StepEnded:
    """The event of a step's end."""
    ignored = item.ignore_errors and result.status == "failed"
    message = "not run, since a step before it failed" if result.status == "skipped" else ""
    return StepEnded(host, item.title, item.where, result, message, ignored, item.handler)


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
