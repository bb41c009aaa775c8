"""What is kept: between runs in the user's cache folder, and within one for all threads that ask."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

__all__ = ["cache_folder", "once"]

P = ParamSpec("P")
T = TypeVar("T")


def cache_folder() -> Path:
    """Where what was fetched or built once is kept: `provision` under XDG_CACHE_HOME, else under ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "provision"


def once(function: Callable[P, T]) -> Callable[P, T]:
    """As functools.cache, but threads that ask at the same time wait for one answer; there each makes its own."""
    kept = functools.cache(function)
    lock = threading.RLock()

    @functools.wraps(function)
    def asked(*args: Any, **kwargs: Any) -> T:
        with lock:
            return kept(*args, **kwargs)

    asked.cache_clear = kept.cache_clear  # type: ignore[attr-defined]
    return asked
