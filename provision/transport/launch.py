"""Starts the agent on a host over any connection: bootstrap, sudo, marker, boot frame, agent archive.

Owns how becoming root and starting Python fail, in words. Every wait has a deadline; one channel is opened, and a
second one only where sudo wants a terminal. Must not speak with the agent beyond its start (`link.py`).
"""

from __future__ import annotations

import secrets
import shlex
import time
from collections.abc import Mapping
from typing import Any

from provision.agent import protocol
from provision.agent.protocol import Boot, Fatal
from provision.printable import printable
from provision.transport import Channel, ChannelClosed, Connection, Target, Unreachable
from provision.transport.archive import archive, command
from provision.transport.launch_errors import Ended, explain, wants_terminal
from provision.transport.link import Link

__all__ = ["launch"]

OLDEST = (3, 8)
START_DEADLINE = 30.0
"""Seconds from the start of the command to the marker."""
NOISE_LIMIT = 64 * 1024
"""Bytes that login scripts may write before the marker."""
LOOK = 0.02
"""Seconds between two looks at standard error while sudo may ask there."""


def launch(connection: Connection, target: Target, hello: Mapping[str, Any], state: str = "") -> Link:
    """The link to a started agent that has its archive and its hello; raises Unreachable.

    The agent runs as root where the target has become. `link.terminal` says whether sudo needed a terminal; the
    next event is `Ready` or `Fatal`. `state` moves the agent's folder of state.
    """
    if target.become and target.become_method != "sudo":
        raise Unreachable(
            "sudo",
            f"cannot become root on {target.name} with `{target.become_method}`",
            cause="only `sudo` is supported as `become_method`",
        )
    start = _Start(connection, target, hello, state)
    try:
        return start.attempt(terminal=False)
    except _TerminalWanted:
        return start.attempt(terminal=True)


class _TerminalWanted(Exception):
    """sudo runs only on a terminal there."""


class _Start:
    """One host's start: everything that both attempts share."""

    def __init__(self, connection: Connection, target: Target, hello: Mapping[str, Any], state: str) -> None:
        self.connection, self.target = connection, target
        self.hello = protocol.encode(dict(hello))
        self.state = state
        self.sudo = target.become and connection.user != "root"
        self.password = target.become_password if self.sudo else None

    def attempt(self, *, terminal: bool) -> Link:
        marker, prompt = secrets.token_hex(16), secrets.token_hex(16)
        channel = self.connection.start(self._command(marker, prompt, terminal), terminal=terminal)
        try:
            pipelined = self.password is None and not terminal
            if pipelined:
                self._send(channel, self.hello)
            leftover = _Opening(self, channel, marker, prompt, terminal).leftover()
            link = Link(channel, leftover, self.target.name)
            link.terminal = terminal
            if not pipelined:
                self._send(channel, self.hello)
            return self._boot(link)
        except BaseException:
            channel.close()
            raise

    def _command(self, marker: str, prompt: str, terminal: bool) -> str:
        """The command line; LC_ALL so that sudo's complaints can be read by `explain`."""
        plain_command = command(marker, self.target.python, self.state)
        if not self.sudo:
            return plain_command
        how = ["-n"] if self.password is None else ["-S", "-p", prompt]
        words = ["env", "LC_ALL=C", "sudo", *how, "-H", "-u", "root", "--"]
        sudo = f"exec {shlex.join(words)} {plain_command.removeprefix('exec ')}"
        return f"stty raw -echo && {sudo}" if terminal else sudo

    def _send(self, channel: Channel, data: bytes) -> None:
        try:
            channel.send(data)
        except ChannelClosed:
            pass  # why it closed is found where its output is read

    def _boot(self, link: Link) -> Link:
        """Read the boot frame, and send the archive where it lacks it; a Python that is too old says so itself."""
        try:
            boot = link.receive(START_DEADLINE)
            if isinstance(boot, Boot) and tuple(boot.python) < OLDEST:
                boot = link.receive(START_DEADLINE)
        except TimeoutError:
            raise self.late(link.channel, "") from None
        if isinstance(boot, Fatal):
            raise Unreachable(boot.kind, f"{self.target.name}: {boot.summary}", cause=boot.cause, hint=boot.hint)
        if isinstance(boot, Boot) and not boot.have:
            link.send_frames(archive().frames())
        return link

    def late(self, channel: Channel, noise: str) -> Unreachable:
        said = "\n".join(text for text in (noise.strip(), channel.stderr().strip()) if text)[-2000:]
        return Unreachable(
            "timeout",
            f"the agent on {self.target.name} did not start within {START_DEADLINE:g} s",
            cause=f"it said:\n{said}" if said else "it said nothing",
            hint="what do the login scripts of that user do?" if not self.sudo else "what does `sudo -v` do there?",
        )


class _Opening:
    """What comes before the marker: noise of login scripts, sudo's prompt, or an end with a reason."""

    def __init__(self, start: _Start, channel: Channel, marker: str, prompt: str, terminal: bool) -> None:
        self.start, self.channel, self.terminal = start, channel, terminal
        self.marker, self.prompt = marker.encode(), prompt
        self.seen = bytearray()
        self.answered = 0

    def leftover(self) -> bytes:
        """The bytes behind the marker; raises Unreachable, or _TerminalWanted."""
        deadline = time.monotonic() + START_DEADLINE
        asking = self.start.password is not None
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise self.start.late(self.channel, self._noise())
            try:
                data = self.channel.receive(min(left, LOOK) if asking and not self.answered else min(left, 0.5))
            except TimeoutError:
                data = None
            except ChannelClosed:
                data = b""
            if data == b"":
                raise self._ended()
            self.seen += data or b""
            position = self.seen.find(self.marker)
            if position >= 0:
                return bytes(self.seen[position + len(self.marker) :])
            if len(self.seen) > NOISE_LIMIT:
                raise self._noisy()
            if asking:
                self._answer()

    def _answer(self) -> None:
        """Send the password for the first prompt; a second prompt means that it was wrong."""
        asked = (self.channel.stderr() + self._noise()).count(self.prompt)
        if asked > 1:
            raise self._wrong()
        if asked == 1 and not self.answered:
            self.answered = 1
            self.start._send(self.channel, (self.start.password or "").encode() + b"\n")

    def _ended(self) -> Exception:
        deadline = time.monotonic() + 1.0
        while self.channel.returncode() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        target = self.start.target
        said = self.channel.stderr() + ("\n" + self._noise() if self._noise() else "")
        if self.start.sudo and not self.terminal and wants_terminal(said):
            return _TerminalWanted()
        ended = Ended(
            self.channel.returncode(), said.replace(self.prompt, ""), sudo=self.start.sudo, asked=self.answered > 0
        )
        return explain(ended, target.name, target.python, self.start.connection.user)

    def _wrong(self) -> Unreachable:
        return explain(
            Ended(1, "", sudo=True, asked=True, again=True), self.start.target.name, "", self.start.connection.user
        )

    def _noisy(self) -> Unreachable:
        return Unreachable(
            "closed",
            f"login scripts on {self.start.target.name} write without end",
            cause=f"{len(self.seen)} bytes came before the agent's start, first:\n{self._noise()[:400]}",
            hint="make them silent where the shell is not interactive",
        )

    def _noise(self) -> str:
        return printable(self.seen.decode("utf-8", "backslashreplace"))
