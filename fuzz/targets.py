"""What the fuzzers feed, one function a target: any input either has a value or is refused by name.

Whatever else is raised is a defect. Also run by the tests over the inputs that were found.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from provision.agent.protocol import Decoder, ProtocolError
from provision.conda.environment import Environment, read
from provision.conda.lock import check, read_lock
from provision.conda.locked import content_digest
from provision.conda.mirrors import Settings
from provision.errors import ProvisionError
from provision.patterns import expand, select
from provision.source import loads
from provision.transport.checked import checked

__all__ = ["TARGETS"]

HOSTS = dict.fromkeys(["gpu-01", "gpu-02", "db.example.com", "a", "b"])
GROUPS = {"all": [*HOSTS], "gpu": ["gpu-01", "gpu-02"], "empty": [], "web": ["a", "b"]}
MANIFEST: dict[str, Any] = {
    "name": "fuzz-py311",
    "locked": "2026-01-01T00:00:00Z",
    "packages": [{"name": "python", "version": "3.11", "build": "0", "url": "u", "sha256": "0", "size": 1}],
    "pip": [
        {"name": "a", "version": "1", "index": "i", "kind": "k", "wheels": [{"url": "u", "sha256": "0"}], "by": []}
    ],
    "platform": "linux-64",
    "virtual_packages": ["__glibc=2.17"],
    "floor": {"glibc": "2.17", "driver": None},
    "expect": {"torch": "2.0.1"},
    "imports": ["torch"],
    "simulated": False,
    "python": "3.11",
    "variables": {},
    "provided": [],
    "environment": {"sha256": "0", "asks": {"dependencies": ["python=3.11"]}},
    "files": {"conda": None, "pip": None},
}
ENVIRONMENT = "name: fuzz-py311\nchannels: [conda-forge]\ndependencies: [python=3.11]\n"


def source(data: bytes) -> None:
    """YAML as operators write it; what is not UTF-8 never gets that far."""
    with contextlib.suppress(UnicodeDecodeError, ProvisionError):
        loads(data.decode("utf-8-sig"), "fuzzed.yaml")


def patterns(data: bytes) -> None:
    """Host patterns and ranges of an inventory."""
    text = data.decode("utf-8", "replace")
    with contextlib.suppress(ProvisionError):
        select(text, HOSTS, GROUPS)
    with contextlib.suppress(ProvisionError):
        expand(text)


def frames(data: bytes) -> None:
    """What an agent sends, up to the event that a session acts on.

    The first byte says how: as a stream in pieces of so many bytes, or, where it is odd, as the body of one frame.
    """
    first, rest = (data[0], data[1:]) if data else (0, b"")
    stream = len(rest).to_bytes(4, "big") + rest if first % 2 else rest
    decoder = Decoder()
    with contextlib.suppress(ProtocolError):
        for start in range(0, len(stream), first + 1):
            for message in decoder.feed(stream[start : start + first + 1]):
                if isinstance(message, dict):
                    checked(message)


def locks(data: bytes) -> None:
    """The manifest of a lock: as it comes, or, as the first byte says, a good one with a part of it replaced."""
    place, environment, settings = _beside_an_environment()
    (place / f"{environment.name}.lock.json").write_bytes(_manifest(data))
    with contextlib.suppress(ProvisionError):
        lock = read_lock(environment, settings)
        if lock is not None:
            check(environment, lock, settings)


def _manifest(data: bytes) -> bytes:
    kind, rest = (data[0], data[1:]) if data else (0, b"")
    keys = [*MANIFEST]
    if kind >= 2 * len(keys):
        return rest
    try:
        value = json.loads(rest)
    except (ValueError, RecursionError):
        value = rest.decode("utf-8", "replace")
    made = json.loads(json.dumps(MANIFEST))
    key = keys[kind // 2]
    if kind % 2 and key in ("packages", "pip") and isinstance(value, dict):
        made[key] = [{**made[key][0], **value}]
    else:
        made[key] = value
    return json.dumps({"format": 1, "digest": content_digest(made), **made}).encode("utf-8", "surrogatepass")


_PLACES: list[tuple[Path, Environment, Settings]] = []
_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []


def _beside_an_environment() -> tuple[Path, Environment, Settings]:
    if not _PLACES:
        _FOLDERS.append(tempfile.TemporaryDirectory(prefix="provision-fuzz-"))
        place = Path(_FOLDERS[-1].name)
        (place / "environment.yml").write_text(ENVIRONMENT)
        _PLACES.append((place, read(place / "environment.yml"), Settings()))
    return _PLACES[0]


TARGETS: dict[str, Callable[[bytes], None]] = {
    "source": source,
    "patterns": patterns,
    "frames": frames,
    "locks": locks,
}
