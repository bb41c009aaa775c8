"""Writes a text file whole or not at all; whoever reads meanwhile sees the old one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

__all__ = ["write_whole", "write_whole_bytes"]


def write_whole(path: Path, text: str, *, mode: int | None = None, durable: bool = True) -> None:
    """Replace or make a file by one rename; nobody else can read it until then. Raises OSError, and leaves nothing.

    `mode` None: that of the file that is there, else 0644. `durable`: it survives a crash of this machine, too.
    """
    write_whole_bytes(path, text.encode("utf-8", "surrogateescape"), mode=mode, durable=durable)


def write_whole_bytes(path: Path, data: bytes, *, mode: int | None = None, durable: bool = True) -> None:
    """As `write_whole`, of bytes."""
    path = path.resolve()
    seen = path.stat() if path.exists() else None
    descriptor, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if seen and os.geteuid() == 0:
                os.fchown(descriptor, seen.st_uid, seen.st_gid)
            os.fchmod(descriptor, mode if mode is not None else seen.st_mode & 0o7777 if seen else 0o644)
            if durable:
                os.fsync(descriptor)
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise
