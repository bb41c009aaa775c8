"""`provision schema`: JSON Schema of what people write, made from the models, so that editors complete and check it.

A schema takes a little more than the tool does: what needs variables or other files is checked by the tool alone.
Must not state a keyword, an option or a type of its own where a model has it.
"""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from provision import modules
from provision.conda.environment import KEYS
from provision.playbook import Keywords, LoopControl, PlayKeywords, RoleEntry, SharedData, SharedLink, TaskKeywords
from provision.short_forms import KEYWORDS as BESIDE_OPTIONS

__all__ = ["KINDS", "schema", "show"]

Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
TEMPLATE: Schema = {"type": "string", "pattern": r"\{\{|\{%"}
PREFIXED = r"^ansible\.|^community\.general\."
_PLAIN = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    types.NoneType: "null",
}
_HOST_VARIABLES: dict[str, Any] = {
    "ansible_host": str,
    "ansible_port": int,
    "ansible_user": str,
    "ansible_connection": str,
    "ansible_ssh_private_key_file": str,
    "ansible_ssh_common_args": str,
    "ansible_python_interpreter": str,
    "ansible_become": bool,
    "ansible_become_user": str,
    "channel_mirrors": dict[str, str],
    "index_mirrors": dict[str, str],
    "system_floor": dict[str, str | None],
    "locks_directory": str,
    "conda_root": str,
    "http_proxy": str,
    "https_proxy": str,
    "no_proxy": str | list[str],
    "ca_file": str,
    "channel_credentials": dict[str, dict[str, str]],
    "index_credentials": dict[str, dict[str, str]],
    "git_credentials": dict[str, dict[str, str]],
}
"""Variables that the tool itself reads, for completion."""


def show(kind: Literal["playbook", "inventory", "role", "environment"], /) -> int:
    """Print the JSON Schema of a playbook, an inventory, a role's task file or an environment.yml.

    Parameters
    ----------
    kind
        What is written.
    """
    print(json.dumps(schema(kind), indent=2))
    return 0


def schema(kind: str) -> Schema:
    """The JSON Schema of one kind of file; KeyError for another kind."""
    return {"$schema": DIALECT, "title": f"provision: {kind}", **KINDS[kind]()}


def _playbook() -> Schema:
    imported = _object(
        {"import_playbook": {"type": "string"}, **_keywords(TaskKeywords, ("name", "vars", "when", "tags"))}
    )
    play = _model(PlayKeywords)
    play["properties"] |= {
        "roles": _array({"anyOf": [{"type": "string"}, _named(_model(RoleEntry))]}),
        "environments": _array(_short("conda_env")),
        "apps": _array(_short("app")),
        "shared_data": _one_or_more(_shared_data()),
        **{name: _array({"$ref": "#/$defs/task"}) for name in ("pre_tasks", "tasks", "post_tasks", "handlers")},
    }
    return {
        "type": "array",
        "items": {"anyOf": [play, imported | {"required": ["import_playbook"]}]},
        "$defs": _tasks(),
    }


def _role() -> Schema:
    return {"type": ["array", "null"], "items": {"$ref": "#/$defs/task"}, "$defs": _tasks()}


def _tasks() -> dict[str, Schema]:
    """`task`, and the options of each of its words."""
    words = sorted(modules.known_words() - {"block"})
    bodies = {word: {"$ref": f"#/$defs/{word}"} for word in words}
    blocks = {name: _array({"$ref": "#/$defs/task"}) for name in ("block", "rescue", "always")}
    task = _model(TaskKeywords)
    task["properties"] |= {"loop_control": _or_template(_model(LoopControl)), **bodies, **blocks}
    task["patternProperties"] = {PREFIXED: True, "^with_": True}
    prefixed = {"not": {"propertyNames": {"not": {"pattern": PREFIXED}}}}
    task["anyOf"] = [*({"required": [word]} for word in (*words, "block")), prefixed]
    return {"task": task, **{word: _options(word) for word in words}}


def _options(word: str) -> Schema:
    """The options of one word of a task."""
    if word not in modules.MODULES:
        kinds = modules.DIRECTIVES.get(word) or {}
        loose = not kinds or "free_form" in kinds
        return {} if loose else _object({name: _of(kind) for name, kind in kinds.items()})
    module = modules.MODULES[word]
    kinds = modules.options(word)
    names = kinds | {alias: kinds[name] for alias, name in module.aliases.items() if name in kinds}
    body = _object({name: _of(kind) for name, kind in names.items()})
    for name in module.required:
        body.setdefault("allOf", []).append(
            {"anyOf": [{"required": [each]} for each in (name, *(a for a, b in module.aliases.items() if b == name))]}
        )
    told = [body, {"type": "null"}] if not module.required else [body]
    return {"anyOf": [*told, {"type": "string"}]} if module.free_form else {"anyOf": told} if len(told) > 1 else body


def _short(word: str) -> Schema:
    """An item of `apps` or `environments`: the word's options, and keywords of tasks beside them."""
    kinds = modules.options(word)
    return _object(
        {**_keywords(TaskKeywords, sorted(BESIDE_OPTIONS)), **{name: _of(kind) for name, kind in kinds.items()}}
    )


def _shared_data() -> Schema:
    body = _model(SharedData)
    body["properties"]["links"] = _or_template(
        {"type": "object", "additionalProperties": {"anyOf": [{"type": "string"}, _model(SharedLink)]}}
    )
    return body


def _inventory() -> Schema:
    variables = {
        "type": ["object", "null"],
        "properties": {name: _of(kind) for name, kind in _HOST_VARIABLES.items()},
    }
    group = {
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {
            "hosts": {"type": ["object", "null"], "additionalProperties": {"$ref": "#/$defs/variables"}},
            "vars": {"$ref": "#/$defs/variables"},
            "children": {"type": ["object", "null"], "additionalProperties": {"$ref": "#/$defs/group"}},
        },
    }
    return {
        "type": "object",
        "additionalProperties": {"$ref": "#/$defs/group"},
        "$defs": {"group": group, "variables": variables},
    }


def _environment() -> Schema:
    known: dict[str, Schema] = {
        "name": {"type": "string"},
        "channels": _array({"type": "string"}),
        "dependencies": _array(
            {"anyOf": [{"type": "string"}, _object({"pip": _array({"type": "string"})}) | {"required": ["pip"]}]}
        ),
        "variables": {"type": "object", "additionalProperties": {"type": "string"}},
    }
    properties = {name: known.get(name, {}) for name in KEYS}
    return _object(properties) | {"required": ["name", "dependencies"]}


KINDS: Mapping[str, Callable[[], Schema]] = {
    "playbook": _playbook,
    "inventory": _inventory,
    "role": _role,
    "environment": _environment,
}
"""What there is a schema of."""


def _model(model: type[Keywords]) -> Schema:
    kinds = model.kinds()
    required = [name for name in kinds if not hasattr(model, name) and name != "register"]
    body = _object(_keywords(model, kinds))
    return body | {"required": required} if required else body


def _keywords(model: type[Keywords], names: Iterable[str]) -> dict[str, Schema]:
    kinds = model.kinds()
    return {name: _of(kinds[name]) for name in names if name in kinds}


def _named(entry: Schema) -> Schema:
    """An item of `roles` may hold the role's parameters beside keywords."""
    return {**entry, "additionalProperties": True, "anyOf": [{"required": ["role"]}, {"required": ["name"]}]}


def _object(properties: dict[str, Schema]) -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _array(items: Schema) -> Schema:
    return {"anyOf": [{"type": "array", "items": items}, {"type": "null"}]}


def _one_or_more(item: Schema) -> Schema:
    return {"anyOf": [item, {"type": "array", "items": item}]}


def _or_template(body: Schema) -> Schema:
    return {"anyOf": [body, TEMPLATE]}


def _of(kind: Any) -> Schema:
    """The schema of a type as the models state it; a template may stand for any."""
    plain = _plain(kind)
    return plain if not plain or _takes_text(plain) else _or_template(plain)


def _takes_text(body: Schema) -> bool:
    return "string" in body.get("type", ()) or any(_takes_text(each) for each in body.get("anyOf", ()))


def _plain(kind: Any) -> Schema:
    if kind is Any:
        return {}
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        parts = [_plain(part) for part in inner]
        return {} if {} in parts else {"anyOf": parts}
    if (origin or kind) is list:
        return {"type": "array", "items": _of(inner[0])} if inner else {"type": "array"}
    if (origin or kind) is dict:
        return {"type": "object", "additionalProperties": _of(inner[1])} if inner else {"type": "object"}
    if kind in _PLAIN:
        return {"type": _PLAIN[kind]}
    if isinstance(kind, type) and issubclass(kind, Keywords):
        return _model(kind)
    return {"type": "object", "properties": {name: _of(each) for name, each in get_type_hints(kind).items()}}
