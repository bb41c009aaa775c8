"""Tests (`x is …`) that Ansible has and Jinja lacks. Pure functions of their arguments."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jinja2.exceptions import FilterArgumentError

from provision.filters.texts import regex_flags
from provision.source import kind_of

__all__ = [
    "changed", "contains", "failed", "falsy", "finished", "is_nan", "is_uri", "is_url", "is_urn", "match", "reachable",
    "regex", "search", "skipped", "started", "subset", "success", "superset", "timedout", "truth", "truthy",
    "unreachable",
]  # fmt: skip

_TRUE = frozenset(("y", "yes", "on", "1", "true", "t"))
_FALSE = frozenset(("n", "no", "off", "0", "false", "f"))


def truth(value: Any) -> bool:
    """Ansible's `bool`: yes, on, true, 1 in any case are true; all other text is false."""
    if isinstance(value, str):
        return value.strip().lower() in ("yes", "on", "true", "1")
    return value == 1 if isinstance(value, int | float) else bool(value)


def _result(value: Any, test: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise FilterArgumentError(f"the test `{test}` needs a registered result, got {kind_of(value)}")
    return value


def failed(value: Any) -> bool:
    return bool(_result(value, "failed").get("failed", False))


def success(value: Any) -> bool:
    return not failed(value)


def unreachable(value: Any) -> bool:
    return bool(_result(value, "unreachable").get("unreachable", False))


def reachable(value: Any) -> bool:
    return not unreachable(value)


def timedout(value: Any) -> bool:
    return bool((_result(value, "timedout").get("timedout") or {}).get("period"))


def changed(value: Any) -> bool:
    """Also of a loop's result that does not say so itself."""
    result = _result(value, "changed")
    items = result.get("results")
    if "changed" not in result and isinstance(items, list):
        return any(isinstance(item, Mapping) and item.get("changed", False) for item in items)
    return bool(result.get("changed", False))


def skipped(value: Any) -> bool:
    return bool(_result(value, "skipped").get("skipped", False))


def started(value: Any) -> bool:
    """Of what was started in the background; what ran in the foreground has started."""
    result = _result(value, "started")
    return bool(result.get("started", 0)) if "started" in result else True


def finished(value: Any) -> bool:
    result = _result(value, "finished")
    return bool(result.get("finished", 0)) if "finished" in result else True


def _matcher(find: Callable[..., Any]) -> Callable[..., bool]:
    def test(value: Any, pattern: str = "", ignorecase: bool = False, multiline: bool = False) -> bool:
        return find(pattern, str(value), regex_flags(ignorecase, multiline)) is not None

    return test


match = _matcher(re.match)
search = _matcher(re.search)


def regex(
    value: Any, pattern: str = "", ignorecase: bool = False, multiline: bool = False, match_type: str = "search"
) -> bool:
    finders = {"search": re.search, "match": re.match, "fullmatch": re.fullmatch}
    if match_type not in finders:
        raise FilterArgumentError(f"regex: `match_type` is one of {', '.join(finders)}, not `{match_type}`")
    return finders[match_type](str(pattern), str(value), regex_flags(ignorecase, multiline)) is not None


def subset(value: Iterable[Any], other: Iterable[Any]) -> bool:
    others = list(other)
    return all(item in others for item in value)


def superset(value: Iterable[Any], other: Iterable[Any]) -> bool:
    return subset(other, value)


def contains(value: Any, item: Any) -> bool:
    return item in value


def truthy(value: Any, convert_bool: bool = False) -> bool:
    if convert_bool and isinstance(value, str) and value.lower() in _TRUE | _FALSE:
        return value.lower() in _TRUE
    return bool(value)


def falsy(value: Any, convert_bool: bool = False) -> bool:
    return not truthy(value, convert_bool)


def is_nan(value: Any) -> bool:
    try:
        return math.isnan(value)
    except TypeError:
        raise FilterArgumentError(f"the test `nan` needs a number, got {kind_of(value)}") from None


def is_uri(value: Any, schemes: list[str] | None = None) -> bool:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(str(value))
    except ValueError:
        return False
    return bool(parts.scheme and (parts.netloc or parts.path)) and (not schemes or parts.scheme in schemes)


def is_url(value: Any, schemes: list[str] | None = None) -> bool:
    from urllib.parse import urlsplit

    return is_uri(value, schemes) and bool(urlsplit(str(value)).netloc)


def is_urn(value: Any) -> bool:
    return is_uri(value, ["urn"])
