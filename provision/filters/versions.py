"""`version`: comparisons as Ansible's five types of version make them. Pure."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

from jinja2.exceptions import FilterArgumentError

__all__ = ["version"]

_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "=": operator.eq, "eq": operator.eq,
    "!=": operator.ne, "<>": operator.ne, "ne": operator.ne,
    "<": operator.lt, "lt": operator.lt,
    "<=": operator.le, "le": operator.le,
    ">": operator.gt, "gt": operator.gt,
    ">=": operator.ge, "ge": operator.ge,
}  # fmt: skip
_STRICT = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?(?:([ab])(\d+))?")
_SEMANTIC = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?"
)


def version(
    value: Any, version: Any, operator: str = "eq", strict: bool | None = None, version_type: str | None = None
) -> bool:
    """Whether a version stands so to another: `x is version('11.8', '>=')`."""
    if strict is not None and version_type is not None:
        raise FilterArgumentError("version: `strict` and `version_type` do not go together")
    kind = version_type or ("strict" if strict else "loose")
    if kind not in _KEYS:
        raise FilterArgumentError(f"version: `version_type` is one of {', '.join(_KEYS)}, not `{kind}`")
    if operator not in _COMPARED:
        raise FilterArgumentError(f"version: unknown operator `{operator}`")
    left, right = str(value), str(version)
    if not left or not right:
        raise FilterArgumentError("version: there is no version to compare")
    try:
        return _COMPARED[operator](_KEYS[kind](left), _KEYS[kind](right))
    except TypeError:
        raise FilterArgumentError(
            f"version: `{left}` and `{right}` do not compare, one has a letter where the other has a number"
        ) from None


def _loose(text: str) -> list[int | str]:
    """Numbers as numbers and words as words, without the dots."""
    parts = (part for part in re.split(r"(\d+|[a-z]+|\.)", text) if part and part != ".")
    return [int(part) if part.isdigit() else part for part in parts]


def _strict(text: str) -> tuple[Any, ...]:
    match = _STRICT.fullmatch(text)
    if match is None:
        raise FilterArgumentError(f"version: `{text}` is no strict version")
    before = (0, match[4], int(match[5])) if match[4] else (1, "", 0)
    return (int(match[1]), int(match[2]), int(match[3] or 0), before)


def _semantic(text: str) -> tuple[Any, ...]:
    match = _SEMANTIC.fullmatch(text)
    if match is None:
        raise FilterArgumentError(f"version: `{text}` is no semantic version, such as 1.2.3")
    parts = tuple(
        (0, int(part), "") if part.isdigit() else (1, 0, part) for part in (match[4] or "").split(".") if part
    )
    return (int(match[1]), int(match[2]), int(match[3]), not parts, parts)


def _pep440(text: str) -> Any:
    from packaging.version import InvalidVersion, Version

    try:
        return Version(text)
    except InvalidVersion as error:
        raise FilterArgumentError(f"version: {error}") from None


_KEYS: dict[str, Callable[[str], Any]] = {
    "loose": _loose,
    "strict": _strict,
    "semver": _semantic,
    "semantic": _semantic,
    "pep440": _pep440,
}
