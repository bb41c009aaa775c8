"""Puts off the import of a module until something of it is used.

`dataclasses` imports `inspect`, which costs a fifth of the agent's start and is not needed for what the agent has.
"""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["defer"]


class _Deferred(type(sys)):  # type: ignore[misc]
    """Stands for a module until an attribute of it is asked for."""

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        from importlib import import_module

        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), attribute)


def defer(name: str) -> None:
    """Let `import name` cost nothing, where it was not imported yet."""
    sys.modules.setdefault(name, _Deferred(name))
