"""The control side of the channel, against a host that says what a test wants."""

from __future__ import annotations

import functools
import hashlib
import queue
import time
from pathlib import Path
from typing import Any

import pytest

from provision.agent import protocol
from provision.agent.protocol import (
    Blob,
    Boot,
    Decoder,
    End,
    Fatal,
    HostEvent,
    Need,
    Output,
    Progress,
    Ready,
    Result,
    Step,
)
from provision.printable import printable
from provision.transport import ChannelClosed, Unreachable, link
from provision.transport.link import Link

DEEP: Any = functools.reduce(lambda inner, _: [inner], range(40), 1)  # type: ignore[arg-type,return-value]
"""A list in a list, forty times."""


class Host:
    """A channel whose other end is the test."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.said: queue.Queue[bytes] = queue.Queue()
        self.closed = False
        self._decoder = Decoder()
        self.errors = ""
        self.code: int | None = None

    def send(self, data: bytes) -> None:
        if self.closed:
            raise ChannelClosed
        self.sent += self._decoder.feed(data)

    def receive(self, timeout: float) -> bytes:
        try:
            return self.said.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError from None

    def stderr(self) -> str:
        return self.errors

    def returncode(self) -> int | None:
        return self.code

    def close(self) -> None:
        self.closed = True

    def says(self, *events: Any) -> None:
        self.said.put(b"".join(protocol.encode(protocol.to_message(event)) for event in events))

    def kinds(self) -> list[str]:
        return [message["type"] for message in self.sent if isinstance(message, dict)]


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def line(host: Host) -> Link:
    return Link(host, b"", "gpu-01")


def test_events_arrive_however_the_stream_is_split(host: Host) -> None:
    events: list[HostEvent] = [Boot([3, 11, 2], 0, True), Ready({"cpus": 2}, []), End(1)]
    data = b"".join(protocol.encode(protocol.to_message(event)) for event in events)
    line = Link(host, data[:7], "gpu-01")
    for byte in data[7:]:
        host.said.put(bytes([byte]))
    assert [line.receive() for _ in events] == events


def test_steps_travel_in_frames_that_fit(host: Host, line: Link) -> None:
    steps = [Step(number, "file", {"path": "/x", "content": "x" * 60000}) for number in range(40)]
    line.run(7, steps)
    assert host.kinds() == ["steps"] * 5 + ["run"]
    sent = [step for message in host.sent[:-1] for step in message["steps"]]
    assert [Step(**step) for step in sent] == steps


def test_needed_content_is_sent_from_memory_and_from_files(host: Host, line: Link, tmp_path: Path) -> None:
    big = b"z" * 150_000
    (tmp_path / "big").write_bytes(big)
    blobs: dict[str, bytes | Path] = {_sha(big): tmp_path / "big", _sha(b"small"): b"small", _sha(b""): b""}
    line.run(1, [], blobs)
    host.sent.clear()
    host.says(Need(list(blobs)), End(1))
    assert line.receive() == End(1)
    chunks = [chunk for chunk in host.sent if isinstance(chunk, Blob)]
    for sha256, content in ((_sha(big), big), (_sha(b"small"), b"small"), (_sha(b""), b"")):
        parts = [chunk for chunk in chunks if chunk.sha256 == sha256]
        assert b"".join(part.data for part in parts) == content
        assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]


def test_content_that_no_step_names_is_not_given(host: Host, line: Link) -> None:
    line.run(1, [], {_sha(b"a"): b"a"})
    host.says(Need([_sha(b"/etc/shadow")]))
    with pytest.raises(Unreachable, match="broke the protocol"):
        line.receive()


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_nothing_for_people_holds_control_characters(host: Host, line: Link) -> None:
    evil = "\x1b[31mred\x1b]0;title\x07\r\n\x9b2Jz\u202eabc\t[/x]"
    good = printable(evil)
    assert good == "red\n2Jzabc\t[/x]"
    action = {"verb": "run", "target": evil, "before": None, "after": evil}
    host.says(
        Output(1, "stdout", evil),
        Progress(1, 1, 2, evil, evil),
        Result(1, "failed", [action], {"stdout": evil}, {"summary": evil, "cause": evil, "hint": evil}),
        Fatal("locked", evil, evil, evil),
        Ready({"hostname": evil, evil: [{"name": evil}]}, [evil]),
    )
    assert line.receive() == Output(1, "stdout", good)
    assert line.receive() == Progress(1, 1, 2, good, good)
    result = line.receive()
    assert isinstance(result, Result)
    assert result.actions == [{"verb": "run", "target": good, "before": None, "after": good}]
    assert result.error == {"summary": good, "cause": good, "hint": good}
    assert result.fields == {"stdout": evil}  # data: shown only by who makes it plain
    assert line.receive() == Fatal("locked", good, good, good)
    assert line.receive() == Ready({"hostname": good, good: [{"name": good}]}, [good])


def test_a_timeout_is_none_of_the_hosts_fault(line: Link) -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        line.receive(0.05)
    assert time.monotonic() - began < 1


def test_a_silent_host_is_given_up_with_its_last_words(host: Host, line: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "SILENCE", 0.3)
    host.says(protocol.Started(4), protocol.Beat())
    assert line.receive() == protocol.Started(4)
    with pytest.raises(Unreachable) as raised:
        line.receive()
    assert raised.value.kind == "silence"
    assert raised.value.cause == "its last sign of life was `started` of step 4 (and it was alive since)"


def test_beats_are_sent_while_waiting_and_while_nobody_receives(
    host: Host, line: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "BEAT_EVERY", 0.6)
    with pytest.raises(TimeoutError):
        line.receive(0.9)
    received = len(host.kinds())
    assert set(host.kinds()) == {"beat"}
    time.sleep(2.2)
    assert len(host.kinds()) > received


def test_the_end_of_the_channel_tells_what_is_known(host: Host, line: Link) -> None:
    host.errors, host.code = "Killed", 137
    host.said.put(b"")
    with pytest.raises(Unreachable) as raised:
        line.receive()
    assert str(raised.value) == (
        "error: lost the connection to gpu-01\n"
        "cause: the agent ended with code 137; its last sign of life was the start\n"
        "       Killed\n"
        "hint: run again: it continues where it stopped"
    )


@pytest.mark.parametrize(
    "frame",
    [
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x02[]",
        b"\x00\x00\x00\x05{\xff\xff\xff}",
        protocol.encode({"type": "unknown"}),
        protocol.encode({"type": "end"}),
        protocol.encode({"type": "end", "batch": "1"}),
        protocol.encode({"type": "end", "batch": True}),
        protocol.encode({"type": "end", "batch": 1, "more": 2}),
        protocol.encode({"type": "result", "step": 1, "status": "fine"}),
        protocol.encode({"type": "result", "step": 1, "status": "ok", "actions": [{"verb": 1}]}),
        protocol.encode({"type": "result", "step": 1, "status": "ok", "actions": ["x"]}),
        protocol.encode({"type": "result", "step": 1, "status": "failed", "error": {"summary": []}}),
        protocol.encode({"type": "ready", "facts": {}, "pending": [1]}),
        protocol.encode({"type": "need", "sha256": [[]]}),
        protocol.encode({"type": "ready", "facts": {"deep": DEEP}, "pending": []}),
        protocol.encode_blob("00" * 32, b"", True),
    ],
)
def test_what_breaks_the_protocol_cuts_the_host_off(host: Host, line: Link, frame: bytes) -> None:
    host.said.put(frame)
    with pytest.raises(Unreachable) as raised:
        line.receive(1)
    assert raised.value.kind == "protocol"
    assert raised.value.summary == "gpu-01 broke the protocol and was cut off"


def test_too_much_cuts_the_host_off(host: Host, line: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "TOTAL_LIMIT", 3 << 20)
    for _ in range(7):
        host.says(Output(1, "stdout", "x" * 500_000))
    with pytest.raises(Unreachable, match="broke the protocol") as raised:
        while True:
            line.receive(1)
    assert raised.value.cause == "it sent more than 3 MiB in one run"


def test_closing_says_goodbye_once(host: Host, line: Link) -> None:
    line.cancel()
    line.forget([])
    line.forget(["restart"])
    line.close()
    line.close()
    assert host.kinds() == ["cancel", "forget", "bye"] and host.closed
    assert host.sent[0] == {"type": "cancel", "now": True}


def test_sending_to_a_host_that_is_gone(host: Host, line: Link) -> None:
    host.closed = True
    with pytest.raises(Unreachable, match="lost the connection to gpu-01"):
        line.cancel()
    line.close()
