"""Serves one directory over HTTP to the hosts of a lab: the conda channels and the package index.

Reads only, and only below that directory. Run as a process of its own: `python -m provision.lab.serve DIRECTORY ADDRESS
PORT`; it needs nothing while nobody asks.
"""

from __future__ import annotations

import http.server
import os
import re
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO

__all__ = ["Server", "start"]

_RANGE = re.compile(r"bytes=(?:(\d+)-(\d*)|-(\d+))$")


class Server(http.server.ThreadingHTTPServer):
    """A server of one directory; `port` 0 lets the system choose, and `server_address` tells."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, directory: Path, address: str, port: int) -> None:
        self.directory = directory.resolve()
        super().__init__((address, port), _Handler)

    def server_bind(self) -> None:
        # The inherited one looks the address up in the DNS, which a lab does not have.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no event; anything else is said on standard error."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def start(directory: Path, address: str, port: int) -> subprocess.Popen[bytes]:
    """Start a server as a process of its own, in a session of its own; the caller ends it."""
    argv = [sys.executable, "-m", __name__, str(directory), address, str(port)]
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)


class _Handler(http.server.SimpleHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    timeout = 60
    # The head of an answer and its body are two writes; without this, each waits for the client's acknowledgement.
    disable_nagle_algorithm = True
    extensions_map = {  # noqa: RUF012 (the inherited form)
        "": "application/octet-stream",
        ".conda": "application/octet-stream",
        ".html": "text/html; charset=utf-8",
        ".json": "application/json",
        ".metadata": "text/plain; charset=utf-8",
        ".whl": "application/zip",
        ".zst": "application/zstd",
    }

    def __init__(self, request: socket.socket, client_address: object, server: Server) -> None:
        super().__init__(request, client_address, server, directory=str(server.directory))

    def send_head(self) -> BinaryIO | None:
        """Answer with the head for a file, or with a part of it; the inherited one knows no parts."""
        path = Path(self.translate_path(self.path))
        if not self._shown(path):
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        span = _RANGE.match(self.headers.get("Range", ""))
        if not span or not path.is_file():
            return super().send_head()
        return self._part(path, span)

    def copyfile(self, source: Any, outputfile: Any) -> None:
        """Write the body: the whole file, or what is left of the part that was asked for."""
        left = getattr(self, "_left", None)
        if left is None:
            shutil.copyfileobj(source, outputfile, 1 << 18)
            return
        while left and (data := source.read(min(left, 1 << 18))):
            outputfile.write(data)
            left -= len(data)

    def handle_one_request(self) -> None:
        self._left: int | None = None
        super().handle_one_request()

    def end_headers(self) -> None:
        self.send_header("Accept-Ranges", "bytes")
        super().end_headers()

    def list_directory(self, path: object) -> None:  # noqa: ARG002 (the inherited name)
        """Nothing is listed."""
        self.send_error(HTTPStatus.NOT_FOUND)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""

    def _shown(self, path: Path) -> bool:
        """Whether a path lies below the directory, links followed, and has no hidden part there."""
        directory = self.server.directory
        if not path.is_relative_to(directory) or not path.resolve().is_relative_to(directory):
            return False
        return not any(part.startswith(".") for part in path.relative_to(directory).parts)

    def _part(self, path: Path, span: re.Match[str]) -> BinaryIO | None:
        size = path.stat().st_size
        first, last = _bounds(span, size)
        if first > last:
            self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        file = path.open("rb")
        file.seek(first)
        self._left = last - first + 1
        self.send_response(HTTPStatus.PARTIAL_CONTENT)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Length", str(self._left))
        self.end_headers()
        return file


def _bounds(span: re.Match[str], size: int) -> tuple[int, int]:
    """First and last byte of a range; the first lies behind the last where the file has none of them."""
    if span[3]:
        return max(0, size - int(span[3])), size - 1 if int(span[3]) else -1
    return int(span[1]), min(int(span[2] or size), size - 1)


def _main(directory: str, address: str, port: str) -> None:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    server = Server(Path(directory), address, int(port))
    # The interval is how often it looks whether it was asked to stop, which only its end does here.
    server.serve_forever(poll_interval=3600)


if __name__ == "__main__":
    _main(*sys.argv[1:])
