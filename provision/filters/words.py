"""Filters and tests by name, each module of them imported when one of its names is first used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["Words"]

_COLLECTIONS = ("ansible.builtin.", "ansible.legacy.")


class Words(dict[str, Callable[..., Any]]):
    """What Jinja looks names up in. `later` says `module:function` of those that are not loaded yet."""

    def __init__(self, known: Mapping[str, Callable[..., Any]], later: Mapping[str, str]) -> None:
        super().__init__({name: known[name] for name in known if name not in later})
        self._later = later

    def __missing__(self, name: str) -> Callable[..., Any]:
        short = _short(name)
        if short not in self._later:
            if short != name and short in self:
                return self[short]
            raise KeyError(name)
        module, _, function = self._later[short].partition(":")
        found: Callable[..., Any] = getattr(import_module(f"provision.filters.{module}"), function)
        self[short] = found
        return found

    def get(self, name: str, default: Any = None) -> Any:
        """As a dict's, but it loads what is not loaded yet."""
        try:
            return self[name]
        except KeyError:
            return default

    def __contains__(self, name: object) -> bool:
        short = _short(str(name))
        return super().__contains__(short) or short in self._later

    def names(self) -> set[str]:
        return {*self, *self._later}


def _short(name: str) -> str:
    return next((name.removeprefix(one) for one in _COLLECTIONS if name.startswith(one)), name)
