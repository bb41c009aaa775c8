"""Filters over mappings and lists, with Ansible's meaning. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jinja2 import Environment, Undefined, pass_environment
from jinja2.exceptions import FilterArgumentError

from provision.source import kind_of

__all__ = [
    "combinations", "combine", "dict2items", "difference", "extract", "flatten", "intersect", "items2dict",
    "mandatory", "permutations", "product", "rekey_on_member", "subelements", "symmetric_difference", "ternary",
    "type_debug", "union", "unique", "zipped", "zipped_longest",
]  # fmt: skip

_MERGES: dict[str, Callable[[list[Any], list[Any]], list[Any]]] = {
    "replace": lambda _, high: high,
    "keep": lambda low, _: low,
    "append": lambda low, high: low + high,
    "prepend": lambda low, high: high + low,
    "append_rp": lambda low, high: [item for item in low if item not in high] + high,
    "prepend_rp": lambda low, high: high + [item for item in low if item not in high],
}


def mandatory(value: Any, msg: str | None = None) -> Any:
    if isinstance(value, Undefined):
        raise FilterArgumentError(msg or f"mandatory variable `{value._undefined_name}` is undefined")
    return value


def ternary(value: Any, true_val: Any, false_val: Any, none_val: Any = None) -> Any:
    if value is None and none_val is not None:
        return none_val
    return true_val if bool(value) else false_val


def combine(*parts: Any, recursive: bool = False, list_merge: str = "replace") -> dict[Any, Any]:
    if list_merge not in _MERGES:
        raise FilterArgumentError(f"combine: `list_merge` is one of {', '.join(_MERGES)}, not `{list_merge}`")
    result: dict[Any, Any] = {}
    for part in _flat(parts, 1):
        if not isinstance(part, Mapping):
            raise FilterArgumentError(f"combine needs dictionaries, got {kind_of(part)}")
        result = _merged(result, dict(part), recursive, _MERGES[list_merge])
    return result


def _merged(low: dict[Any, Any], high: dict[Any, Any], recursive: bool, lists: Callable[..., Any]) -> dict[Any, Any]:
    result = low | high
    for key in low.keys() & high.keys():
        old, new = low[key], high[key]
        if recursive and isinstance(old, dict) and isinstance(new, dict):
            result[key] = _merged(old, new, True, lists)
        elif isinstance(old, list) and isinstance(new, list):
            result[key] = lists(old, new)
    return result


def _flat(values: Iterable[Any], levels: int | None = None) -> list[Any]:
    result: list[Any] = []
    for value in values:
        if isinstance(value, list | tuple) and levels != 0:
            result += _flat(value, None if levels is None else levels - 1)
        else:
            result.append(value)
    return result


def flatten(values: Iterable[Any], levels: int | None = None, skip_nulls: bool = True) -> list[Any]:
    """Ansible counts the words `None` and `null` as nothing, too."""
    return [value for value in _flat(values, levels) if not (skip_nulls and _is_null(value))]


def _is_null(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value in ("None", "null"))


def dict2items(value: Any, key_name: str = "key", value_name: str = "value") -> list[dict[str, Any]]:
    if not isinstance(value, Mapping):
        raise FilterArgumentError(f"dict2items needs a dictionary, got {kind_of(value)}")
    return [{key_name: key, value_name: value[key]} for key in value]


def items2dict(items: Any, key_name: str = "key", value_name: str = "value") -> dict[Any, Any]:
    if not isinstance(items, list | tuple):
        raise FilterArgumentError(f"items2dict needs a list, got {kind_of(items)}")
    for item in items:
        if not isinstance(item, Mapping) or key_name not in item or value_name not in item:
            raise FilterArgumentError(f"items2dict needs dictionaries with `{key_name}` and `{value_name}`")
    return {item[key_name]: item[value_name] for item in items}


def unique(values: Iterable[Any], case_sensitive: bool = False, attribute: str | None = None) -> list[Any]:
    """The first of each, as Jinja's, which takes letters of both cases for one unless told otherwise."""
    return _first_of_each(values, lambda value: _key(value, case_sensitive, attribute))


def _key(value: Any, case_sensitive: bool, attribute: str | None) -> Any:
    key = value if attribute is None else _attribute(value, attribute)
    return key.lower() if isinstance(key, str) and not case_sensitive else key


def _first_of_each(values: Iterable[Any], key: Callable[[Any], Any] = lambda value: value) -> list[Any]:
    found: list[Any] = []
    seen: set[Any] = set()
    odd: list[Any] = []
    for value in values:
        one = key(value)
        try:
            new = one not in seen
            seen.add(one)
        except TypeError:
            new = one not in odd
            odd += [one] if new else []
        if new:
            found.append(value)
    return found


def _attribute(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = value[int(part) if part.isdigit() and not isinstance(value, Mapping) else part]
    return value


class _Members:
    """What is in a list, quick to ask for all that can be hashed."""

    def __init__(self, values: Iterable[Any]) -> None:
        self._quick: set[Any] = set()
        self._odd: list[Any] = []
        for value in values:
            try:
                self._quick.add(value)
            except TypeError:
                self._odd.append(value)

    def __contains__(self, value: Any) -> bool:
        try:
            return value in self._quick
        except TypeError:
            return value in self._odd


def union(left: Iterable[Any], right: Iterable[Any]) -> list[Any]:
    return _first_of_each([*left, *right])


def difference(left: Iterable[Any], right: Iterable[Any]) -> list[Any]:
    others = _Members(right)
    return _first_of_each(value for value in left if value not in others)


def intersect(left: Iterable[Any], right: Iterable[Any]) -> list[Any]:
    others = _Members(right)
    return _first_of_each(value for value in left if value in others)


def symmetric_difference(left: Iterable[Any], right: Iterable[Any]) -> list[Any]:
    mine, others = list(left), list(right)
    return difference(union(mine, others), intersect(mine, others))


def zipped(*parts: Iterable[Any]) -> list[list[Any]]:
    return [list(row) for row in zip(*parts, strict=False)]


def zipped_longest(*parts: Iterable[Any], fillvalue: Any = None) -> list[list[Any]]:
    return [list(row) for row in itertools.zip_longest(*parts, fillvalue=fillvalue)]


def product(*parts: Iterable[Any], repeat: int = 1) -> list[list[Any]]:
    return [list(row) for row in itertools.product(*parts, repeat=repeat)]


def permutations(values: Iterable[Any], length: int | None = None) -> list[list[Any]]:
    return [list(row) for row in itertools.permutations(values, length)]


def combinations(values: Iterable[Any], length: int) -> list[list[Any]]:
    return [list(row) for row in itertools.combinations(values, length)]


@pass_environment
def extract(environment: Environment, item: Any, container: Any, morekeys: Any = None) -> Any:
    """What a container holds under a key, and below it under `morekeys`."""
    keys = [] if morekeys is None else morekeys if isinstance(morekeys, list) else [morekeys]
    value = environment.getitem(container, item)
    for key in keys:
        value = environment.getitem(value, key)
    return value


def subelements(value: Any, subelements: Any, skip_missing: bool = False) -> list[list[Any]]:
    """Each element with each item of the list that it holds under a path of keys."""
    elements = list(value.values()) if isinstance(value, Mapping) else value
    path = subelements.split(".") if isinstance(subelements, str) else subelements
    if not isinstance(elements, list) or not isinstance(path, list):
        raise FilterArgumentError("subelements needs a list or a dictionary, and a key or a list of keys")
    return [[element, item] for element in elements for item in _below(element, path, skip_missing)]


def _below(element: Any, path: list[Any], skip_missing: bool) -> list[Any]:
    found = element
    for key in path:
        if not isinstance(found, Mapping):
            raise FilterArgumentError(f"subelements: `{key}` is looked for in {kind_of(found)}")
        if key not in found:
            if skip_missing:
                return []
            raise FilterArgumentError(f"subelements: an element has no `{key}`")
        found = found[key]
    if not isinstance(found, list):
        raise FilterArgumentError(f"subelements: `{'.'.join(map(str, path))}` is {kind_of(found)}, not a list")
    return found


def rekey_on_member(data: Any, key: str, duplicates: str = "error") -> dict[Any, Any]:
    """The elements by what they hold under a key."""
    if duplicates not in ("error", "overwrite"):
        raise FilterArgumentError("rekey_on_member: `duplicates` is `error` or `overwrite`")
    result: dict[Any, Any] = {}
    for element in data.values() if isinstance(data, Mapping) else data:
        if not isinstance(element, Mapping) or key not in element:
            raise FilterArgumentError(f"rekey_on_member: an element has no `{key}`")
        if duplicates == "error" and element[key] in result:
            raise FilterArgumentError(f"rekey_on_member: `{element[key]}` is there twice")
        result[element[key]] = element
    return result


def type_debug(value: Any) -> str:
    """The name of a value's type as Python has it."""
    for kind in (bool, str, int, float, list, dict, tuple):
        if isinstance(value, kind):
            return kind.__name__
    return "dict" if isinstance(value, Mapping) else type(value).__name__
