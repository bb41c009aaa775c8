"""The terminal that questions to the operator share with the report of a run.

Owns who may write there: while a question waits for its answer, events wait too, and what draws is told to stop. Must
not know what is asked, nor remember answers.
"""

from __future__ import annotations

import os
import select
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from provision.events import Event, OperatorAnswered, OperatorAsked
from provision.report import Report

__all__ = ["ANSWER_WITHIN", "Outlet", "Terminal"]

ANSWER_WITHIN = 170.0
"""Seconds that the operator has for one answer: a little less than a login waits for it."""
LOOK = 0.1
"""Seconds between two looks whether the run has been interrupted."""


class Outlet:
    """Passes events of any thread to a report, one at a time; they wait while the operator is asked something."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._lock = threading.Lock()
        self._waiting: list[Event] | None = None

    def emit(self, event: Event) -> None:
        """Take one event of the run."""
        with self._lock:
            if self._waiting is None:
                self._report.add(event)
            else:
                self._waiting.append(event)

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Nothing is shown in the block; what happens meanwhile is shown behind it. Not for two threads at once."""
        with self._lock:
            self._report.add(OperatorAsked())
            self._waiting = []
        try:
            yield
        finally:
            with self._lock:
                self._report.add(OperatorAnswered())
                waiting, self._waiting = self._waiting, None
                for event in waiting:
                    self._report.add(event)


class Terminal:
    """The terminal of this process, if it has one that people watch and type on."""

    def __init__(self) -> None:
        self._asking = threading.Lock()
        self._outlet: Outlet | None = None
        self._over = threading.Event()

    @property
    def attended(self) -> bool:
        """Whether somebody can be asked."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    def begin(self, outlet: Outlet) -> None:
        """Questions from now on interrupt what this outlet shows."""
        self._outlet = outlet
        self._over.clear()

    def give_up(self) -> None:
        """The run ends: an open question is taken back at once, and none is asked any more."""
        self._over.set()

    def ask(self, prompt: str, seen: bool) -> str | None:
        """The operator's answer, typed where nobody sees it unless `seen`; None when there is none in time."""
        with self._asking:
            if self._outlet is None:
                return self._answer(prompt, seen)
            with self._outlet.quiet():
                return self._answer(prompt, seen)

    def _answer(self, prompt: str, seen: bool) -> str | None:
        if self._over.is_set():
            return None
        descriptor = sys.stdin.fileno()
        with _typing(descriptor, seen):
            sys.stderr.write(prompt)
            sys.stderr.flush()
            answer = self._line(descriptor)
        if answer and not seen:
            from provision.secret.known import KNOWN

            KNOWN.add(answer)
        if not seen or answer is None:
            sys.stderr.write("\n")
            sys.stderr.flush()
        return answer

    def _line(self, descriptor: int) -> str | None:
        deadline = time.monotonic() + ANSWER_WITHIN
        while time.monotonic() < deadline and not self._over.is_set():
            if select.select([descriptor], [], [], LOOK)[0]:
                typed = os.read(descriptor, 4096)  # a terminal gives whole lines
                return typed.decode(errors="replace").rstrip("\r\n") if typed else None
        return None


@contextmanager
def _typing(descriptor: int, seen: bool) -> Iterator[None]:
    """The terminal gives lines, and shows what is typed only if that may be seen; afterwards it is as it was."""
    before = termios.tcgetattr(descriptor)
    wanted = termios.tcgetattr(descriptor)
    wanted[3] |= termios.ICANON | termios.ISIG
    wanted[3] = wanted[3] | termios.ECHO if seen else wanted[3] & ~termios.ECHO
    termios.tcsetattr(descriptor, termios.TCSAFLUSH, wanted)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
