"""The seam between sessions and wires: a `Connection` to one host gives byte channels.

Owns the contract. `ssh.py` is the only importer of fabric and paramiko, `local.py` runs here, `launch.py` starts the
agent over any connection, `link.py` speaks frames with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from provision.agent.record import record
from provision.errors import ProvisionError

__all__ = ["Channel", "ChannelClosed", "Connection", "Target", "Unreachable"]


class Unreachable(ProvisionError):
    """A host that no session can be held with; `kind` is one word: "refused", "timeout", "resolve", "host-key-unknown",
    "host-key-changed", "authentication", "ssh-config", "sudo", "python", "silence", "closed"."""

    def __init__(self, kind: str, summary: str, *, cause: str = "", hint: str = "") -> None:
        super().__init__(summary, cause=cause, hint=hint, exit_code=4)
        self.kind = kind


class ChannelClosed(Exception):
    """The other side is gone."""


@record(frozen=True, slots=True)
class Target:
    """Where and as whom a host is reached; made from its inventory variables and the command line.

    `password` and `become_password` are asked for once and are None when not given. `ssh_arguments` are the words of
    `ansible_ssh_common_args`. `known_hosts` are files to be read, in order, before the user's own.
    """

    name: str
    address: str
    port: int | None = None
    user: str | None = None
    connection: str = "ssh"
    private_key_file: str | None = None
    password: str | None = None
    ssh_arguments: Sequence[str] = ()
    known_hosts: Sequence[str] = ()
    become: bool = False
    become_user: str = "root"
    become_method: str = "sudo"
    become_password: str | None = None
    python: str = "python3"
    connect_timeout: float = 10.0


class Channel(Protocol):
    """The standard streams of one command on a host. `send` and `receive` may be used by two threads."""

    def send(self, data: bytes) -> None:
        """Send all of `data`; raises ChannelClosed."""

    def receive(self, timeout: float) -> bytes:
        """At least one byte of standard output, b"" at its end; raises TimeoutError after `timeout` seconds."""

    def stderr(self) -> str:
        """What came on standard error so far: its last 64 KiB, control characters stripped."""

    def returncode(self) -> int | None:
        """The command's exit status, or None while it is not known."""

    def close(self) -> None: ...


class Connection(Protocol):
    """One authenticated connection to a host; `user` is who was logged in."""

    @property
    def user(self) -> str: ...

    def start(self, command: str, *, terminal: bool = False) -> Channel:
        """Start a command through the login shell; `terminal`: on a pseudo-terminal. Raises Unreachable."""

    def close(self) -> None: ...
