"""What a loop goes over and which names each item brings: `loop`, Ansible's `with_…`, and `loop_control`.

`with_…` becomes a `loop` over the lookup of that name when a playbook is read. Pure; renders nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Words
from typing import Any

from provision.errors import ProvisionError
from provision.filters import LOOKUPS, REFUSED
from provision.playbook import Task
from provision.source import Mapping, Template, nearest

__all__ = ["TERMS", "as_loop", "names_of"]

TERMS = "__loop_terms"
"""The variable of a task that holds what stands behind `with_…`."""
_LISTED = f"({TERMS} if {TERMS} is sequence and {TERMS} is not string and {TERMS} is not mapping else [{TERMS}])"
_OTHER = {"list": _LISTED, "flattened": _LISTED + " | flatten", "cartesian": "query('nested', *" + _LISTED + ")"}
"""Words that are no lookups, or not the lookup of that name."""
_INSTEAD = {
    "random_choice": '`loop: ["{{ choices | random }}"]`',
    "inventory_hostnames": "`loop: \"{{ groups['…'] }}\"`",
    "lines": "run the program in a task, and loop over the `stdout_lines` that it registers",
    "ini": "write the values as YAML, and loop over them",
    "csvfile": "write the values as YAML, and loop over them",
}


def as_loop(item: Mapping) -> Mapping:
    """A task with its `with_…` written as `loop`; raises ProvisionError for one that cannot be."""
    found = [key for key in item if isinstance(key, str) and key.startswith("with_")]
    if not found:
        return item
    key = found[0]
    others = [name for name in ("loop", *found[1:]) if name in item]
    if others:
        raise ProvisionError(f"a task loops once: `{key}` or `{others[0]}`", where=item.key_mark(others[0]))
    if item[key] is None:
        raise ProvisionError(f"`{key}` has no items", where=item.key_mark(key))
    return _rewritten(item, key, _expression(key, item))


def _expression(key: str, item: Mapping) -> str:
    kind = key.removeprefix("with_")
    kind = kind.removeprefix("ansible.builtin.").removeprefix("community.general.")
    if kind in _OTHER:
        return _OTHER[kind]
    if kind in LOOKUPS:
        return f"query('{kind}', *{_LISTED})"
    reason = REFUSED["lookup"].get(kind, "")
    known = {f"with_{name}" for name in (*LOOKUPS, *_OTHER)}
    hint = _INSTEAD.get(kind, "") if reason else nearest(key, known)
    raise ProvisionError(
        f"`{key}` is not supported" if reason else f"unknown loop `{key}`",
        where=item.key_mark(key),
        cause=reason,
        hint=f"write {hint}" if hint.startswith("`") else hint or "use `loop`",
    )


def _rewritten(item: Mapping, key: str, expression: str) -> Mapping:
    result = Mapping(item.file, (item.mark.line, item.mark.column))
    own = Mapping(item.file, (item.mark.line, item.mark.column))
    for name in item:
        if name not in (key, "vars"):
            result.put(name, item[name], item.places(name), item.texts.get(name))
    written: Any = item.get("vars")
    for name in written if isinstance(written, Mapping) else ():
        own.put(name, written[name], written.places(name), written.texts.get(name))
    own.put(TERMS, item[key], item.places(key))
    text = "{{ " + expression + " }}"
    result.put(
        "vars", written if written is not None and not isinstance(written, Mapping) else own, item.places("vars")
    )
    result.put("loop", Template(text, item.value_mark(key), text), item.places(key))
    return result


def names_of(task: Task, values: Words[Any], index: int, *, extended: bool, allitems: bool = True) -> dict[str, Any]:
    """The names that an item of a loop brings to its task, and to its result."""
    names: dict[str, Any] = {task.loop_var: values[index], "ansible_loop_var": task.loop_var}
    if task.index_var:
        names |= {task.index_var: index, "ansible_index_var": task.index_var}
    if extended:
        names["ansible_loop"] = dict(_extended(values, index, allitems))
    return names


def _extended(values: Words[Any], index: int, allitems: bool) -> Iterator[tuple[str, Any]]:
    length = len(values)
    if allitems:
        yield "allitems", values
    yield from (("index", index + 1), ("index0", index), ("first", index == 0), ("last", index + 1 == length))
    yield from (("length", length), ("revindex", length - index), ("revindex0", length - index - 1))
    if index + 1 < length:
        yield "nextitem", values[index + 1]
    if index > 0:
        yield "previtem", values[index - 1]
