"""What a task may do: the table of words of tasks, Ansible's aliases, and the options that each takes.

Owns names and options only. The options of a resource are the fields of the agent's own `Spec`, so that nothing is
stated twice; those modules are imported when they are first asked for.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import typing
from collections.abc import Mapping
from dataclasses import field
from types import ModuleType
from typing import Any

from provision.agent.record import record

__all__ = [
    "DIRECTIVES",
    "IMPORTS",
    "META",
    "MODULES",
    "WITHOUT_FACTS",
    "Module",
    "canonical",
    "options",
    "spec_class",
]


@record(frozen=True, slots=True)
class Module:
    """One word of a task. `aliases`: Ansible's option -> ours; `hidden`: fields that an operator does not write;
    `extra`: options that the control side turns into fields; `free_form`: where a plain text goes."""

    resource: str
    aliases: Mapping[str, str] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()
    extra: Mapping[str, Any] = field(default_factory=dict)
    free_form: str | None = None
    required: tuple[str, ...] = ()
    written: bool = True
    """Whether a playbook may have it; else it is a command's own."""


_CONTENT = frozenset(("content", "content_blob", "delete_data", "state"))
_PATH = {"dest": "path", "name": "path"}
_PACKAGE = {"pkg": "name", "package": "name", "update-cache": "update_cache"}
_SERVICE = {"daemon-reload": "daemon_reload", "unit": "name", "service": "name"}
_ENVIRONMENT: dict[str, Any] = {
    "file": str,
    "keep": int,
    "post_link": dict[str, list[str]],
    "variants": list[dict[str, Any]],
}
_SHIPPED = frozenset(
    (
        "lock", "listing_blob", "conda_blob", "pip_blob", "rattler_blob", "rattler_lacks", "uv_blob", "platform",
        "floor", "provided", "post_link_ignore", "simulated", "variables", "channel_mirrors", "index_mirrors",
    )
)  # fmt: skip

MODULES: dict[str, Module] = {
    "app": Module("app", hidden=frozenset(("lock", "supervisor_blob")), required=("name",)),
    "app_control": Module("app_control", written=False),
    "app_logs": Module("app_logs", written=False),
    "app_status": Module("app_status", written=False),
    "apt": Module("package", _PACKAGE),
    "blockinfile": Module("blockinfile", {"dest": "path", "name": "path", "content": "block"}, required=("path",)),
    "command": Module("command", free_form="cmd"),
    "conda_base": Module("conda_base"),
    "conda_list": Module("conda_list", {"name": "prefix"}, required=("prefix",)),
    "conda_rollback": Module("conda_rollback", written=False),
    "conda_env": Module("conda_env", hidden=_SHIPPED, extra=_ENVIRONMENT),
    "copy": Module("file", {"dest": "path"}, _CONTENT - {"content"}, {"src": str, "content": Any}, required=("path",)),
    "dnf": Module("package", _PACKAGE),
    "file": Module("file", _PATH, frozenset(("content", "content_blob")), {"src": str}, required=("path",)),
    "git": Module("git", {"name": "repo"}, required=("repo", "dest")),
    "gpu": Module("gpu"),
    "group": Module("group", required=("name",)),
    "link": Module("link", {"dest": "path", "src": "target"}, required=("path",)),
    "mounted": Module("mounted", {"name": "path"}, required=("path",)),
    "offboard": Module("offboard", written=False),
    "package": Module("package", _PACKAGE),
    "reboot": Module("reboot", {"test": "test_command"}, frozenset(("since",))),
    "service": Module("service", _SERVICE),
    "shell": Module("shell", free_form="cmd", required=("cmd",)),
    "stat": Module("stat", _PATH, required=("path",)),
    "survey": Module("survey", written=False),
    "systemd": Module("service", _SERVICE),
    "systemd_service": Module("service", _SERVICE),
    "template": Module("file", {"dest": "path"}, _CONTENT, {"src": str}, required=("path", "src")),
    "user": Module("user", {"user": "name"}, required=("name",)),
}

DIRECTIVES: dict[str, dict[str, Any]] = {
    "assert": {"that": bool | str | list[bool | str], "fail_msg": str, "msg": str, "success_msg": str, "quiet": bool},
    "debug": {"msg": Any, "var": str, "verbosity": int},
    "fail": {"msg": str},
    "meta": {"free_form": str},
    "set_fact": {},
}
"""What only thinks, with its options; `set_fact` takes any."""

WITHOUT_FACTS = frozenset(
    ("blockinfile", "command", "file", "git", "group", "link", "mounted", "shell", "stat", "user")
)
"""Resources that never look at the host's facts; for all others they are asked for."""

META = ("flush_handlers", "noop")
"""What `meta` may ask for."""
IMPORTS = frozenset(("import_tasks", "import_role"))
_COLLECTIONS = ("ansible.builtin.", "ansible.legacy.", "ansible.posix.", "community.general.")


def canonical(word: str) -> str:
    """A task's word without the collection that it came from in Ansible."""
    return next((word.removeprefix(name) for name in _COLLECTIONS if word.startswith(name)), word)


def is_word(word: str) -> bool:
    """Whether a task may start with this word."""
    return (
        (word in MODULES and MODULES[word].written and _shipped(MODULES[word].resource))
        or word in DIRECTIVES
        or word in IMPORTS
    )


def known_words() -> set[str]:
    """All words that a task may start with."""
    return {word for word in {*MODULES, *DIRECTIVES, *IMPORTS, "block"} if word == "block" or is_word(word)}


@functools.cache
def _shipped(resource: str) -> bool:
    try:
        _resource(resource)
    except ModuleNotFoundError:
        return False
    return True


@functools.cache
def _resource(resource: str) -> ModuleType:
    return importlib.import_module(f"provision.agent.resources.{resource}")


@functools.cache
def spec_class(resource: str) -> type[Any]:
    """The agent's `Spec` of a resource."""
    return _resource(resource).Spec  # type: ignore[no-any-return]


@functools.cache
def options(word: str) -> dict[str, Any]:
    """The options of a word, each with its type; aliases are not among them."""
    if word in DIRECTIVES:
        return DIRECTIVES[word]
    module = MODULES[word]
    spec = spec_class(module.resource)
    hints = typing.get_type_hints(spec)
    own = {field.name: hints[field.name] for field in dataclasses.fields(spec) if field.name not in module.hidden}
    return own | dict(module.extra)
