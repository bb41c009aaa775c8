"""The file that runs are kept in: `.provision/history.db` beside the inventory (SQLite, write-ahead log).

Owns the tables. What many results share (a task's name, a diff) is written once. Must not know where events come from.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from provision.agent.record import record
from provision.errors import ProvisionError

__all__ = ["HostRow", "ResultRow", "RunRow", "Store"]

VERSION = 1
WAIT = 10.0
"""Seconds that a writer waits for another one."""
TABLES = """
CREATE TABLE run (
  number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, command TEXT NOT NULL,
  argv TEXT NOT NULL, directory TEXT NOT NULL,
  operator TEXT NOT NULL, version TEXT NOT NULL, checks INTEGER NOT NULL, began REAL NOT NULL,
  seconds REAL, exit_code INTEGER, interrupted INTEGER NOT NULL DEFAULT 0, simulated INTEGER NOT NULL DEFAULT 0);
CREATE TABLE input (
  run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE, path TEXT NOT NULL, sha256 TEXT NOT NULL,
  PRIMARY KEY (run, path)) WITHOUT ROWID;
CREATE TABLE host (
  number INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE, name TEXT NOT NULL,
  state TEXT NOT NULL, counts TEXT NOT NULL, began REAL, seconds REAL, error TEXT, UNIQUE (run, name));
CREATE INDEX host_by_name ON host (name, run);
CREATE TABLE task (number INTEGER PRIMARY KEY, title TEXT NOT NULL, place TEXT NOT NULL, UNIQUE (title, place));
CREATE TABLE detail (number INTEGER PRIMARY KEY, content TEXT NOT NULL UNIQUE);
CREATE TABLE result (
  host INTEGER NOT NULL REFERENCES host ON DELETE CASCADE, position INTEGER NOT NULL,
  task INTEGER NOT NULL REFERENCES task, status TEXT NOT NULL, ignored INTEGER NOT NULL, handler INTEGER NOT NULL,
  ended REAL NOT NULL, seconds REAL NOT NULL, detail INTEGER REFERENCES detail,
  PRIMARY KEY (host, position)) WITHOUT ROWID;
CREATE INDEX result_by_task ON result (task);
"""


@record(frozen=True, slots=True)
class RunRow:
    """One run. `began` in seconds of the epoch; `seconds` and `exit_code` are None where the run did not end itself.

    `argv` is the command line without the program and values that may be secrets, `directory` where it was said.
    """

    number: int
    id: str
    command: str
    argv: tuple[str, ...]
    directory: str
    operator: str
    version: str
    checks: bool
    began: float
    seconds: float | None
    exit_code: int | None
    interrupted: bool
    simulated: bool


@record(frozen=True, slots=True)
class HostRow:
    """One host in a run. `state`: done, failed, unreachable or open (never reached, or not to its end).

    `began` in seconds from the run's start; `counts` by status.
    """

    number: int
    run: int
    name: str
    state: str
    counts: Mapping[str, int]
    began: float | None
    seconds: float | None
    error: Mapping[str, Any] | None


@record(frozen=True, slots=True)
class ResultRow:
    """What a task came to on a host. `ended` in seconds from the run's start; `detail` has actions, error, message."""

    host: int
    position: int
    title: str
    place: str
    status: str
    ignored: bool
    handler: bool
    ended: float
    seconds: float
    detail: Mapping[str, Any] = field(default_factory=dict)


class Store:
    """An open history; to be closed. Raises ProvisionError where the file cannot be used."""

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        self.path = path
        if not writable and not path.exists():
            raise ProvisionError(
                "there is no history yet",
                cause=f"`{path}` does not exist",
                hint="runs are kept beside their inventory; -i names another",
            )
        try:
            self._connection = self._open(path, writable)
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(error) from None

    def _open(self, path: Path, writable: bool) -> sqlite3.Connection:
        if writable:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, timeout=WAIT, isolation_level=None, check_same_thread=False)
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0 and writable:
                _create(connection)
            elif version != VERSION:
                raise sqlite3.DatabaseError(f"its tables are of version {version}, known is {VERSION}")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
        return connection

    def _unusable(self, error: Exception) -> ProvisionError:
        return ProvisionError(
            f"the history `{self.path}` cannot be used",
            cause=str(error),
            hint="move the file aside: runs go on without it and begin a new one",
        )

    def close(self) -> None:
        self._connection.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction; raises ProvisionError where it cannot be done."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._unusable(error) from None

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise self._unusable(error) from None

    def runs(self, most: int | None = None) -> list[RunRow]:
        """Runs, the newest first."""
        limit = -1 if most is None else most
        return [_run(row) for row in self._rows("SELECT * FROM run ORDER BY number DESC LIMIT ?", (limit,))]

    def run(self, written: str) -> RunRow:
        """The run that a beginning of its id names, or the newest for `last`; raises ProvisionError."""
        if written == "last":
            found = self.runs(1)
        else:
            begins = "SELECT * FROM run WHERE substr(id, 1, ?) = ? ORDER BY number DESC LIMIT 6"
            found = [_run(row) for row in self._rows(begins, (len(written), written))]
        if len(found) == 1 or (found and found[0].id == written):
            return found[0]
        raise ProvisionError(
            f"{len(found)} runs begin with `{written}`" if found else f"there is no run `{written}`",
            cause=", ".join(run.id for run in found),
            hint="`provision history` lists runs; `last` is the newest",
        )

    def inputs(self, run: int) -> dict[str, str]:
        """The SHA-256 of each file that a run read."""
        return dict(self._rows("SELECT path, sha256 FROM input WHERE run = ? ORDER BY path", (run,)))

    def hosts(self, run: int) -> list[HostRow]:
        """The hosts of a run in its order."""
        return [_host(row) for row in self._rows("SELECT * FROM host WHERE run = ? ORDER BY number", (run,))]

    def host_runs(self, name: str, most: int) -> list[HostRow]:
        """A host in its newest runs, the newest first."""
        rows = self._rows("SELECT * FROM host WHERE name = ? ORDER BY run DESC LIMIT ?", (name, most))
        return [_host(row) for row in rows]

    def results(self, run: int, statuses: Sequence[str] = ()) -> list[ResultRow]:
        """Results of a run, host by host, in their order; only those with one of `statuses`, if any."""
        wanted = f" AND status IN ({', '.join('?' * len(statuses))})" if statuses else ""
        query = f"{_RESULTS} JOIN host ON host.number = result.host WHERE host.run = ?{wanted} ORDER BY host, position"
        return [_result(row) for row in self._rows(query, (run, *statuses))]

    def host_results(self, host: int) -> list[ResultRow]:
        """All results of one host in one run."""
        return [_result(row) for row in self._rows(f"{_RESULTS} WHERE host = ? ORDER BY position", (host,))]

    def titles(self) -> list[str]:
        """Names of all tasks that were ever run."""
        return [row[0] for row in self._rows("SELECT DISTINCT title FROM task ORDER BY title")]

    def task_results(self, title: str, most: int) -> list[tuple[HostRow, ResultRow]]:
        """The newest results of a task, each with its host."""
        query = f"{_RESULTS} JOIN host ON host.number = result.host WHERE title = ? ORDER BY host DESC LIMIT ?"
        found = [_result(row) for row in self._rows(query, (title, most))]
        hosts = {number: self._host(number) for number in {result.host for result in found}}
        return [(hosts[result.host], result) for result in found]

    def _host(self, number: int) -> HostRow:
        return _host(self._rows("SELECT * FROM host WHERE number = ?", (number,))[0])

    def prune(self, keep: int) -> int:
        """Forget all but the newest `keep` runs; gives how many went."""
        with self.writing() as connection:
            gone = connection.execute(
                "DELETE FROM run WHERE number NOT IN (SELECT number FROM run ORDER BY number DESC LIMIT ?)", (keep,)
            ).rowcount
            for table in ("task", "detail"):
                used = f"SELECT {table} FROM result WHERE {table} IS NOT NULL"  # noqa: S608 - the names are stated here
                connection.execute(f"DELETE FROM {table} WHERE number NOT IN ({used})")  # noqa: S608 - as above
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("VACUUM")
        return gone


_RESULTS = (
    "SELECT host, position, title, place, status, ignored, handler, ended, result.seconds, content FROM result"
    " JOIN task ON task.number = result.task LEFT JOIN detail ON detail.number = result.detail"
)


def _create(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    # another process may have made the tables meanwhile
    if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
        for statement in TABLES.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def _run(row: Sequence[Any]) -> RunRow:
    (
        number,
        identity,
        command,
        argv,
        directory,
        operator,
        version,
        checks,
        began,
        seconds,
        code,
        interrupted,
        simulated,
    ) = row
    return RunRow(
        number,
        identity,
        command,
        tuple(json.loads(argv)),
        directory,
        operator,
        version,
        bool(checks),
        began,
        seconds,
        code,
        bool(interrupted),
        bool(simulated),
    )


def _host(row: Sequence[Any]) -> HostRow:
    number, run, name, state, counts, began, seconds, error = row
    return HostRow(number, run, name, state, json.loads(counts), began, seconds, json.loads(error) if error else None)


def _result(row: Sequence[Any]) -> ResultRow:
    host, position, title, place, status, ignored, handler, ended, seconds, content = row
    detail = json.loads(content) if content else {}
    return ResultRow(host, position, title, place, status, bool(ignored), bool(handler), ended, seconds, detail)
