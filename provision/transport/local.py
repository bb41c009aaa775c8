"""A connection to this very machine: commands run here, by /bin/sh, over pipes."""

from __future__ import annotations

import contextlib
import os
import pwd
import select
import subprocess
import threading

from provision.printable import printable
from provision.transport import Channel, ChannelClosed, Target, Unreachable

__all__ = ["LocalChannel", "LocalConnection", "connect"]

_STDERR_LIMIT = 64 * 1024
_GRACE = 12.0
"""Seconds that the agent gets to stop once its input is closed: it promises ten."""


class LocalChannel:
    """The standard streams of a command that runs here."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin and process.stdout and process.stderr
        self._process = process
        self._input = process.stdin.fileno()
        self._output = process.stdout.fileno()
        self._errors = bytearray()
        self._reader = threading.Thread(target=self._drain_errors, daemon=True)
        self._reader.start()

    def send(self, data: bytes) -> None:
        """Send all of `data`; raises ChannelClosed."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._input, view) :]
        except OSError:
            raise ChannelClosed from None

    def receive(self, timeout: float) -> bytes:
        """At least one byte of standard output, b"" at its end; raises TimeoutError after `timeout` seconds."""
        poll = select.poll()
        poll.register(self._output, select.POLLIN)
        if not poll.poll(timeout * 1000):
            raise TimeoutError
        return os.read(self._output, 1 << 18)

    def stderr(self) -> str:
        """The last 64 KiB of standard error so far."""
        return printable(self._errors.decode("utf-8", "backslashreplace"))

    def returncode(self) -> int | None:
        """The command's exit status, or None while it runs."""
        return self._process.poll()

    def close(self) -> None:
        """Close its input, upon which the agent stops; kill it when it does not."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(1.0)
        if self._process.stderr:
            self._process.stderr.close()

    def _drain_errors(self) -> None:
        assert self._process.stderr
        descriptor = self._process.stderr.fileno()
        while True:
            try:
                data = os.read(descriptor, 4096)
            except OSError:
                return
            if not data:
                return
            self._errors += data
            del self._errors[:-_STDERR_LIMIT]


def connect(target: Target) -> LocalConnection:
    """A connection to this machine, for a host with `ansible_connection: local`; raises Unreachable."""
    user = pwd.getpwuid(os.geteuid()).pw_name
    if target.user is not None and target.user != user:
        raise Unreachable(
            "authentication",
            f"cannot act as `{target.user}` on {target.name} over a local connection",
            cause=f"a local connection acts as who runs `provision`, which is `{user}`",
            hint="leave out the user, or use `become` with `become_user`",
        )
    return LocalConnection()


class LocalConnection:
    """Runs commands on this machine as the user who runs this process."""

    def __init__(self) -> None:
        self.user = pwd.getpwuid(os.geteuid()).pw_name

    def start(self, command: str, *, terminal: bool = False) -> Channel:
        """Start a command; raises Unreachable where no terminal can be given or nothing can be started."""
        if terminal:
            raise Unreachable(
                "sudo",
                "sudo on this machine wants a terminal",
                cause="`requiretty` is set, and a local connection has no terminal",
                hint="run `provision` itself with sudo, or take `requiretty` out of the sudoers for this user",
            )
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise Unreachable("closed", "cannot start a shell on this machine", cause=str(error)) from None
        return LocalChannel(process)

    def close(self) -> None:
        """Nothing is kept open."""
