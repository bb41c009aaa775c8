"""A worker's line to its pump."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from provision.agent.line import Line
from provision.agent.protocol import Decoder, encode
from provision.agent.resource import Refusal
from provision.agent.spawn import Cancelled


class Pump:
    """The other ends of a line's pipes."""

    def __init__(self) -> None:
        self.reads, writes = os.pipe()
        reads, self.writes = os.pipe()
        self.line = Line(reads, writes)
        self._ends = {self.reads, writes, reads, self.writes}

    def says(self, **message: object) -> None:
        os.write(self.writes, encode(message))

    def heard(self) -> list[object]:
        return list(Decoder().feed(os.read(self.reads, 65536)))

    def hang_up(self) -> None:
        os.close(self.writes)
        self._ends.discard(self.writes)

    def close(self) -> None:
        for end in self._ends:
            os.close(end)


@pytest.fixture
def pump() -> Iterator[Pump]:
    def too_long(*_: object) -> None:
        raise AssertionError("the line waits for what it already has")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(5)
    own = Pump()
    yield own
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    own.close()


def test_an_answer_that_comes_with_the_look_for_a_cancel_is_not_waited_for(pump: Pump) -> None:
    pump.says(type="answer", path="/content")
    assert pump.line.blob("ab") == "/content"
    assert pump.heard() == [{"type": "need", "sha256": "ab"}]


def test_steps_that_come_before_an_answer_are_kept(pump: Pump) -> None:
    pump.says(type="step", step={})
    pump.says(type="answer")
    assert pump.line.ask({"type": "journal"}) == {"type": "answer"}
    assert pump.line.receive() == {"type": "step", "step": {}}


def test_what_the_pump_could_not_do_is_refused(pump: Pump) -> None:
    pump.says(type="answer", error="cannot store what the step needs", cause="no space")
    with pytest.raises(Refusal, match="cannot store"):
        pump.line.blob("ab")


def test_a_cancel_ends_a_question_and_what_must_finish_does_not_heed_it(pump: Pump) -> None:
    pump.says(type="cancel", now=True)
    pump.line.action("install nginx")
    assert pump.line.stopping() and not pump.line.cancelled()
    pump.line.action("")
    assert pump.line.cancelled()
    with pytest.raises(Cancelled):
        pump.line.blob("ab")


def test_a_cancel_at_the_step_boundary_only_stops_what_follows(pump: Pump) -> None:
    pump.says(type="cancel", now=False)
    assert pump.line.stopping() and not pump.line.cancelled()


def test_a_pump_that_is_gone_ends_the_worker_but_not_what_must_finish(pump: Pump) -> None:
    pump.line.action("install nginx")
    pump.hang_up()
    assert not pump.line.cancelled() and pump.line.descriptor is None
    pump.line.action("")
    assert pump.line.cancelled()
    with pytest.raises(Cancelled):
        pump.line.receive()


def test_an_interrupt_raises_unless_it_must_finish(pump: Pump) -> None:
    pump.line.action("install nginx")
    pump.line.interrupt()
    pump.line.action("")
    with pytest.raises(Cancelled):
        pump.line.interrupt()
