"""Byte streams that SSH runs over: TCP sockets that never wait for an acknowledgement, and proxy commands.

Owns resolving, dialling and the errors of both; knows nothing of SSH. Nagle's algorithm together with delayed
acknowledgements costs a request and answer protocol 40 ms a turn, so both are off.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from typing import IO, Any

from provision.transport import Unreachable

__all__ = ["ProxySocket", "QuickSocket", "dial", "proxy"]

PEER_GONE = 15.0
"""Seconds after which the kernel gives up a peer that acknowledges nothing (SSH's own keep-alive would not notice)."""

Address = tuple[int, Any]
"""An address family and the address in the form that the socket module takes."""


class QuickSocket(socket.socket):
    """A TCP socket with neither Nagle's algorithm nor delayed acknowledgements, which notices a dead peer."""

    def prepare(self) -> None:
        """Set the options that hold for the whole connection."""
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_USER_TIMEOUT", int(PEER_GONE * 1000))):
            if hasattr(socket, name):
                self.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._acknowledge_at_once()

    def recv(self, *arguments: int) -> bytes:
        """Receive, and acknowledge at once: the kernel forgets that wish after each turn."""
        data = super().recv(*arguments)
        self._acknowledge_at_once()
        return data

    def close(self) -> None:
        """Close at once, also while another thread waits in `recv`."""
        with contextlib.suppress(OSError):
            self.shutdown(socket.SHUT_RDWR)
        super().close()

    def _acknowledge_at_once(self) -> None:
        if hasattr(socket, "TCP_QUICKACK"):
            with contextlib.suppress(OSError):
                self.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


class ProxySocket(socket.socket):
    """One end of a socket pair whose other end is the standard input and output of a proxy command."""

    process: subprocess.Popen[bytes] | None = None
    complaints: IO[bytes] | None = None
    said = ""
    """The end of what the command wrote on standard error, once the stream is closed."""

    def close(self) -> None:
        """Close, and end the command with all that it started."""
        with contextlib.suppress(OSError):
            self.shutdown(socket.SHUT_RDWR)
        super().close()
        process, self.process = self.process, None
        if process is not None:
            _end(process)
        complaints, self.complaints = self.complaints, None
        if complaints is not None:
            complaints.seek(max(0, complaints.seek(0, os.SEEK_END) - 2000))
            self.said = complaints.read().decode(errors="replace").strip()
            complaints.close()


def dial(
    host: str,
    port: int,
    *,
    timeout: float,
    name: str,
    family: int = socket.AF_UNSPEC,
    source: str | None = None,
    attempts: int = 1,
) -> QuickSocket:
    """A connected socket, each address of the host tried in turn; raises Unreachable within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    addresses = _resolve(host, port, family, timeout, name)
    error: OSError = TimeoutError()
    for attempt in range(max(1, attempts)):
        if attempt and deadline - time.monotonic() > 1:
            time.sleep(1)
        for index, address in enumerate(addresses):
            share = max(0.0, deadline - time.monotonic()) / (len(addresses) - index)
            try:
                return _connect(address, share, source)
            except OSError as problem:
                error = problem
    raise _dial_error(error, host, port, timeout, name)


def proxy(command: str, *, name: str) -> ProxySocket:
    """A stream through a proxy command, run by /bin/sh as ssh does; raises Unreachable when it cannot start."""
    ours, theirs = socket.socketpair()
    stream = ProxySocket(ours.family, ours.type, ours.proto, fileno=ours.detach())
    stream.complaints = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the stream
    try:
        stream.process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command}"],
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=stream.complaints,
            start_new_session=True,
        )
    except OSError as error:
        stream.close()
        raise Unreachable("closed", f"cannot run the ProxyCommand of {name}", cause=str(error)) from None
    finally:
        theirs.close()
    return stream


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1)
            return


def _connect(address: Address, timeout: float, source: str | None) -> QuickSocket:
    stream = QuickSocket(address[0], socket.SOCK_STREAM)
    try:
        stream.settimeout(max(timeout, 0.01))
        if source:
            stream.bind((source, 0))
        stream.connect(address[1])
        stream.prepare()
    except BaseException:
        socket.socket.close(stream)
        raise
    return stream


def _resolve(host: str, port: int, family: int, timeout: float, name: str) -> Sequence[Address]:
    """Numeric addresses at once; names in a thread of their own, since the resolver knows no deadline."""
    with contextlib.suppress(socket.gaierror):
        return _lookup(host, port, family, socket.AI_NUMERICHOST)
    found: list[Sequence[Address] | OSError] = []

    def ask() -> None:
        try:
            found.append(_lookup(host, port, family, 0))
        except (OSError, UnicodeError) as error:
            found.append(error if isinstance(error, OSError) else OSError(str(error)))

    thread = threading.Thread(target=ask, name=f"resolve {host}", daemon=True)
    thread.start()
    thread.join(timeout)
    answer = found[0] if found else TimeoutError(f"the resolver gave no answer within {timeout:g} s")
    if isinstance(answer, OSError):
        raise Unreachable(
            "resolve",
            f"cannot find the address of {name}",
            cause=f"`{host}`: {answer.strerror or answer}",
            hint="set `ansible_host` to an address, or mend the name in DNS or /etc/hosts",
        )
    return answer


def _lookup(host: str, port: int, family: int, flags: int) -> Sequence[Address]:
    rows = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=flags)
    return list(dict.fromkeys((row[0], row[4]) for row in rows))


def _dial_error(error: OSError, host: str, port: int, timeout: float, name: str) -> Unreachable:
    if isinstance(error, TimeoutError):
        return Unreachable(
            "timeout",
            f"cannot connect to {name} within {timeout:g} s",
            cause=f"`{host}` port {port} gives no answer",
            hint="is the host up, and does a firewall let port and address through?",
        )
    hint = "is sshd running there, and is the port right (`ansible_port`)?"
    return Unreachable(
        "refused",
        f"cannot connect to {name}",
        cause=f"`{host}` port {port}: {error.strerror or error}",
        hint=hint if isinstance(error, ConnectionRefusedError) else "check the address (`ansible_host`) and the route",
    )
