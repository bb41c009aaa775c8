"""Events of a run into the history, while it goes on: a run that is killed is in it up to its last seconds.

A history that cannot be written is said once and costs nothing else.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision import __version__
from provision.agent.record import record
from provision.errors import ProvisionError
from provision.events import Connected, Event, HostEnded, HostFailed, HostUnreachable, RunEnded, RunStarted, StepEnded
from provision.report.tally import Tally

if TYPE_CHECKING:
    from provision.history.store import Store

__all__ = ["LEFT_OUT", "Recorder", "without_values"]

LEFT_OUT = "…"
"""What stands for a value that is not kept."""

EVERY = 2.0
"""Seconds after which what has been gathered is written."""


@record(slots=True)
class _Host:
    number: int
    state: str = "open"
    began: float | None = None
    position: int = 0
    touched: bool = True


class Recorder:
    """A report that writes a run; `open_store` is called once it goes on, `warn` once if it cannot be kept.

    `inputs` are files that the run read, with their SHA-256; `argv` is the command line as it may be kept.
    """

    def __init__(
        self,
        open_store: Callable[[], Store],
        warn: Callable[[str], None],
        *,
        argv: Sequence[str],
        operator: str,
        inputs: Callable[[], Mapping[str, str]],
    ) -> None:
        self.tally = Tally()
        self._open_store = open_store
        self._warn = warn
        self._argv = list(argv)
        self._operator = operator
        self._inputs = inputs
        self._started: RunStarted | None = None
        self._store: Store | None = None
        self._run = 0
        self._hosts: dict[str, _Host] = {}
        self._tasks: dict[tuple[str, str], int] = {}
        self._results: list[tuple[Any, ...]] = []
        self._began = 0.0
        self._written = 0.0

    def add(self, event: Event) -> None:
        """Take one event into account."""
        self.tally.add(event)
        now = time.monotonic()
        if isinstance(event, RunStarted):
            self._began, self._started = now, event
            return
        if self._started:
            # only now: hosts are on their way, and opening the file costs nobody time
            started, self._started = self._started, None
            self._keep(lambda: self._start(started))
        if self._store:
            self._note(event, now - self._began)
            if now - self._written > EVERY or isinstance(event, RunEnded):
                self._keep(lambda: self._write(ended=isinstance(event, RunEnded)))

    def close(self) -> None:
        store, self._store = self._store, None
        if store:
            store.close()

    def _keep(self, work: Callable[[], None]) -> None:
        self._written = time.monotonic()
        try:
            work()
        except ProvisionError as error:
            self._warn(f"this run is not kept: {error.summary}: {error.cause}")
            with contextlib.suppress(Exception):
                self.close()
            self._store = None

    def _start(self, event: RunStarted) -> None:
        self._store = self._open_store()
        said = (json.dumps(self._argv), str(Path.cwd()), self._operator)
        row = (
            event.run,
            event.command,
            *said,
            __version__,
            event.check,
            time.time() - (time.monotonic() - self._began),
        )
        with self._store.writing() as connection:
            self._run = _inserted(
                connection.execute(
                    "INSERT INTO run (id, command, argv, directory, operator, version, checks, began)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    row,
                )
            )
            connection.executemany(
                "INSERT INTO input VALUES (?, ?, ?)", [(self._run, *each) for each in self._inputs().items()]
            )
            for name in event.hosts:
                new = connection.execute(
                    "INSERT INTO host (run, name, state, counts) VALUES (?, ?, 'open', '{}')", (self._run, name)
                )
                self._hosts[name] = _Host(_inserted(new), touched=False)

    def _note(self, event: Event, moment: float) -> None:
        host = self._hosts.get(getattr(event, "host", None) or "")
        if host is None:
            return
        host.touched = True
        match event:
            case Connected():
                host.began = max(0.0, moment - event.seconds)
            case StepEnded():
                self._results.append(self._result(host, event, moment))
            case HostFailed():
                host.state = "failed"
            case HostUnreachable():
                host.state = "unreachable"
            case HostEnded() if host.state == "open" and event.complete:
                host.state = "done"

    def _result(self, host: _Host, event: StepEnded, moment: float) -> tuple[Any, ...]:
        host.position += 1
        result = event.result
        detail = {
            key: value
            for key, value in (("actions", result.actions), ("error", result.error), ("message", event.message))
            if value
        }
        text = json.dumps(detail, sort_keys=True) if detail else None
        task = (event.title, str(event.where) if event.where else "")
        flags = (result.status, event.ignored or event.rescued, event.handler)
        return (host.number, host.position, task, *flags, moment, result.seconds, text)

    def _write(self, *, ended: bool) -> None:
        assert self._store
        with self._store.writing() as connection:
            for host, position, task, status, ignored, handler, moment, seconds, text in self._results:
                if task not in self._tasks:
                    connection.execute("INSERT OR IGNORE INTO task (title, place) VALUES (?, ?)", task)
                    found = connection.execute("SELECT number FROM task WHERE title = ? AND place = ?", task)
                    self._tasks[task] = found.fetchone()[0]
                detail = None
                if text:
                    connection.execute("INSERT OR IGNORE INTO detail (content) VALUES (?)", (text,))
                    detail = connection.execute("SELECT number FROM detail WHERE content = ?", (text,)).fetchone()[0]
                connection.execute(
                    "INSERT INTO result VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (host, position, self._tasks[task], status, ignored, handler, moment, seconds, detail),
                )
            connection.executemany(
                "UPDATE host SET state = ?, counts = ?, began = ?, seconds = ?, error = ? WHERE number = ?",
                [self._row(name, host) for name, host in self._hosts.items() if host.touched],
            )
            if ended:
                connection.execute(
                    "UPDATE run SET seconds = ?, exit_code = ?, interrupted = ?, simulated = ? WHERE number = ?",
                    (
                        self.tally.seconds,
                        self.tally.exit_code,
                        self.tally.interrupted,
                        self.tally.simulated,
                        self._run,
                    ),
                )
        self._results.clear()
        for host in self._hosts.values():
            host.touched = False

    def _row(self, name: str, host: _Host) -> tuple[Any, ...]:
        tally = self.tally.host(name)
        words = ("ok", "changed", "failed", "skipped", "ignored", "rescued")
        counts = json.dumps({word: getattr(tally, word) for word in words})
        error = tally.error and json.dumps(
            {
                "summary": tally.error.summary,
                "cause": tally.error.cause,
                "hint": tally.error.hint,
                "where": str(tally.error.where) if tally.error.where else None,
            }
        )
        return (host.state, counts, host.began, tally.seconds or None, error, host.number)


def _inserted(cursor: Any) -> int:
    return int(cursor.lastrowid)


def without_values(argv: Sequence[str]) -> list[str]:
    """A command line as it may be kept: of `-e NAME=VALUE` the value is left out, as it may be a secret.

    Files (`-e @FILE`) stay. What is left out reads `NAME=…`, other forms `…`.
    """
    kept: list[str] = []
    value_next = False
    for index, word in enumerate(argv):
        if word == "--":
            return [*kept, *argv[index:]]
        if value_next:
            kept.append(_name_only(word))
        elif word.startswith("--extra-vars="):
            kept.append("--extra-vars=" + _name_only(word.partition("=")[2]))
        elif word.startswith("-e") and len(word) > 2 and not word.startswith("--"):
            kept.append("-e" + _name_only(word[2:].removeprefix("=")))
        else:
            kept.append(word)
        value_next = not value_next and word in ("-e", "--extra-vars")
    return kept


def _name_only(word: str) -> str:
    if word.startswith("@"):
        return word
    name, equals, _ = word.partition("=")
    return f"{name}={LEFT_OUT}" if equals and name.isidentifier() else LEFT_OUT
