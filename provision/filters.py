"""Filters and tests that Ansible has and Jinja lacks, with Ansible's meaning.

Pure functions of their arguments: no file, no process, no network, no clock.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import operator
import posixpath
import re
from collections.abc import Callable, Iterable
from typing import Any

import yaml
from jinja2 import Undefined
from jinja2.exceptions import FilterArgumentError

from provision.source import plain

__all__ = ["FILTERS", "GLOBALS", "TESTS", "truth"]

GLOBALS = frozenset(("range", "dict", "namespace", "joiner", "cycler"))


def truth(value: Any) -> bool:
    """Ansible's `bool`: yes, on, true, 1 in any case are true; all other text is false."""
    if isinstance(value, str):
        return value.strip().lower() in ("yes", "on", "true", "1")
    return bool(value)


def _mandatory(value: Any, message: str | None = None) -> Any:
    if isinstance(value, Undefined):
        raise FilterArgumentError(message or f"mandatory variable `{value._undefined_name}` is undefined")
    return value


def _ternary(value: Any, true: Any, false: Any, none: Any = None) -> Any:
    if value is None and none is not None:
        return none
    return true if bool(value) else false


def _combine(*parts: Any, recursive: bool = False, list_merge: str = "replace") -> dict[Any, Any]:
    if list_merge != "replace":
        raise FilterArgumentError("combine: list_merge is not supported")
    result: dict[Any, Any] = {}
    for part in _flat(parts):
        if not isinstance(part, dict):
            raise FilterArgumentError(f"combine needs dictionaries, got {type(part).__name__}")
        result = _merged(result, part, recursive)
    return result


def _merged(low: dict[Any, Any], high: dict[Any, Any], recursive: bool) -> dict[Any, Any]:
    result = low | high
    if recursive:
        both = (key for key in low if isinstance(low[key], dict) and isinstance(high.get(key), dict))
        result |= {key: _merged(low[key], high[key], True) for key in both}
    return result


def _flat(values: Iterable[Any], levels: int | None = None) -> list[Any]:
    result = []
    for value in values:
        if isinstance(value, list | tuple) and levels != 0:
            result += _flat(value, None if levels is None else levels - 1)
        else:
            result.append(value)
    return result


def _flatten(values: Iterable[Any], levels: int | None = None, skip_nulls: bool = True) -> list[Any]:
    return [value for value in _flat(values, levels) if not (skip_nulls and value is None)]


def _dict2items(value: dict[Any, Any], key_name: str = "key", value_name: str = "value") -> list[dict[str, Any]]:
    if not isinstance(value, dict):
        raise FilterArgumentError(f"dict2items needs a dictionary, got {type(value).__name__}")
    return [{key_name: key, value_name: item} for key, item in value.items()]


def _items2dict(items: Iterable[dict[str, Any]], key_name: str = "key", value_name: str = "value") -> dict[Any, Any]:
    return {item[key_name]: item[value_name] for item in items}


def _flags(ignorecase: bool, multiline: bool) -> int:
    return (re.IGNORECASE if ignorecase else 0) | (re.MULTILINE if multiline else 0)


def _regex_replace(
    value: Any = "",
    pattern: str = "",
    replacement: str = "",
    ignorecase: bool = False,
    multiline: bool = False,
    count: int = 0,
) -> str:
    return re.sub(pattern, replacement, str(value), count=count, flags=_flags(ignorecase, multiline))


def _regex_search(value: Any, pattern: str, *groups: str, ignorecase: bool = False, multiline: bool = False) -> Any:
    match = re.search(pattern, str(value), _flags(ignorecase, multiline))
    if match is None or not groups:
        return match[0] if match else None
    wanted = [group.removeprefix("\\g<").removesuffix(">").removeprefix("\\") for group in groups]
    return [match[int(group) if group.isdigit() else group] for group in wanted]


def _regex_findall(value: Any, pattern: str, multiline: bool = False, ignorecase: bool = False) -> list[Any]:
    return re.findall(pattern, str(value), _flags(ignorecase, multiline))


def _json(value: Any, **options: Any) -> str:
    _no_undefined(value)
    options.setdefault("sort_keys", False)
    return json.dumps(plain(value), ensure_ascii=options.pop("ensure_ascii", True), **options)


def _nice_json(value: Any, indent: int = 4, sort_keys: bool = True, **options: Any) -> str:
    return _json(value, indent=indent, sort_keys=sort_keys, separators=(",", ": "), **options)


class _Dumper(yaml.SafeDumper):
    """Indents lists under their key, as Ansible's dumper does."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        return super().increase_indent(flow, indentless and False)


def _yaml(
    value: Any, indent: int = 2, sort_keys: bool = True, width: int = 4096, default_flow_style: bool | None = None
) -> str:
    _no_undefined(value)
    return str(
        yaml.dump(
            plain(value),
            Dumper=_Dumper,
            indent=indent,
            sort_keys=sort_keys,
            width=width,
            allow_unicode=True,
            default_flow_style=default_flow_style,
        )
    )


def _nice_yaml(value: Any, indent: int = 4, sort_keys: bool = True, width: int = 4096) -> str:
    return _yaml(value, indent=indent, sort_keys=sort_keys, width=width, default_flow_style=False)


def _no_undefined(value: Any) -> None:
    if isinstance(value, Undefined):
        str(value)


def _from_yaml(text: str) -> Any:
    return yaml.load(text, Loader=yaml.CSafeLoader)


def _hash(value: str, kind: str = "sha1") -> str:
    return hashlib.new(kind, str(value).encode()).hexdigest()


def _quote(value: Any) -> str:
    text = str(value)
    return (
        text if text and re.fullmatch(r"[\w@%+=:,./-]+", text, re.ASCII) else "'" + text.replace("'", "'\"'\"'") + "'"
    )


def _comment(text: str, style: str = "plain", decoration: str = "# ") -> str:
    if style != "plain":
        raise FilterArgumentError(f"comment: the style `{style}` is not supported")
    mark = decoration.rstrip()
    return "\n".join([mark, *(f"{decoration}{line}".rstrip() for line in str(text).splitlines()), mark])


def _splitext(path: str) -> list[str]:
    return list(posixpath.splitext(path))


def _listed(
    operation: Callable[[list[Any], list[Any]], list[Any]],
) -> Callable[[Iterable[Any], Iterable[Any]], list[Any]]:
    return lambda left, right: operation(list(left), list(right))


def _unique(values: list[Any]) -> list[Any]:
    return [value for position, value in enumerate(values) if value not in values[:position]]


_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "=": operator.eq,
    "eq": operator.eq,
    "!=": operator.ne,
    "<>": operator.ne,
    "ne": operator.ne,
    "<": operator.lt,
    "lt": operator.lt,
    "<=": operator.le,
    "le": operator.le,
    ">": operator.gt,
    "gt": operator.gt,
    ">=": operator.ge,
    "ge": operator.ge,
}


def _version(value: Any, other: Any, sign: str = "==") -> bool:
    """Compare as versions: `x is version('11.8', '>=')`."""
    if sign not in _COMPARED:
        raise FilterArgumentError(f"version: unknown operator `{sign}`")
    from packaging.version import InvalidVersion, Version

    try:
        return _COMPARED[sign](Version(str(value)), Version(str(other)))
    except InvalidVersion as error:
        raise FilterArgumentError(str(error)) from None


def _result(field: str) -> Callable[[Any], bool]:
    def test(value: Any) -> bool:
        if not isinstance(value, dict):
            raise FilterArgumentError(f"the test `{field}` needs a registered result, got {type(value).__name__}")
        return bool(value.get(field, False))

    return test


def _matcher(find: Callable[..., Any]) -> Callable[..., bool]:
    def test(value: Any, pattern: str, ignorecase: bool = False, multiline: bool = False) -> bool:
        return find(pattern, str(value), _flags(ignorecase, multiline)) is not None

    return test


_failed, _changed, _skipped = _result("failed"), _result("changed"), _result("skipped")

FILTERS: dict[str, Callable[..., Any]] = {
    "b64decode": lambda value: base64.b64decode(value).decode(),
    "b64encode": lambda value: base64.b64encode(str(value).encode()).decode(),
    "basename": posixpath.basename,
    "bool": truth,
    "checksum": _hash,
    "combine": _combine,
    "comment": _comment,
    "dict2items": _dict2items,
    "difference": _listed(lambda a, b: _unique([value for value in a if value not in b])),
    "dirname": posixpath.dirname,
    "flatten": _flatten,
    "from_json": json.loads,
    "from_yaml": _from_yaml,
    "hash": _hash,
    "intersect": _listed(lambda a, b: _unique([value for value in a if value in b])),
    "items2dict": _items2dict,
    "mandatory": _mandatory,
    "product": lambda *parts: [list(row) for row in itertools.product(*parts)],
    "quote": _quote,
    "regex_escape": re.escape,
    "regex_findall": _regex_findall,
    "regex_replace": _regex_replace,
    "regex_search": _regex_search,
    "split": lambda value, separator=None, maximum=-1: str(value).split(separator, maximum),
    "splitext": _splitext,
    "symmetric_difference": _listed(lambda a, b: _unique([v for v in a if v not in b] + [v for v in b if v not in a])),
    "ternary": _ternary,
    "to_json": _json,
    "to_nice_json": _nice_json,
    "to_nice_yaml": _nice_yaml,
    "to_yaml": _yaml,
    "union": _listed(lambda a, b: _unique(a + b)),
    "zip": lambda *parts: [list(row) for row in zip(*parts, strict=False)],
}  # fmt: skip

TESTS: dict[str, Callable[..., Any]] = {
    "abs": posixpath.isabs,
    "all": all,
    "any": any,
    "change": _changed,
    "changed": _changed,
    "contains": lambda value, item: item in value,
    "failed": _failed,
    "failure": _failed,
    "falsy": lambda value: not value,
    "match": _matcher(re.match),
    "regex": _matcher(re.search),
    "search": _matcher(re.search),
    "skip": _skipped,
    "skipped": _skipped,
    "subset": lambda value, other: set(value) <= set(other),
    "succeeded": lambda value: not _failed(value),
    "success": lambda value: not _failed(value),
    "successful": lambda value: not _failed(value),
    "superset": lambda value, other: set(value) >= set(other),
    "truthy": bool,
    "version": _version,
    "version_compare": _version,
}
