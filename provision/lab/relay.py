"""A TCP relay between the control node and a host, which can be slow, late, or cut connections with a reset."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Relay:
    """`port` of 127.0.0.1 leads to the target; `delay` in seconds and `rate` in bytes a second hold each way."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.delay = 0.0
        self.rate = 0.0
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def reset(self) -> None:
        """End every connection so that both sides see a reset."""
        for pair in self._pairs:
            for side in pair:
                try:
                    side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    side.shutdown(socket.SHUT_RD)
                    side.close()
                except OSError:
                    pass
        self._pairs.clear()

    def close(self) -> None:
        self._listener.close()
        self.reset()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(self.target, 10)
            except OSError:
                return
            far.settimeout(None)
            self._pairs.append((near, far))
            for one, two in ((near, far), (far, near)):
                threading.Thread(target=self._copy, args=(one, two), daemon=True).start()

    def _copy(self, one: socket.socket, two: socket.socket) -> None:
        try:
            while data := one.recv(1 << 14):
                while data:
                    part, data = (data[:16], data[16:]) if self.rate else (data, b"")
                    time.sleep(self.delay + (len(part) / self.rate if self.rate else 0.0))
                    two.sendall(part)
        except OSError:
            pass
        finally:
            try:
                two.shutdown(socket.SHUT_WR)
            except OSError:
                pass


@contextmanager
def relay(address: str) -> Iterator[Relay]:
    """A relay to the sshd at an address, for as long as the block runs."""
    own = Relay((address, 22))
    try:
        yield own
    finally:
        own.close()
