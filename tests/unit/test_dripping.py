"""A message that comes byte by byte is no sign of life, and a slow link is."""

from __future__ import annotations

import time

import pytest
from syrupy.assertion import SnapshotAssertion

from provision import session
from provision.agent.protocol import Ready, encode
from provision.session import Opened
from provision.transport import Unreachable, link
from provision.transport.link import Link

MESSAGE = encode({"type": "ready", "facts": {"words": "x" * 400}, "pending": []})


class Slow:
    """A channel on which so many bytes come at a time, that many times a second."""

    def __init__(self, data: bytes, at_once: int, every: float) -> None:
        self.data, self.at_once, self.every = data, at_once, every

    def send(self, data: bytes) -> None: ...

    def receive(self, timeout: float) -> bytes:
        time.sleep(min(self.every, timeout))
        part, self.data = self.data[: self.at_once], self.data[self.at_once :]
        return part

    def stderr(self) -> str:
        return ""

    def returncode(self) -> int | None:
        return None

    def close(self) -> None: ...


@pytest.fixture(autouse=True)
def short_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "SILENCE", 0.2)


def test_a_drip_is_given_up() -> None:
    begun = time.monotonic()
    with pytest.raises(Unreachable, match="broke the protocol") as caught:
        Link(Slow(MESSAGE, 1, 0.05), name="owned").receive()
    assert "bytes of a message came in" in caught.value.cause
    assert time.monotonic() - begun < 5


def test_a_slow_link_is_not() -> None:
    assert isinstance(Link(Slow(MESSAGE, 32, 0.05), name="far").receive(), Ready)


class Beating(Slow):
    """A channel on which signs of life come for ever."""

    def __init__(self) -> None:
        super().__init__(b"", 0, 0.02)
        self.closed = False

    def receive(self, timeout: float) -> bytes:
        time.sleep(min(self.every, timeout))
        return encode({"type": "beat"})

    def close(self) -> None:
        self.closed = True


def test_an_agent_that_only_beats_before_it_is_ready_is_given_up(
    monkeypatch: pytest.MonkeyPatch, snapshot: SnapshotAssertion
) -> None:
    monkeypatch.setattr(session, "READY_WITHIN", 0.3)
    channel = Beating()
    opened = Opened(Link(channel, name="owned"), "root", channel.close)
    begun = time.monotonic()
    with pytest.raises(Unreachable) as caught:
        session.greeted("owned", opened)
    assert time.monotonic() - begun < 5
    assert channel.closed
    assert str(caught.value) == snapshot
