"""A conversation with one host's agent: frames out, checked events in, signs of life both ways.

Must not start agents (`launch.py`) or know what a step is about. Nothing that a host sends passes unchecked: size,
form, depth, total, and control characters in what people will read.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from provision.agent import protocol
from provision.agent.protocol import (
    BEAT_EVERY,
    CHUNK,
    SILENCE,
    Beat,
    Blob,
    Boot,
    HostEvent,
    Need,
    ProtocolError,
    Step,
)
from provision.printable import printable
from provision.transport import Channel, ChannelClosed, Unreachable
from provision.transport.checked import checked

__all__ = ["Link"]

LEAST_RATE = 64
"""Bytes a second of one message, beyond the seconds of a silence: what comes slower is no slow link but a drip."""
TOTAL_LIMIT = 64 << 20
"""Bytes that one host may send in one run."""
STEPS_LIMIT = 512 << 10
"""Bytes of steps that are put into one frame, where one step is not larger itself."""


class Link:
    """One agent's conversation. `name` is the host's, for errors; `leftover` is what was read behind the marker.

    One thread sends steps and receives; signs of life are sent by `receive` and, while nobody receives, by one thread
    that all links share. `sent` and `received` count bytes.
    """

    def __init__(self, channel: Channel, leftover: bytes = b"", name: str = "") -> None:
        self.channel = channel
        self.name = name
        self.terminal = False
        """sudo there ran only on a terminal, which took a second channel."""
        self._decoder = protocol.Decoder()
        self._incoming: Iterator[dict[str, Any] | Blob] = iter(())
        self._leftover = leftover
        self._unfinished = (0, 0.0)
        """How many frames there were, and when, as the one that is not whole began."""
        self.received = 0
        self.sent = 0
        self._heard = time.monotonic()
        self._heard_of = "the start"
        self._sent_at = time.monotonic()
        self._sending = threading.Lock()
        self._closed = False
        self._blobs: dict[str, bytes | Path] = {}
        _pulse.watch(self)

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one message; raises Unreachable."""
        self.send_frames([protocol.encode(dict(message))])

    def send_frames(self, frames: Iterable[bytes]) -> None:
        """Send frames; others may get between two of them; raises Unreachable."""
        for frame in frames:
            try:
                with self._sending:
                    self.channel.send(frame)
                    self._sent_at = time.monotonic()
                    self.sent += len(frame)
            except ChannelClosed:
                raise self._gone() from None

    def run(self, batch: int, steps: Sequence[Step], blobs: Mapping[str, bytes | Path] | None = None) -> None:
        """Send a batch of steps and have it run; `blobs` is content by SHA-256, sent where the host lacks it."""
        self._blobs.update(blobs or {})
        self.send_frames([b"".join(_steps_frames(batch, steps)) + protocol.encode({"type": "run", "batch": batch})])

    def cancel(self, *, now: bool = True) -> None:
        """End what runs: at its own safe point, or, without `now`, behind the step that runs; raises Unreachable."""
        self.send({"type": "cancel", "now": now})

    def forget(self, handlers: Sequence[str]) -> None:
        """Take handlers out of the host's journal; raises Unreachable."""
        if handlers:
            self.send({"type": "forget", "handlers": list(handlers)})

    def receive(self, timeout: float | None = None) -> HostEvent:
        """The next event; content that the host needs is sent meanwhile and beats are left out.

        Raises Unreachable when the host was silent for 30 s, is gone, breaks the protocol or sends too much, and
        TimeoutError after `timeout` seconds.
        """
        started = time.monotonic()
        while True:
            for message in self._incoming:
                event = self._checked(message)
                if isinstance(event, Need):
                    self._supply(event.sha256)
                elif not isinstance(event, Beat):
                    return event
            self._incoming = self._read(started, timeout)

    def close(self) -> None:
        """Say goodbye where that is possible, and close the channel."""
        if self._closed:
            return
        self._closed = True
        try:
            self.send({"type": "bye"})
        except Unreachable:
            pass
        self.channel.close()

    def _read(self, started: float, timeout: float | None) -> Iterator[dict[str, Any] | Blob]:
        self._refuse_a_drip()
        data, self._leftover = self._leftover, b""
        while not data:
            now = time.monotonic()
            quiet = now - max(self._heard, started)
            if quiet > SILENCE:
                raise self._silent()
            if timeout is not None and now - started >= timeout:
                raise TimeoutError
            wait = min(BEAT_EVERY, SILENCE - quiet + 0.01)
            if timeout is not None:
                wait = min(wait, timeout - (now - started))
            try:
                data = self.channel.receive(max(wait, 0.001))
            except TimeoutError:
                self._beat()
                continue
            except ChannelClosed:
                raise self._gone() from None
            if not data:
                raise self._gone()
        self._heard = time.monotonic()
        self.received += len(data)
        if self.received > TOTAL_LIMIT:
            raise self._broken(f"it sent more than {TOTAL_LIMIT >> 20} MiB in one run")
        return self._decoded(data)

    def _refuse_a_drip(self) -> None:
        """A message that never ends would be a sign of life for ever."""
        frames, pending, now = self._decoder.frames, self._decoder.pending, time.monotonic()
        if not pending or frames != self._unfinished[0]:
            self._unfinished = (frames, now)
        elif now - self._unfinished[1] > SILENCE + pending / LEAST_RATE:
            raise self._broken(f"{pending} bytes of a message came in {now - self._unfinished[1]:.0f} s")

    def _decoded(self, data: bytes) -> Iterator[dict[str, Any] | Blob]:
        try:
            yield from self._decoder.feed(data)
        except ProtocolError as error:
            raise self._broken(str(error)) from None

    def _checked(self, message: dict[str, Any] | Blob) -> HostEvent:
        if isinstance(message, Blob):
            raise self._broken("it sent a blob")
        try:
            event = checked(message)
        except ProtocolError as error:
            raise self._broken(printable(str(error))) from None
        self._heard_of = _naming(event, self._heard_of)
        return event

    def _supply(self, wanted: Sequence[str]) -> None:
        for sha256 in wanted:
            content = self._blobs.get(sha256)
            if content is None:
                raise self._broken(f"it asked for content that no step names, {printable(str(sha256))[:64]}")
            self.send_frames(_blob_frames(sha256, content))

    def _beat(self) -> None:
        """A sign of life, where nothing was sent for long and nobody sends now."""
        if time.monotonic() - self._sent_at < BEAT_EVERY - 0.5 or not self._sending.acquire(blocking=False):
            return
        try:
            self.channel.send(_BEAT)
            self._sent_at = time.monotonic()
        except ChannelClosed:
            pass  # whoever receives is told, with what the host last said
        finally:
            self._sending.release()

    def _silent(self) -> Unreachable:
        return Unreachable(
            "silence",
            f"{self._host()} was silent for {SILENCE:.0f} s",
            cause=f"its last sign of life was {self._heard_of}",
            hint="check that it is up and reachable, then run again: it continues where it stopped",
        )

    def _gone(self) -> Unreachable:
        said = self.channel.stderr().strip()
        code = self.channel.returncode()
        ended = f"the agent ended with code {code}" if code is not None else "the channel closed"
        return Unreachable(
            "closed",
            f"lost the connection to {self._host()}",
            cause=f"{ended}; its last sign of life was {self._heard_of}" + (f"\n{said}" if said else ""),
            hint="run again: it continues where it stopped",
        )

    def _broken(self, what: str) -> Unreachable:
        return Unreachable(
            "protocol",
            f"{self._host()} broke the protocol and was cut off",
            cause=what,
            hint="look for what writes to the agent's output there, or for a changed agent under its folder of state",
        )

    def _host(self) -> str:
        return self.name or "the host"


class _Pulse:
    """The thread that gives signs of life for all open links; it ends with the last one."""

    def __init__(self) -> None:
        self._links: weakref.WeakSet[Link] = weakref.WeakSet()
        self._changing = threading.Lock()
        self._thread: threading.Thread | None = None

    def watch(self, link: Link) -> None:
        with self._changing:
            self._links.add(link)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="beats", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            time.sleep(1.0)
            with self._changing:
                links = [link for link in self._links if not link._closed]
                if not links:
                    self._thread = None
                    return
            for link in links:
                link._beat()


_BEAT = protocol.encode({"type": "beat"})
_pulse = _Pulse()


def _steps_frames(batch: int, steps: Sequence[Step]) -> Iterator[bytes]:
    """The steps in as few frames as their size allows; ProtocolError where one alone is too large."""
    waiting: list[dict[str, Any]] = []
    size = 0
    for step in steps:
        message = vars(step)
        length = len(protocol.encode({"type": "steps", "batch": batch, "steps": [message]}))
        if waiting and size + length > STEPS_LIMIT:
            yield protocol.encode({"type": "steps", "batch": batch, "steps": waiting})
            waiting, size = [], 0
        waiting.append(message)
        size += length
    if waiting:
        yield protocol.encode({"type": "steps", "batch": batch, "steps": waiting})


def _blob_frames(sha256: str, content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        for start in range(0, max(len(content), 1), CHUNK):
            yield protocol.encode_blob(sha256, content[start : start + CHUNK], last=start + CHUNK >= len(content))
        return
    with content.open("rb") as file:
        chunk = file.read(CHUNK)
        while True:
            following = file.read(CHUNK)
            yield protocol.encode_blob(sha256, chunk, last=not following)
            if not following:
                return
            chunk = following


def _naming(event: HostEvent, before: str) -> str:
    """What the host last said, in the words of an error."""
    if isinstance(event, Beat):
        return before if before.endswith("(and it was alive since)") else f"{before} (and it was alive since)"
    if isinstance(event, Boot):
        return "its start"
    step = getattr(event, "step", None)
    kind = type(event).__name__.lower()
    return f"`{kind}` of step {step}" if step is not None else f"`{kind}`"
