"""Resources through the agent's own loop on this machine, for tests of what needs real files or a real server."""

from __future__ import annotations

import contextlib
import http.server
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from provision.agent.protocol import Step
from provision.agent.system import System
from provision.agent.worker import Outcome, converge

Answer = Callable[[http.server.BaseHTTPRequestHandler, bytes], None]


def done(resource: str, spec: dict[str, Any], *, check: bool = False, **system: Any) -> Outcome:
    """What one step comes to; Refusal passes."""
    outcome = Outcome()
    host = System(blob=system.pop("blob", str), check=check, **system)
    converge(Step(1, resource, spec, check=check), host, lambda **_: None, lambda _: None, outcome)
    return outcome


def verbs(outcome: Outcome) -> list[str]:
    """Verb and target of each action."""
    return [f"{action.verb.word} {action.target}" for action in outcome.actions]


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


class Asked(list[tuple[str, str, dict[str, str], bytes]]):
    """What a server was asked: method, path, headers, body."""


@contextlib.contextmanager
def server(answer: Answer, certificate: str = "") -> Iterator[tuple[str, Asked]]:
    """A server that answers as told, with a certificate over TLS: its address, and what it was asked."""
    asked = Asked()

    class Handler(http.server.BaseHTTPRequestHandler):
        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.append((self.command, self.path, dict(self.headers.items()), body))
            answer(self, body)

        do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _any  # noqa: N815 (the library's names)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """A client that does not trust us ends the line."""

    own = Server(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        own.socket = context.wrap_socket(own.socket, server_side=True)
    thread = threading.Thread(target=own.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{own.server_address[1]}", asked
    finally:
        own.shutdown()
        own.server_close()
        thread.join()


def say(
    handler: http.server.BaseHTTPRequestHandler, status: int, data: bytes = b"", claimed: int | None = None, **more: str
) -> None:
    """Answer with a status, content and headers; `claimed`: a length that is not its own."""
    handler.send_response(status)
    for name, value in more.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(data) if claimed is None else claimed))
    handler.end_headers()
    handler.wfile.write(data)
