"""An agent that really runs here: its bootstrap, pump and workers, over pipes, with a folder of state of its own."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from types import UnionType
from typing import Any

from provision.agent import protocol
from provision.agent.protocol import Boot, End, Fatal, HostEvent, Result, Step
from provision.transport.archive import archive, command
from provision.transport.link import Link
from provision.transport.local import LocalChannel, LocalConnection

PYTHON = os.environ.get("PROVISION_TEST_PYTHON", "/usr/bin/python3")
"""What runs the agent in these tests."""


class Agent:
    """A started agent and the link to it."""

    def __init__(self, link: Link, channel: LocalChannel, state: Path) -> None:
        self.link, self.channel, self.state = link, channel, state
        self.pid = channel._process.pid
        self.first: HostEvent | None = None
        self._batch = 0

    def run(self, *steps: Step, blobs: dict[str, bytes | Path] | None = None) -> list[HostEvent]:
        """The events of a batch, with its end."""
        self.begin(*steps, blobs=blobs)
        return self.rest()

    def begin(self, *steps: Step, blobs: dict[str, bytes | Path] | None = None) -> None:
        self._batch += 1
        self.link.run(self._batch, steps, blobs)

    def rest(self) -> list[HostEvent]:
        events: list[HostEvent] = []
        while not events or not isinstance(events[-1], End | Fatal):
            events.append(self.link.receive(30))
        return events

    def results(self, *steps: Step, blobs: dict[str, bytes | Path] | None = None) -> list[Result]:
        return [event for event in self.run(*steps, blobs=blobs) if isinstance(event, Result)]

    def until(self, kind: type[Any] | UnionType) -> Any:
        while True:
            event = self.link.receive(30)
            if isinstance(event, kind):
                return event


Start = Callable[..., Agent]


def start_agent(state: Path, python: str = PYTHON, **hello: Any) -> Agent:
    marker = secrets.token_hex(16)
    channel = LocalConnection().start(command(marker, python, str(state)))
    assert isinstance(channel, LocalChannel)
    said = b""
    while marker.encode() not in said:
        part = channel.receive(10)
        assert part, channel.stderr()
        said += part
    link = Link(channel, said.partition(marker.encode())[2], "here")
    agent = Agent(link, channel, state)
    boot = link.receive(10)
    assert isinstance(boot, Boot), boot
    greeting = {"type": "hello", "version": protocol.VERSION, "run": secrets.token_hex(4), "operator": "op@control"}
    link.send({**greeting, "lock": "exclusive", "facts": False, "host": "here", "key": "00", **hello})
    if not boot.have:
        link.send_frames(archive().frames())
    agent.first = link.receive(15)
    return agent


def await_true(condition: Callable[[], bool], seconds: float) -> float:
    """Seconds until the condition held."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it did not come true"
        time.sleep(0.01)
    return time.monotonic() - began
