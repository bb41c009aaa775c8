"""The filters, tests and functions that templates have: Jinja's, and Ansible's with Ansible's meaning.

Owns the table of names, also of those that are refused and why. What each does is in the modules beside it; these are
pure but for chance (`random`, `shuffle`, salts) and the clock (`now`, `strftime`), and read no file.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import Any

from jinja2 import Undefined
from jinja2.filters import FILTERS as _JINJA_FILTERS
from jinja2.tests import TESTS as _JINJA_TESTS

from provision.filters.tests import truth
from provision.filters.words import Words

__all__ = ["FILTERS", "GLOBALS", "LOOKUPS", "REFUSED", "TESTS", "truth"]

GLOBALS = frozenset(("range", "dict", "namespace", "joiner", "cycler", "lipsum"))

_FILTERS = {
    "structures": {
        "combinations": "combinations",
        "combine": "combine",
        "dict2items": "dict2items",
        "difference": "difference",
        "extract": "extract",
        "flatten": "flatten",
        "intersect": "intersect",
        "items2dict": "items2dict",
        "mandatory": "mandatory",
        "permutations": "permutations",
        "product": "product",
        "rekey_on_member": "rekey_on_member",
        "subelements": "subelements",
        "symmetric_difference": "symmetric_difference",
        "ternary": "ternary",
        "type_debug": "type_debug",
        "union": "union",
        "unique": "unique",
        "zip": "zipped",
        "zip_longest": "zipped_longest",
    },
    "texts": {
        "comment": "comment",
        "commonpath": "commonpath",
        "path_join": "path_join",
        "quote": "quote",
        "regex_escape": "regex_escape",
        "regex_findall": "regex_findall",
        "regex_replace": "regex_replace",
        "regex_search": "regex_search",
        "relpath": "relpath",
        "split": "split",
        "splitext": "splitext",
        "urldecode": "urldecode",
        "urlsplit": "urlsplit",
        "win_basename": "win_basename",
        "win_dirname": "win_dirname",
        "win_splitdrive": "win_splitdrive",
    },
    "formats": {
        "b64decode": "b64decode",
        "b64encode": "b64encode",
        "checksum": "checksum",
        "from_json": "from_json",
        "from_yaml": "from_yaml",
        "from_yaml_all": "from_yaml_all",
        "hash": "hashed",
        "md5": "md5",
        "sha1": "checksum",
        "to_json": "to_json",
        "to_nice_json": "to_nice_json",
        "to_nice_yaml": "to_nice_yaml",
        "to_uuid": "to_uuid",
        "to_yaml": "to_yaml",
    },
    "numbers": {
        "human_readable": "human_readable",
        "human_to_bytes": "human_to_bytes",
        "log": "logarithm",
        "pow": "power",
        "random": "randomly",
        "root": "root",
        "shuffle": "shuffled",
        "strftime": "strftime",
        "to_datetime": "to_datetime",
    },
    "passwords": {"password_hash": "password_hash"},
}
"""Name to function, by module."""

_TESTS = {
    "tests": {
        "change": "changed",
        "changed": "changed",
        "contains": "contains",
        "failed": "failed",
        "failure": "failed",
        "falsy": "falsy",
        "finished": "finished",
        "issubset": "subset",
        "issuperset": "superset",
        "isnan": "is_nan",
        "match": "match",
        "nan": "is_nan",
        "reachable": "reachable",
        "regex": "regex",
        "search": "search",
        "skip": "skipped",
        "skipped": "skipped",
        "started": "started",
        "subset": "subset",
        "succeeded": "success",
        "success": "success",
        "successful": "success",
        "superset": "superset",
        "timedout": "timedout",
        "truthy": "truthy",
        "unreachable": "unreachable",
        "uri": "is_uri",
        "url": "is_url",
        "urn": "is_urn",
    },
    "versions": {"version": "version", "version_compare": "version"},
}

LOOKUPS = frozenset(
    (
        *("dict", "env", "file", "fileglob", "first_found", "indexed_items", "items", "list", "nested", "sequence"),
        *("subelements", "template", "together", "varnames", "vars"),
    )
)
"""The lookups that there are; what they do is in `lookups.py`."""

_RUNS = "it would run a program on this machine while a template is rendered; use a task with `delegate_to: localhost`"
_FETCHES = "it would reach the network while a template is rendered; use `uri` or `get_url`"
_READS_FILES = "it would look at this machine, not at the host; register what `stat` says of the host"
_VAULT = "secrets are kept in whole files or `!vault` values"
_ONE_FILE = "a template is one file here; write macros in the file that uses them"
_ADDRESSES = "it comes with a collection, `ansible.utils`, and a library of its own"

REFUSED: dict[str, dict[str, str]] = {
    "filter": {
        "expanduser": _READS_FILES,
        "expandvars": "it would expand variables of this machine; `lookup('env', …)` asks for them by name",
        "fileglob": "use `query('fileglob', …)`, which looks beside the role's files",
        "realpath": _READS_FILES,
        "vault": _VAULT,
        "unvault": _VAULT,
        **dict.fromkeys(("ipaddr", "ipv4", "ipv6", "ipsubnet", "ipwrap", "ipmath", "network_in_usable"), _ADDRESSES),
        "json_query": "it comes with a collection, `community.general`; `selectattr` and `map(attribute=…)` serve",
    },
    "test": {
        **dict.fromkeys(
            (
                *("directory", "exists", "file", "is_dir", "is_file", "is_link", "is_mount", "is_same_file"),
                *("link", "link_exists", "mount", "same_file"),
            ),
            _READS_FILES,
        ),
        "vault_encrypted": _VAULT,
        "vaulted_file": _VAULT,
    },
    "lookup": {
        "config": "there is no configuration of Ansible here",
        "csvfile": "write the values as YAML, in `vars_files`",
        "ini": "write the values as YAML, in `vars_files`",
        "inventory_hostnames": "use `groups` and `inventory_hostname`",
        "lines": _RUNS,
        "password": "it would write a file on this machine while a template is rendered; keep secrets in vault",
        "pipe": _RUNS,
        "random_choice": "use the filter `random`",
        "unvault": _VAULT,
        "url": _FETCHES,
    },
    "statement": {
        "extends": _ONE_FILE,
        "import": _ONE_FILE,
        "include": "a template is one file here; use `{{ lookup('template', …) }}`",
    },
}
"""Ansible's names that are known and refused, each with the reason."""


def _later(tables: dict[str, dict[str, str]]) -> dict[str, str]:
    return {name: f"{module}:{function}" for module, names in tables.items() for name, function in names.items()}


def _all(values: Any) -> bool:
    return all(values)


def _any(values: Any) -> bool:
    return any(values)


def _defined(value: Any) -> bool:
    return not isinstance(value, Undefined) or getattr(value, "inside", False)


def _default(value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    return default_value if not _defined(value) or (boolean and not value) else value


_PLAIN_FILTERS: dict[str, Callable[..., Any]] = {
    "d": _default,
    "default": _default,
    "basename": lambda path: posixpath.basename(str(path)),
    "bool": truth,
    "dirname": lambda path: posixpath.dirname(str(path)),
    "normpath": lambda path: posixpath.normpath(str(path)),
}
_PLAIN_TESTS: dict[str, Callable[..., Any]] = {
    "defined": _defined,
    "undefined": lambda value: not _defined(value),
    "abs": lambda path: posixpath.isabs(str(path)),
    "all": _all,
    "any": _any,
    "is_abs": lambda path: posixpath.isabs(str(path)),
}

_jinja: Any = {"filter": _JINJA_FILTERS, "test": _JINJA_TESTS}
FILTERS = Words({**_jinja["filter"], **_PLAIN_FILTERS}, _later(_FILTERS))
TESTS = Words({**_jinja["test"], **_PLAIN_TESTS}, _later(_TESTS))
