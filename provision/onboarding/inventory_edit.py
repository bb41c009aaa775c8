"""Adds hosts to the text of a YAML inventory and takes them out; pure: text in, text out.

Only the lines of the host itself change, so that comments, order, quoting and blank lines of everything else stay as
they are. Must not read or write files, and must not know what the variables mean.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from provision import patterns
from provision.errors import Mark, ProvisionError

__all__ = ["add_host", "has_group", "has_host", "remove_host"]

_PORT = re.compile(r"(.+):[0-9]{1,5}")
_RANGE = re.compile(r"([^\[\]]*)\[([0-9]+):([0-9]+)\]([^\[\]]*)")
_STEP = 2
_PLAIN = re.compile(r"[A-Za-z_/][\w./@-]*", re.ASCII)
_ADDRESS = re.compile(r"[0-9]+(\.[0-9]+){3}")
_WORDS = frozenset(("false", "n", "no", "null", "off", "on", "true", "y", "yes"))


@dataclass(frozen=True, slots=True)
class _Pair:
    """A key of a mapping with its value."""

    key: Node
    value: Node

    @property
    def name(self) -> str:
        return str(self.key.value)

    @property
    def line(self) -> int:
        return int(self.key.start_mark.line)

    @property
    def column(self) -> int:
        return int(self.key.start_mark.column)


def has_host(text: str, name: str, *, file: str = "inventory.yaml") -> bool:
    """Whether the inventory names the host, by itself or in a range; raises ProvisionError where that is no YAML."""
    return any(True for _ in _entries(_tree(text, file), name, file))


def has_group(text: str, group: str, *, file: str = "inventory.yaml") -> bool:
    """Whether the inventory's text has a place for the group; raises ProvisionError where that is no YAML."""
    return bool(_way(_tree(text, file), group))


def remove_host(text: str, name: str, *, file: str = "inventory.yaml") -> str:
    """The text without the host, in all groups; comments above it stay, those inside its entry go with it.

    A range without variables is split around it. Raises ProvisionError, with the place in `file`, where the host is not
    there, its range has variables, hosts stand on one line, or other entries refer to its own.
    """
    found = list(_entries(_tree(text, file), name, file))
    if not found:
        raise ProvisionError(f"`{file}` has no host `{name}`", hint="`provision inventory --graph` shows all")
    lines = text.splitlines(keepends=True)
    for hosts, entry in sorted(found, key=lambda pair: pair[1].line, reverse=True):
        _refuse_one_line(hosts, name, file)
        if "[" in entry.name:
            lines[entry.line : entry.line + 1] = _split(lines[entry.line], entry, name, file)
        else:
            del lines[entry.line : _behind(lines, entry)]
    return _checked("".join(lines), name, file)


def add_host(
    text: str,
    name: str,
    *,
    group: str = "all",
    variables: Mapping[str, Any] | None = None,
    file: str = "inventory.yaml",
) -> str:
    """The text with the host as the last one of a group, which is made below `all` where it is not there.

    A host that the group has already is left as it is. Raises ProvisionError, with the place in `file`, where the
    group or its hosts stand on one line.
    """
    root = _tree(text, file)
    path = _way(root, group)
    hosts = _child(path[-1].value, "hosts") if path else None
    if hosts and any(name in _names(entry.name, file, entry) for entry in _pairs(hosts.value)):
        return text
    body: dict[str, Any] = {name: dict(variables) if variables else None}
    if hosts:
        return _grown(text, root, [*path, hosts], body, file)
    if path:
        return _grown(text, root, path, {"hosts": body}, file)
    return _with_group(text, root, group, {"hosts": body}, file)


def _with_group(text: str, root: Node | None, group: str, body: Mapping[str, Any], file: str) -> str:
    """A group that is not there yet: below `all`, or beside other groups where there is no `all`."""
    everything = _child(root, "all")
    if group == "all" or (everything is None and _pairs(root)):
        return _grown(text, root, [], {group: body}, file)
    if everything is None:
        return _grown(text, root, [], {"all": {"children": {group: body}}}, file)
    children = _child(everything.value, "children")
    if children is None:
        return _grown(text, root, [everything], {"children": {group: body}}, file)
    return _grown(text, root, [everything, children], {group: body}, file)


def _grown(text: str, root: Node | None, path: list[_Pair], content: Mapping[str, Any], file: str) -> str:
    """The text with `content` as the last of the mapping that a path of keys leads to."""
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    step = _step(root)
    node = path[-1].value if path else root
    if _pairs(node):
        if _on_one_line(node):
            raise _one_line(path[-1], file)
        last = _pairs(node)[-1]
        column, at = _pairs(node)[0].column, _behind(lines, last)
    elif path:
        _open(lines, path[-1], file)
        column, at = path[-1].column + step, path[-1].line + 1
    else:
        column, at = 0, len(lines)
    lines[at:at] = _dumped(content, column, step)
    return _checked("".join(lines), "", file)


def _open(lines: list[str], pair: _Pair, file: str) -> None:
    """Make `key: {}` or `key: null` a key that lines can follow."""
    value = pair.value
    if isinstance(value, ScalarNode) and not value.value:
        return
    if not _empty(value) or value.start_mark.line != pair.line or value.end_mark.line != pair.line:
        raise _one_line(pair, file)
    line = lines[pair.line]
    kept = line[: value.start_mark.column].rstrip(" ")
    rest = line[value.end_mark.column :]
    lines[pair.line] = kept + (rest if rest.strip() else "\n")


def _dumped(content: Mapping[str, Any], column: int, step: int) -> list[str]:
    yaml = YAML()
    yaml.indent(mapping=step, sequence=step + 2, offset=step)
    yaml.width = 1 << 16
    stream = io.StringIO()
    yaml.dump(_quoted(content), stream)
    return [" " * column + line if line.strip() else line for line in stream.getvalue().splitlines(keepends=True)]


def _quoted(value: Any) -> Any:
    """The same with quotes around text that YAML 1.1, by which inventories are read, may take for something else."""
    if isinstance(value, Mapping):
        return {_quoted(key): _quoted(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_quoted(inner) for inner in value]
    if isinstance(value, str) and not _ADDRESS.fullmatch(value):
        return value if _PLAIN.fullmatch(value) and value.lower() not in _WORDS else DoubleQuotedScalarString(value)
    return value


def _split(line: str, entry: _Pair, name: str, file: str) -> list[str]:
    """The lines of a range without one of its hosts."""
    where = _mark(entry, file)
    match = _RANGE.fullmatch(entry.name)
    if match is None or not _empty(entry.value):
        raise ProvisionError(
            f"`{name}` is part of `{entry.name}`, which cannot be split here",
            where=where,
            cause="it has variables" if match else "only ranges of numbers by ones are split",
            hint="write its hosts one a line, then run again",
        )
    before, first, last, behind = match.groups()
    number = next(n for n in range(int(first), int(last) + 1) if f"{before}{n:0{len(first)}}{behind}" == name)
    parts = [(int(first), number - 1), (number + 1, int(last))]
    names = [_range(before, low, high, len(first), behind) for low, high in parts if low <= high]
    quote = (entry.key.style or "") if isinstance(entry.key, ScalarNode) else ""
    head, rest = line[: entry.column], line[entry.key.end_mark.column :]
    written = [f"{head}{quote}{part}{quote}" for part in names]
    return [text + (rest if index == 0 else ":\n") for index, text in enumerate(written)]


def _range(before: str, low: int, high: int, width: int, behind: str) -> str:
    if low == high:
        return f"{before}{low:0{width}}{behind}"
    return f"{before}[{low:0{width}}:{high:0{width}}]{behind}"


def _behind(lines: list[str], pair: _Pair) -> int:
    """The line behind an entry; comments that are indented more than its key belong to it."""
    end = _last_line(pair.value, pair.line) + 1
    while end > pair.line + 1 and not lines[end - 1].strip():
        end -= 1
    at = end
    while at < len(lines):
        line = lines[at]
        if line.strip() and not (line.lstrip().startswith("#") and _indent(line) > pair.column):
            break
        at += 1
        end = at if line.strip() else end
    return end


def _last_line(node: Node, least: int) -> int:
    """The last line of a node's content; an alias is a node that starts earlier, and counts as none."""
    if node.start_mark.line < least or (isinstance(node, ScalarNode) and not node.style and not node.value):
        return least  # what is empty is marked where the next token starts
    if isinstance(node, ScalarNode):
        block = node.style in ("|", ">")
        return max(least, int(node.end_mark.line) - (1 if block and node.end_mark.column == 0 else 0))
    if _on_one_line(node):
        return max(least, int(node.end_mark.line))
    parts = [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]
    return max((_last_line(part, least) for part in parts), default=least)


def _entries(root: Node | None, name: str, file: str) -> Iterator[tuple[_Pair, _Pair]]:
    """Every entry that names the host, with the `hosts` that it stands in."""
    for group in _groups(root):
        hosts = _child(group.value, "hosts")
        for entry in _pairs(hosts.value) if hosts else []:
            if hosts and name in _names(entry.name, file, entry):
                yield hosts, entry


def _groups(root: Node | None) -> Iterator[_Pair]:
    for group in _pairs(root):
        yield group
        children = _child(group.value, "children")
        if children:
            yield from _groups(children.value)


def _way(root: Node | None, group: str) -> list[_Pair]:
    """The keys that lead to a group; of several places the one that holds hosts, else the first."""
    ways = list(_ways(root, group, []))
    return next((way for way in ways if _child(way[-1].value, "hosts")), ways[0] if ways else [])


def _ways(node: Node | None, group: str, before: list[_Pair]) -> Iterator[list[_Pair]]:
    for pair in _pairs(node):
        if pair.name == group:
            yield [*before, pair]
        children = _child(pair.value, "children")
        if children:
            yield from _ways(children.value, group, [*before, pair, children])


def _names(pattern: str, file: str, entry: _Pair) -> list[str]:
    match = _PORT.fullmatch(pattern)
    bare = match[1] if match and not match[1].endswith("[") and match[1].count("[") == match[1].count("]") else pattern
    return patterns.expand(bare, _mark(entry, file)) if "[" in bare else [bare]


def _tree(text: str, file: str) -> Node | None:
    try:
        root: Node | None = YAML().compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        raise ProvisionError(
            f"`{file}` is no YAML",
            where=Mark(file, mark.line + 1, mark.column + 1) if mark else None,
            cause=str(error.problem or error.context),
        ) from None
    return root


def _checked(text: str, name: str, file: str) -> str:
    """The text, if it still is YAML: an anchor of the removed entry may be used elsewhere."""
    try:
        YAML().compose(text)
    except MarkedYAMLError as error:
        raise ProvisionError(
            f"`{name}` cannot be taken out of `{file}`" if name else f"`{file}` cannot be changed",
            cause=f"other entries refer to it: {error.problem}",
            hint="edit the file by hand",
        ) from None
    return text


def _pairs(node: Node | None) -> list[_Pair]:
    return [_Pair(key, value) for key, value in node.value] if isinstance(node, MappingNode) else []


def _on_one_line(node: Node | None) -> bool:
    """Whether a mapping or list is in brackets."""
    return isinstance(node, MappingNode | SequenceNode) and bool(node.flow_style)


def _child(node: Node | None, name: str) -> _Pair | None:
    return next((pair for pair in _pairs(node) if pair.name == name), None)


def _step(root: Node | None) -> int:
    """How far the inventory indents: by the first mapping in a mapping."""
    for pair in _pairs(root):
        inner = _pairs(pair.value)
        if inner and not _on_one_line(pair.value) and inner[0].column > pair.column:
            return inner[0].column - pair.column
    return _STEP


def _empty(node: Node) -> bool:
    return (isinstance(node, ScalarNode) and node.value in ("", "~", "null")) or (
        isinstance(node, MappingNode) and not node.value
    )


def _refuse_one_line(hosts: _Pair, name: str, file: str) -> None:
    if _on_one_line(hosts.value):
        raise ProvisionError(
            f"`{name}` stands in a mapping on one line",
            where=_mark(hosts, file),
            hint="write the group's hosts one a line, then run again",
        )


def _one_line(pair: _Pair, file: str) -> ProvisionError:
    return ProvisionError(
        f"`{pair.name}` stands on one line",
        where=_mark(pair, file),
        hint="write what it holds one a line, then run again",
    )


def _mark(pair: _Pair, file: str) -> Mark:
    return Mark(file, pair.line + 1, pair.column + 1)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
