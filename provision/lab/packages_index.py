"""Writes the repodata of channels, in a process of its own: rattler may crash a process that ends in the usual way."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path

from provision.errors import ProvisionError

__all__ = ["index"]


def index(channels: Iterable[Path]) -> None:
    """Write repodata.json (and .zst) into every subdir of the channels; raises ProvisionError if that fails."""
    argv = [sys.executable, "-m", __name__, *map(str, channels)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise ProvisionError("the lab's channel cannot be indexed", cause=(done.stderr or done.stdout).strip()[-2000:])


async def _write(channels: Iterable[str]) -> None:
    from rattler.index.index import index_fs

    for channel in channels:
        # Shards are not asked for in one request each, and a plain file server serves whole files best.
        await index_fs(Path(channel), force=True, write_shards=False)


def _main(channels: Iterable[str]) -> int:
    try:
        asyncio.run(_write(channels))
    except Exception:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    _code = _main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(_code)
