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
    "INCLUDES",
    "META",
    "MODULES",
    "NOT_IN_CHECK",
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


_TIMES = frozenset(("access_time", "access_time_format", "modification_time", "modification_time_format"))
_CONTENT = frozenset(("content", "content_blob", "delete_data", "state", "recurse")) | _TIMES
_COPIED: dict[str, Any] = {
    "src": str,
    "content": Any,
    "checksum": str,
    "decrypt": bool,
    "directory_mode": str,
    "local_follow": bool,
}
_JINJA: dict[str, Any] = {
    "newline_sequence": str,
    "trim_blocks": bool,
    "lstrip_blocks": bool,
    "output_encoding": str,
    "block_start_string": str,
    "block_end_string": str,
    "comment_start_string": str,
    "comment_end_string": str,
    "variable_start_string": str,
    "variable_end_string": str,
}
"""Options of a template that are Jinja's, but for the first and the encoding."""
_PATH = {"dest": "path", "name": "path"}
_PACKAGE = {"pkg": "name", "package": "name", "update-cache": "update_cache", "expire-cache": "update_cache"}
_APT = {
    **_PACKAGE, "allow-downgrade": "allow_downgrade", "allow-downgrades": "allow_downgrade",
    "allow_downgrades": "allow_downgrade", "install-recommends": "install_recommends",
    "default-release": "default_release",
}  # fmt: skip
_EDITED = {"dest": "path", "destfile": "path", "name": "path"}
_PASSWORD = {"password": "url_password"}
_UNPACKED = frozenset(("src_blob", "listing_blob"))
_STAT = {**_PATH, **dict.fromkeys(("checksum", "checksum_algo"), "checksum_algorithm")}
_STAT |= dict.fromkeys(("attr", "attributes"), "get_attributes")
_STAT |= dict.fromkeys(("mime", "mime_type", "mime-type"), "get_mime")
_SERVICE = {"daemon-reload": "daemon_reload", "daemon-reexec": "daemon_reexec", "unit": "name", "service": "name"}
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
        "locked", "only_newer",
    )
)  # fmt: skip

MODULES: dict[str, Module] = {
    "app": Module("app", hidden=frozenset(("lock", "supervisor_blob")), required=("name",)),
    "app_control": Module("app_control", written=False),
    "app_logs": Module("app_logs", written=False),
    "app_status": Module("app_status", written=False),
    "apt": Module("package", _APT),
    "apt_repository": Module(
        "apt_repository", {"update-cache": "update_cache"}, frozenset(("directory",)), required=("repo",)
    ),
    "authorized_key": Module("authorized_key", required=("user", "key")),
    "blockinfile": Module("blockinfile", {**_EDITED, "content": "block"}, required=("path",)),
    "command": Module("command", free_form="cmd"),
    "conda_base": Module("conda_base"),
    "conda_list": Module("conda_list", {"name": "prefix"}, required=("prefix",)),
    "conda_rollback": Module("conda_rollback", written=False),
    "conda_env": Module("conda_env", hidden=_SHIPPED, extra=_ENVIRONMENT),
    "copy": Module("file", {"dest": "path"}, _CONTENT - {"content"}, _COPIED, required=("path",)),
    "cron": Module("cron", {"value": "job", "dom": "day", "dow": "weekday"}, required=("name",)),
    "deb822_repository": Module("deb822_repository", {}, frozenset(("directory",)), required=("name",)),
    "dnf": Module("package", _PACKAGE),
    "dpkg_selections": Module("dpkg_selections", required=("name", "selection")),
    "file_tree": Module("file_tree", written=False),
    "file": Module("file", _PATH, frozenset(("content", "content_blob", "validate")), {"src": str}, required=("path",)),
    "get_url": Module("get_url", {"username": "url_username", **_PASSWORD}, required=("url", "dest")),
    "git": Module("git", {"name": "repo"}, required=("repo", "dest")),
    "gpu": Module("gpu"),
    "group": Module("group", required=("name",)),
    "hostname": Module("hostname", required=("name",)),
    "known_hosts": Module("known_hosts", {"host": "name"}, required=("name",)),
    "lineinfile": Module("lineinfile", {**_EDITED, "regex": "regexp", "value": "line"}, required=("path",)),
    "link": Module("link", {"dest": "path", "src": "target"}, required=("path",)),
    "modprobe": Module("modprobe", required=("name",)),
    "mount": Module("mount", {"name": "path"}, required=("path", "state")),
    "mounted": Module("mounted", {"name": "path"}, required=("path",)),
    "offboard": Module("offboard", written=False),
    "package": Module("package", _PACKAGE),
    "prune": Module("prune", written=False),
    "reboot": Module("reboot", {"test": "test_command"}, frozenset(("since",))),
    "replace": Module("replace", _EDITED, required=("path", "regexp")),
    "service": Module("service", _SERVICE),
    "shell": Module("shell", free_form="cmd", required=("cmd",)),
    "stat": Module("stat", _STAT, required=("path",)),
    "survey": Module("survey", written=False),
    "sysctl": Module("sysctl", {"key": "name", "val": "value"}, required=("name",)),
    "systemd": Module("service", _SERVICE),
    "systemd_service": Module("service", _SERVICE),
    "template": Module("file", {"dest": "path"}, _CONTENT, {"src": str, **_JINJA}, required=("path", "src")),
    "unarchive": Module("unarchive", {}, _UNPACKED, required=("src", "dest")),
    "uri": Module("uri", {"user": "url_username", **_PASSWORD}, required=("url",)),
    "user": Module("user", {"user": "name", "createhome": "create_home"}, required=("name",)),
    "wait_for": Module("wait_for"),
}

INCLUDES = frozenset(("include_tasks", "include_role"))
"""What takes in tasks while a play runs."""
DIRECTIVES: dict[str, dict[str, Any]] = {
    "include_tasks": {"file": str, "apply": dict[str, Any]},
    "include_role": {"name": str, "tasks_from": str, "public": bool, "apply": dict[str, Any], "allow_duplicates": bool},
    "assert": {
        "that": bool | str | list[bool | str],
        "fail_msg": str | list[str],
        "msg": str | list[str],
        "success_msg": str | list[str],
        "quiet": bool,
    },
    "debug": {"msg": Any, "var": str, "verbosity": int},
    "fail": {"msg": str},
    "include_vars": {
        "file": str,
        "dir": str,
        "name": str,
        "depth": int,
        "files_matching": str,
        "ignore_files": str | list[str],
        "extensions": str | list[str],
        "ignore_unknown_extensions": bool,
        "hash_behaviour": str,
    },
    "meta": {"free_form": str},
    "set_fact": {},
    "setup": {"gather_subset": str | list[str], "filter": str | list[str], "gather_timeout": int},
}
"""What only thinks, with its options; `set_fact` takes any."""

WITHOUT_FACTS = frozenset(
    (
        "apt_repository", "authorized_key", "blockinfile", "command", "cron", "deb822_repository", "dpkg_selections",
        "file", "file_tree", "get_url", "git", "group", "known_hosts", "lineinfile", "link", "modprobe", "mount",
        "mounted", "replace", "shell", "stat", "sysctl", "unarchive", "uri", "user", "wait_for",
    )
)  # fmt: skip
"""Resources that never look at the host's facts; for all others they are asked for."""

NOT_IN_CHECK = frozenset(("uri", "wait_for"))
"""Words that a check skips, as Ansible does: what they ask may be about what only a real run brings about."""

META = ("end_batch", "end_host", "end_play", "flush_handlers", "noop", "reset_connection")
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
