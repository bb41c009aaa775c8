"""`environments`, `shared_data` and `apps` of a play as what one would have written as tasks.

Pure functions of mappings with places; must not know roles or files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from provision.errors import Mark, ProvisionError
from provision.playbook import FileSystem, SharedData, SharedLink, validate
from provision.source import Mapping, Template

__all__ = ["KEYWORDS", "SHORT_FORMS", "expanded"]

SHORT_FORMS = ("environments", "shared_data", "apps")
"""In the order in which they run."""
_WORDS = {"environments": ("conda_env", "Environment"), "apps": ("app", "App")}
KEYWORDS = frozenset(("when", "tags", "become", "become_user", "vars", "no_log", "notify"))
"""Words of tasks that may stand beside the options of an item of `environments` or `apps`."""
Expanded = tuple[Mapping, str, Mapping]
"""Keywords, the task's word, and its arguments."""


def expanded(key: str, entry: Any, where: Mark) -> Iterator[Expanded]:
    """The tasks of one entry; raises ProvisionError for one that is no mapping."""
    if not isinstance(entry, Mapping):
        raise ProvisionError(f"an item of `{key}` is a mapping", where=where)
    return _shared(entry) if key == "shared_data" else _one(key, entry)


def _one(key: str, entry: Mapping) -> Iterator[Expanded]:
    word, kind = _WORDS[key]
    words, arguments = _beside(entry), _beside(entry)
    for name in entry:
        into = words if name in KEYWORDS else arguments
        into.put(name, entry[name], entry.places(name), entry.texts.get(name))
    _put(words, "name", _together(entry, kind, " ", entry.get("name") or entry.get("file", "")), entry)
    yield words, word, arguments


def _shared(entry: Mapping) -> Iterator[Expanded]:
    validate(SharedData, entry, "shared_data")
    root = entry.get("path", "/data")
    yield from _mounted(entry, root)
    common = {name: entry[name] for name in ("owner", "group", "mode") if name in entry}
    for name in entry.get("directories") or []:
        values = {"path": _joined(root, name, entry), "state": "directory", **common}
        yield _made(entry, _together(entry, "Shared directory ", name), "file", values)
    for key, target in (entry.get("links") or {}).items():
        path = _key(key, entry)
        options = dict(target) if isinstance(target, Mapping) else {"target": target}
        if isinstance(target, Mapping):
            validate(SharedLink, target, f"link `{key}` of shared_data")
        values = {**options, "path": path, "target": _joined(root, options["target"], entry)}
        yield _made(entry, _together(entry, "Shared link ", path), "link", values)


def _mounted(entry: Mapping, root: Any) -> Iterator[Expanded]:
    """The look at the mount, before anything is made below it."""
    wanted = entry.get("filesystem")
    if wanted is not None:
        validate(FileSystem, wanted, "filesystem of shared_data")
    if wanted is not None and entry.get("mounted") is False:
        raise ProvisionError(
            "`filesystem` needs a mount",
            where=entry.value_mark("mounted"),
            context="shared_data",
            cause="`mounted: false` says that there need not be one",
            hint="leave `mounted` out",
        )
    if wanted is not None or entry.get("mounted"):
        options = dict(wanted or {})
        values = {"path": options.pop("mount_point", root), **options}
        yield _made(entry, _together(entry, "Shared file system ", values["path"]), "mounted", values)


def _made(entry: Mapping, title: str, word: str, values: dict[str, Any]) -> Expanded:
    words, arguments = _beside(entry), _beside(entry)
    _put(words, "name", title, entry)
    for name in ("when", "tags"):
        if name in entry:
            words.put(name, entry[name], entry.places(name))
    for name, value in values.items():
        if isinstance(value, str):
            _put(arguments, name, value, entry)
        else:
            arguments.put(name, value, entry.places(name), entry.texts.get(name))
    return words, word, arguments


def _beside(entry: Mapping) -> Mapping:
    return Mapping(entry.file, (entry.mark.line, entry.mark.column))


def _put(into: Mapping, key: str, text: str, entry: Mapping) -> None:
    into.put(key, text, entry.places(key))


def _joined(root: Any, name: Any, entry: Mapping) -> str:
    if str(name).startswith("/"):
        return name if isinstance(name, str) else str(name)
    return _together(entry, root, "/", name)


def _together(entry: Mapping, *parts: Any) -> str:
    """Texts put together are a template where one of them is; what is `!unsafe` in it stays as it is."""
    if not any(isinstance(part, Template) for part in parts):
        return "".join(map(str, parts))
    text = "".join(part if isinstance(part, Template) else _literal(str(part)) for part in parts)
    return Template(text, entry.mark, text)


def _key(text: Any, entry: Mapping) -> Any:
    """A key, which is read as plain text, as the template that a value of the same text would be."""
    return Template(text, entry.mark, text) if isinstance(text, str) and _holds_template(text) else text


def _holds_template(text: str) -> bool:
    return any(mark in text for mark in ("{{", "{%", "{#"))


def _literal(text: str) -> str:
    """Text as a template says it."""
    return f"{{{{ {json.dumps(text)} }}}}" if _holds_template(text) else text
