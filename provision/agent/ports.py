"""Who listens on a TCP port of this host, from /proc alone; must not open any socket."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Dict, Iterable, List, Optional, Sequence, Set

from .record import record

if TYPE_CHECKING:
    from .system import System

__all__ = ["Listener", "answer", "known", "listeners", "owner", "parse", "reachable"]

_LISTEN = "0A"


@record(frozen=True)
class Listener:
    """A socket that listens: `address` as text, `inode` as /proc names it."""

    address: str
    port: int
    inode: int


def listeners(port: int) -> List[Listener]:
    """All sockets that listen on a port."""
    return [socket for lines in _tables() for socket in parse(lines, port)]


def answer(_system: System, subjects: Sequence[str]) -> Dict[str, List[Listener]]:
    """The sockets of several ports, read once: the kernel walks its whole table for each reading."""
    tables = _tables()
    return {port: [socket for lines in tables for socket in parse(lines, int(port))] for port in subjects}


def known(system: System, port: int) -> List[Listener]:
    """The sockets of a port as they were read for all steps of the batch, else as they are now."""
    asked: Optional[List[Listener]] = system.answers.get(("port", str(port)))
    return listeners(port) if asked is None else asked


def _tables() -> List[List[str]]:
    tables = []
    for name in ("tcp", "tcp6"):
        try:
            with open("/proc/net/" + name, encoding="ascii") as stream:
                tables.append(stream.readlines())
        except OSError:
            continue
    return tables


def parse(lines: Iterable[str], port: int) -> List[Listener]:
    """The listening sockets of one port in a table like /proc/net/tcp."""
    found, needle = [], ":%04X " % port
    for line in lines:
        if needle not in line:
            continue
        words = line.split()
        if len(words) > 9 and words[3] == _LISTEN and words[1].endswith(needle.strip()):
            found.append(Listener(_address(words[1].partition(":")[0]), port, int(words[9])))
    return found


def owner(sockets: Iterable[Listener], candidates: Iterable[int]) -> Optional[int]:
    """The process that holds one of the sockets: among `candidates` first, then among all; None if hidden."""
    wanted = {"socket:[%d]" % socket.inode for socket in sockets}
    if not wanted:
        return None
    tried: Set[int] = set()
    for pid in candidates:
        tried.add(pid)
        if _holds(pid, wanted):
            return pid
    return next((pid for pid in _all() if pid not in tried and _holds(pid, wanted)), None)


def reachable(listener: Listener) -> str:
    """The address at which this very host reaches a listener."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listener.address, listener.address)


def _address(text: str) -> str:
    import socket

    words = struct.pack("=%dI" % (len(text) // 8), *(int(text[at : at + 8], 16) for at in range(0, len(text), 8)))
    return socket.inet_ntop(socket.AF_INET if len(words) == 4 else socket.AF_INET6, words)


def _all() -> List[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def _holds(pid: int, wanted: Set[str]) -> bool:
    folder = "/proc/%d/fd" % pid
    try:
        for entry in os.listdir(folder):
            try:
                if os.readlink(os.path.join(folder, entry)) in wanted:
                    return True
            except OSError:
                continue
    except OSError:
        pass
    return False
