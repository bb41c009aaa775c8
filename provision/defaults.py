"""A task's options from all places that may give them: its own, its `args`, and `module_defaults` around it.

Owns which of them wins. Renders nothing.
"""

from __future__ import annotations

from collections.abc import Mapping as Map
from typing import Any

from provision import arguments as options
from provision import modules
from provision.errors import ProvisionError
from provision.source import Mapping, Sequence, Template, nearest

__all__ = ["Defaults", "arguments_of", "defaults_of"]

Defaults = Map[str, Mapping]
"""Options by the word that they are for; those of an inner block stand for all of an outer one."""


def defaults_of(item: Mapping, outer: Defaults) -> Defaults:
    """The `module_defaults` inside of a play, block, role entry or task; raises ProvisionError."""
    written = item.get("module_defaults")
    if written is None:
        return outer
    found = dict(outer)
    for each in written if isinstance(written, Sequence) else [written]:
        if not isinstance(each, Mapping):
            raise ProvisionError(
                "`module_defaults` is a mapping of modules to their options", where=item.value_mark("module_defaults")
            )
        for key in each:
            found |= _of_module(str(key), each[key], each)
    return found


def _of_module(key: str, values: Any, written: Mapping) -> Defaults:
    where = written.key_mark(key)
    if key.startswith("group/"):
        raise ProvisionError(
            f"`{key}` in `module_defaults` is not supported",
            where=where,
            cause="groups of modules come with collections",
            hint="name each module",
        )
    word = modules.canonical(key)
    known = modules.known_words()
    if word not in known:
        raise ProvisionError(
            f"`module_defaults` names no resource `{key}`", where=where, hint=nearest(word, known - {"block"})
        )
    if values is None:
        return {word: Mapping(written.file, (where.line, where.column))}
    if not isinstance(values, Mapping):
        raise ProvisionError(f"the defaults of `{key}` are a mapping of its options", where=written.value_mark(key))
    return {word: options.arguments_of(word, values, written.value_mark(key))}


def arguments_of(word: str, item: Mapping, key: str, defaults: Defaults) -> Mapping:
    """The options of a task: its own win over its `args`, these over defaults; raises ProvisionError."""
    own = options.arguments_of(word, item[key], item.value_mark(key))
    weaker = [_args(word, item)] if item.get("args") is not None else []
    weaker += [defaults[word]] if word in defaults else []
    for values in weaker:
        for name in values:
            if name not in own:
                own.put(name, values[name], _places(name, values, own), values.texts.get(name))
    return own


def _args(word: str, item: Mapping) -> Mapping:
    value = item["args"]
    if not isinstance(value, Mapping) or isinstance(value, Template):
        raise ProvisionError(
            "`args` is a mapping of options",
            where=item.value_mark("args"),
            cause="which options a task has must be known before any host is",
            hint="write them one a line, each may be a template",
        )
    return options.arguments_of(word, value, item.value_mark("args"))


def _places(name: str, values: Mapping, own: Mapping) -> tuple[int, int, int, int]:
    """Where an option stands; in another file it is the task that has a place."""
    return values.places(name) if values.file == own.file else (own.mark.line, own.mark.column) * 2
