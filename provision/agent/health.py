"""One HTTP question to an app on this host, over a bare socket so that no proxy and no library is in between."""

from __future__ import annotations

import time
from typing import Union

from .record import record

__all__ = ["Answer", "ask", "judge"]

_LIMIT = 64 * 1024


@record(frozen=True)
class Answer:
    """What came back; `status` is 0 where nothing that is HTTP came, and `problem` then says why."""

    status: int
    body: str = ""
    problem: str = ""


def ask(address: str, port: int, path: str, timeout: float) -> Answer:
    """GET a path by HTTP/1.0 within `timeout` seconds in all; never raises for what the other side does."""
    import socket

    deadline = time.monotonic() + timeout
    try:
        with socket.create_connection((address, port), timeout) as connection:
            host = "[%s]" % address if ":" in address else address
            request = "GET %s HTTP/1.0\r\nHost: %s:%d\r\nUser-Agent: provision\r\nAccept: */*\r\n\r\n" % (
                path,
                host,
                port,
            )
            connection.sendall(request.encode("utf-8"))
            return _parsed(_received(connection, deadline))
    except OSError as error:
        return Answer(0, problem=_why(error, timeout))


def judge(answer: Answer, expect: Union[int, str]) -> str:
    """Why an answer is not the expected one, "" when it is; `expect`: a status, or text within the body of a 200."""
    if answer.problem:
        return answer.problem
    wanted = expect if isinstance(expect, int) else 200
    if answer.status != wanted:
        return "answers HTTP %d where %d is expected" % (answer.status, wanted)
    if isinstance(expect, str) and expect not in answer.body:
        return "answers HTTP 200, but without the text `%s`" % expect
    return ""


def _received(connection: object, deadline: float) -> bytes:
    data = b""
    while len(data) < _LIMIT:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)  # type: ignore[attr-defined]
        chunk = connection.recv(_LIMIT)  # type: ignore[attr-defined]
        if not chunk:
            break
        data += chunk
    return data


def _parsed(data: bytes) -> Answer:
    head, _, body = data.partition(b"\r\n\r\n")
    words = head.split(b"\r\n")[0].split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        return Answer(
            0, problem="answers something that is not HTTP" if data else "closes the connection without a word"
        )
    return Answer(int(words[1]), body.decode("utf-8", "replace"))


def _why(error: OSError, timeout: float) -> str:
    if isinstance(error, TimeoutError) or "timed out" in str(error):
        return "does not answer within %g s" % timeout
    if isinstance(error, ConnectionRefusedError):
        return "refuses connections"
    return "does not answer: %s" % (error.strerror or error)
