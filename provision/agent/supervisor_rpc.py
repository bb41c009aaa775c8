"""Speaks with supervisor over its socket: XML-RPC by HTTP/1.0, one connection a question.

Must not know files or units.
"""

from __future__ import annotations

from typing import Any, Dict, Optional

from .record import record
from .resource import Refusal

__all__ = ["ALREADY_ADDED", "ALREADY_STARTED", "BAD_NAME", "NOT_RUNNING", "SOCKET", "Told", "call", "processes"]

SOCKET = "/run/provision/supervisor.sock"
BAD_NAME, ALREADY_STARTED, NOT_RUNNING, ALREADY_ADDED = 10, 60, 70, 90
_DEADLINE = 60.0


@record(frozen=True)
class Told:
    """A process as supervisor sees it."""

    state: str
    pid: int


def processes() -> Optional[Dict[str, Told]]:
    """Every program by name; None where no supervisor answers."""
    try:
        found = call("getAllProcessInfo")
    except OSError:
        return None
    return {item["name"]: Told(str(item["statename"]), int(item["pid"])) for item in found}


def call(method: str, *arguments: Any, ignoring: int = 0) -> Any:
    """What a method of supervisor gives, None for the fault `ignoring`; Refusal for another, OSError for no answer."""
    from xmlrpc.client import Fault, dumps, loads

    body = dumps(arguments, "supervisor." + method).encode()
    try:
        return loads(_answer(body))[0][0]
    except Fault as fault:
        if fault.faultCode == ignoring:
            return None
        raise Refusal(
            "supervisor cannot do `%s`" % " ".join([method, *(str(word) for word in arguments if word is not True)]),
            str(fault.faultString),
            "see `/var/log/provision/supervisord.log`",
        ) from None


def _answer(body: bytes) -> bytes:
    import socket

    head = "POST /RPC2 HTTP/1.0\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n" % len(body)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_DEADLINE)
        connection.connect(SOCKET)
        connection.sendall(head.encode() + body)
        data = b"".join(iter(lambda: connection.recv(65536), b""))
    status, _, content = data.partition(b"\r\n\r\n")
    if b" 200 " not in status.split(b"\r\n")[0]:
        raise OSError("supervisor answers %r" % status[:80])
    return content
