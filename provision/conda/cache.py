"""Where things stand that came with this program or were fetched once: the cache folder and the uv binary."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_folder", "uv"]


def cache_folder() -> Path:
    """Where what was fetched or built once is kept: `provision` under XDG_CACHE_HOME, else under ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "provision"


def uv() -> str:
    """The path of the uv binary that came with this program."""
    from uv import find_uv_bin

    return os.fspath(find_uv_bin())
