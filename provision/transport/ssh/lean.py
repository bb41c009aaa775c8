"""Loads paramiko and invoke without what only their tests and their `__version__` need. Must not change them.

Measured: 40 ms of every start.
"""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Iterator

from provision.installed import version

__all__ = ["load"]


def load() -> None:
    """Import invoke and paramiko while two modules that they ask for are small stand-ins.

    `unittest.mock` brings asyncio; invoke uses it for a context that pretends to run commands, which nothing here does.
    `importlib.metadata` brings zipfile and email; paramiko asks it for its own version alone.
    """
    mock = types.ModuleType("unittest.mock")
    mock.Mock = object  # type: ignore[attr-defined]
    with _standing_in(mock):
        import invoke  # noqa: F401
    metadata = types.ModuleType("importlib.metadata")
    metadata.version = {"paramiko": version("paramiko", "paramiko")}.__getitem__  # type: ignore[attr-defined]
    with _standing_in(metadata):
        import paramiko  # noqa: F401


@contextlib.contextmanager
def _standing_in(module: types.ModuleType) -> Iterator[None]:
    """Let a module be found under its name, unless the real one is loaded already."""
    name = module.__name__
    if name in sys.modules:
        yield
        return
    sys.modules[name] = module
    try:
        yield
    finally:
        del sys.modules[name]
