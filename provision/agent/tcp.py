"""Connections over TCP: whether a port answers and with what, and who is connected to one, from /proc.

Must not wait longer than told.
"""

from __future__ import annotations

import select
import time
from typing import Any, Dict, List, Optional, Tuple

__all__ = ["ACTIVE", "STATES", "connections", "greeting", "parse"]

STATES: Dict[str, str] = {
    "ESTABLISHED": "01",
    "SYN_SENT": "02",
    "SYN_RECV": "03",
    "FIN_WAIT1": "04",
    "FIN_WAIT2": "05",
    "TIME_WAIT": "06",
}
"""States of a connection by the numbers of /proc/net/tcp."""
ACTIVE = ("ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "SYN_RECV", "SYN_SENT", "TIME_WAIT")
_LIMIT = 1 << 20


def greeting(host: str, port: int, connect: float, wait: float, pattern: Any) -> Optional[bytes]:
    """What the port says until `pattern` matches, b"" without one; None where nobody answers within `connect` s."""
    import socket

    end = time.monotonic() + wait
    try:
        line = socket.create_connection((host, port), connect)
    except (OSError, UnicodeError):
        return None
    with line:
        data = b""
        while pattern is not None and not pattern.search(data) and len(data) < _LIMIT:
            left = end - time.monotonic()
            if left <= 0 or not select.select([line], [], [], left)[0]:
                break
            try:
                part = line.recv(4096)
            except OSError:
                break
            if not part:
                break
            data += part
        return data


def connections(host: str, port: int, spared: List[str], states: List[str]) -> int:
    """How many connections to a port of this host there are, those from `spared` hosts left out."""
    addresses, others = _addresses(host), [address for name in spared for address in _addresses(name)]
    wanted, count = {STATES[name] for name in states}, 0
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(path, encoding="ascii") as stream:
                rows = parse(stream.read())
        except FileNotFoundError:
            continue
        for here, number, there, state in rows:
            ours = number == port and (here in addresses or "any" in addresses)
            count += ours and state in wanted and there not in others
    return count


def parse(text: str) -> List[Tuple[str, int, str, str]]:
    """Local address and port, remote address and state of each row of a table of /proc/net."""
    found = []
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) > 3:
            here, _, port = words[1].partition(":")
            found.append((_plain(here), int(port, 16), _plain(words[2].partition(":")[0]), words[3]))
    return found


def _plain(digits: str) -> str:
    """An address of the table as people write it; IPv4 within IPv6 as IPv4."""
    import socket

    data = b"".join(bytes.fromhex(digits[at : at + 8])[::-1] for at in range(0, len(digits), 8))
    if len(data) == 4:
        return socket.inet_ntop(socket.AF_INET, data)
    if data.startswith(b"\0" * 10 + b"\xff\xff"):
        return socket.inet_ntop(socket.AF_INET, data[12:])
    return socket.inet_ntop(socket.AF_INET6, data)


def _addresses(host: str) -> List[str]:
    import socket

    if host in ("0.0.0.0", "::"):
        return ["any"]
    try:
        return sorted({str(entry[4][0]) for entry in socket.getaddrinfo(host, None)})
    except OSError:
        return [host]
