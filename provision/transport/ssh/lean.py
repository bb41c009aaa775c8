"""Loads invoke, which fabric and paramiko import, without what only its users' tests need. Must not change it."""

from __future__ import annotations

import sys
import types

__all__ = ["load"]


def load() -> None:
    """Import invoke while `unittest.mock` is an empty stand-in: the real one brings asyncio, 30 ms of every start.

    invoke uses it for a context that pretends to run commands, which nothing here does.
    """
    if "invoke" in sys.modules or "unittest.mock" in sys.modules:
        return
    stand_in = types.ModuleType("unittest.mock")
    stand_in.Mock = object  # type: ignore[attr-defined]
    sys.modules["unittest.mock"] = stand_in
    try:
        import invoke  # noqa: F401
    finally:
        del sys.modules["unittest.mock"]
