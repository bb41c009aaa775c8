"""Filters over text: regular expressions, comments, quoting, names of paths and parts of addresses. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from typing import Any

from jinja2.exceptions import FilterArgumentError

__all__ = [
    "comment", "commonpath", "path_join", "quote", "regex_escape", "regex_findall", "regex_flags", "regex_replace",
    "regex_search", "relpath", "split", "splitext", "urldecode", "urlsplit", "win_basename", "win_dirname",
    "win_splitdrive",
]  # fmt: skip

_STYLES: dict[str, tuple[str, str, str]] = {
    "plain": ("", "# ", ""),
    "erlang": ("", "% ", ""),
    "c": ("", "// ", ""),
    "cblock": ("/*", " * ", " */"),
    "xml": ("<!--", " - ", "-->"),
}
"""What stands before a comment, at the start of its lines, and behind it."""
_COMMENT_OPTIONS = frozenset(
    ("beginning", "decoration", "end", "newline", "postfix", "postfix_count", "prefix", "prefix_count")
)


def regex_flags(ignorecase: bool, multiline: bool) -> int:
    return (re.IGNORECASE if ignorecase else 0) | (re.MULTILINE if multiline else 0)


def regex_replace(
    value: Any = "",
    pattern: str = "",
    replacement: str = "",
    ignorecase: bool = False,
    multiline: bool = False,
    count: int = 0,
    mandatory_count: int = 0,
) -> str:
    flags = regex_flags(ignorecase, multiline)
    result, replaced = re.subn(str(pattern), str(replacement), _text(value), count=count, flags=flags)
    if mandatory_count and replaced != mandatory_count:
        raise FilterArgumentError(f"regex_replace: {mandatory_count} replacements were asked for, {replaced} made")
    return result


def regex_search(value: Any, pattern: str, *groups: str, ignorecase: bool = False, multiline: bool = False) -> Any:
    wanted = [_group(group) for group in groups]
    match = re.search(str(pattern), _text(value), regex_flags(ignorecase, multiline))
    if match is None or not groups:
        return match[0] if match else None
    return [match[group] for group in wanted]


def _group(text: str) -> int | str:
    match = re.fullmatch(r"\\g<(\S+)>|\\(\d+)", text)
    if match is None:
        raise FilterArgumentError(f"regex_search: `{text}` is no group, such as `\\\\1` or `\\\\g<name>`")
    name = match[1] or match[2]
    return int(name) if name.isdigit() else name


def regex_findall(value: Any, pattern: str, multiline: bool = False, ignorecase: bool = False) -> list[Any]:
    return re.findall(str(pattern), _text(value), regex_flags(ignorecase, multiline))


def regex_escape(value: Any, re_type: str = "python") -> str:
    if re_type == "python":
        return re.escape(_text(value))
    if re_type == "posix_basic":
        return re.sub(r"([].[^$*\\])", r"\\\1", _text(value))
    raise FilterArgumentError(f"regex_escape: `re_type` is `python` or `posix_basic`, not `{re_type}`")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def quote(value: Any) -> str:
    text = "" if value is None else str(value)
    if text and re.fullmatch(r"[\w@%+=:,./-]+", text, re.ASCII):
        return text
    return "'" + text.replace("'", "'\"'\"'") + "'"


def comment(text: Any, style: str = "plain", **options: Any) -> str:
    if style not in _STYLES:
        raise FilterArgumentError(f"comment: the style is one of {', '.join(_STYLES)}, not `{style}`")
    unknown = sorted(set(options) - _COMMENT_OPTIONS)
    if unknown:
        raise FilterArgumentError(f"comment: there is no `{unknown[0]}`")
    beginning, decoration, end = _STYLES[style]
    frame = str(options.get("decoration", decoration)).rstrip()
    newline = str(options.get("newline", "\n"))
    beginning, end = str(options.get("beginning", beginning)), str(options.get("end", end))
    decoration = str(options.get("decoration", decoration))
    prefix, postfix = str(options.get("prefix", frame)), str(options.get("postfix", frame))
    lines = [f"{decoration}{line}" for line in str(text).split(newline)]
    lines = [decoration.rstrip() if line == decoration and more else line for line, more in _with_more(lines)]
    above = (newline if prefix == newline else prefix + newline) * int(options.get("prefix_count", 1)) if prefix else ""
    below = (newline + postfix) * int(options.get("postfix_count", 1))
    head, tail = beginning + newline if beginning else "", newline + end if end else ""
    return head + above + newline.join(lines) + below + tail


def _with_more(lines: list[str]) -> Iterable[tuple[str, bool]]:
    return [(line, position + 1 < len(lines)) for position, line in enumerate(lines)]


def split(value: Any, separator: str | None = None, maxsplit: int = -1) -> list[str]:
    return str(value).split(separator, maxsplit)


def splitext(path: Any) -> list[str]:
    return list(posixpath.splitext(str(path)))


def path_join(paths: Any) -> str:
    if isinstance(paths, str):
        return posixpath.join(paths)
    if isinstance(paths, Iterable):
        return posixpath.join(*[str(path) for path in paths])
    raise FilterArgumentError("path_join needs text or a list of texts")


def relpath(path: Any, start: Any = None) -> str:
    """Two absolute paths, or two relative ones: with one of each it would depend on where provision was started."""
    base = "." if start is None else str(start)
    if posixpath.isabs(str(path)) != posixpath.isabs(base):
        raise FilterArgumentError("relpath needs two absolute paths here: it knows no current directory")
    return posixpath.relpath("/" + str(path), "/" + base) if str(path) else ""


def commonpath(paths: Iterable[str]) -> str:
    return posixpath.commonpath(list(paths))


def win_basename(path: Any) -> str:
    import ntpath

    return ntpath.basename(str(path))


def win_dirname(path: Any) -> str:
    import ntpath

    return ntpath.dirname(str(path))


def win_splitdrive(path: Any) -> list[str]:
    import ntpath

    return list(ntpath.splitdrive(str(path)))


def urldecode(value: Any) -> str:
    from urllib.parse import unquote_plus

    return unquote_plus(str(value))


def urlsplit(value: Any, query: str = "") -> Any:
    """The parts of an address, or the one that is asked for."""
    from urllib.parse import urlsplit as parse

    parsed = parse(str(value))
    names = ("fragment", "hostname", "netloc", "password", "path", "port", "query", "scheme", "username")
    parts = {name: getattr(parsed, name) for name in names}
    if not query:
        return parts
    if query not in parts:
        raise FilterArgumentError(f"urlsplit: `{query}` is no part of an address, these are: {', '.join(parts)}")
    return parts[query]
