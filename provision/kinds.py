"""Values against types as annotations state them, strictly: text is no number, and a number no text.

Knows the few types that keywords and options have. Must not convert anything but a whole number where a float is meant.
"""

from __future__ import annotations

import functools
import types
from typing import Any, Union, get_args, get_origin

__all__ = ["Misfit", "conform"]

_WORDS = {
    str: "a valid string",
    bool: "a valid boolean",
    int: "a valid integer",
    float: "a valid number",
    list: "a valid list",
    dict: "a valid mapping",
    types.NoneType: "nothing",
}


class Misfit(ValueError):
    """A value of another type; `wanted` says what it should be, and `path` leads to the part that is wrong."""

    def __init__(self, wanted: str, path: tuple[Any, ...] = ()) -> None:
        super().__init__(f"it should be {wanted}")
        self.wanted = wanted
        self.path = path


def conform(kind: Any, value: Any) -> Any:
    """The value, where it is of that type; containers become plain ones. Raises Misfit."""
    if kind is Any or type(value) in _plainly(kind):
        return value
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _one_of(get_args(kind), value)
    plain = origin or kind
    if plain is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, plain) or (isinstance(value, bool) and plain is not bool):
        raise Misfit(_WORDS[plain])
    if plain is list and get_args(kind):
        return [_inside(get_args(kind)[0], item, index) for index, item in enumerate(value)]
    if plain is dict and get_args(kind):
        keys, values = get_args(kind)
        return {_inside(keys, key, key): _inside(values, item, key) for key, item in value.items()}
    return value


@functools.cache
def _plainly(kind: Any) -> frozenset[type]:
    """The types of values that conform to a type without a look inside."""
    parts = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    return frozenset(part for part in parts if part in (str, bool, int, float, types.NoneType))


def _inside(kind: Any, value: Any, place: Any) -> Any:
    try:
        return conform(kind, value)
    except Misfit as error:
        raise Misfit(error.wanted, (place, *error.path)) from None


def _one_of(parts: tuple[Any, ...], value: Any) -> Any:
    """Exact types first: a whole number that may be one stays one."""
    wrong: list[Misfit] = []
    for part in sorted(parts, key=lambda part: part is not type(value)):
        try:
            return conform(part, value)
        except Misfit as error:
            wrong.append(error)
    inner = [error for error in wrong if error.path]
    raise inner[0] if len(inner) == 1 else Misfit(_listed([part for part in parts if part is not types.NoneType]))


def _listed(parts: list[Any]) -> str:
    words = [_WORDS[get_origin(part) or part] for part in parts]
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
