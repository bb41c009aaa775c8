"""The standard streams of one command on a host, over a channel of an SSH connection.

Must not decide anything: deadlines come from callers, but for sending.
"""

from __future__ import annotations

import contextlib
import threading
import time

import paramiko

from provision.printable import printable
from provision.transport import ChannelClosed

__all__ = ["SshChannel"]

SEND_DEADLINE = 30.0
"""Seconds after which a host that takes no more data is given up."""
STDERR_KEPT = 64 * 1024
CHUNK = 256 * 1024


class SshChannel:
    """The standard streams of one command. Both output streams are drained, so that neither blocks the other."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self._arrived = _Arrival()
        self._errors = bytearray()
        channel.settimeout(SEND_DEADLINE)
        channel.in_buffer.set_event(self._arrived)
        channel.in_stderr_buffer.set_event(self._arrived)

    def send(self, data: bytes) -> None:
        """Send all of `data`; raises ChannelClosed, also when the host took nothing for 30 s."""
        view = memoryview(data)
        try:
            while view:
                sent = self._channel.send(view[:CHUNK].tobytes())
                if not sent:
                    raise ChannelClosed
                view = view[sent:]
        except (OSError, EOFError, paramiko.SSHException):
            raise ChannelClosed from None

    def receive(self, timeout: float) -> bytes:
        """At least one byte of standard output, b"" at its end; raises TimeoutError."""
        deadline = time.monotonic() + timeout
        while True:
            self._arrived.forget()
            ended = self._channel.eof_received or self._channel.closed
            self._drain_errors()
            if self._channel.recv_ready():
                return bytes(self._channel.recv(CHUNK))
            if ended:
                return b""
            if not self._arrived.wait(deadline - time.monotonic()):
                raise TimeoutError

    def stderr(self) -> str:
        """What came on standard error so far: its last 64 KiB, control characters stripped."""
        self._drain_errors()
        return printable(self._errors.decode("utf-8", "backslashreplace"))

    def returncode(self) -> int | None:
        """The exit status, or None while it is not known; -1 for a command that a signal ended."""
        return int(self._channel.exit_status) if self._channel.status_event.is_set() else None

    def close(self) -> None:
        """Close the channel; the command sees the end of its input."""
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self._channel.close()

    def _drain_errors(self) -> None:
        while self._channel.recv_stderr_ready():
            self._errors += self._channel.recv_stderr(CHUNK)
            del self._errors[:-STDERR_KEPT]


class _Arrival:
    """What paramiko's buffers set when data came; the reader alone forgets it, since two buffers share it."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    def clear(self) -> None:
        """One buffer is empty, which says nothing about the other."""

    def forget(self) -> None:
        self._event.clear()

    def wait(self, timeout: float) -> bool:
        return self._event.wait(max(timeout, 0.0))
