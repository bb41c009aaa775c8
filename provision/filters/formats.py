"""Filters that write and read JSON, YAML, Base64, hashes and identifiers. Pure."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import yaml
from jinja2 import Undefined
from jinja2.exceptions import FilterArgumentError

from provision.source import plain

__all__ = [
    "b64decode", "b64encode", "checksum", "from_json", "from_yaml", "from_yaml_all", "hashed", "md5", "to_json",
    "to_nice_json", "to_nice_yaml", "to_uuid", "to_yaml",
]  # fmt: skip

_NAMESPACE = "361E6D51-FAEC-444A-9079-341386DA8E2E"
"""Ansible's own, so that names give the same identifiers."""


def _settled(value: Any) -> Any:
    """Plain values; a name that is undefined anywhere inside fails as it does when it is used."""
    if isinstance(value, Undefined):
        str(value)
    if isinstance(value, Mapping):
        return {plain(key): _settled(value[key]) for key in value}
    if isinstance(value, list | tuple):
        return [_settled(item) for item in value]
    if isinstance(value, str | int | float) or value is None:
        return plain(value)
    if hasattr(value, "__next__") or isinstance(value, range | set | frozenset):
        return [_settled(item) for item in value]
    return str(value)


def to_json(value: Any, **options: Any) -> str:
    options.setdefault("sort_keys", False)
    for name in ("vault_to_text", "preprocess_unsafe"):
        options.pop(name, None)
    return json.dumps(_settled(value), **options)


def to_nice_json(value: Any, indent: int = 4, sort_keys: bool = True, **options: Any) -> str:
    options.setdefault("separators", (",", ": "))
    return to_json(value, indent=indent, sort_keys=sort_keys, **options)


def from_json(text: Any) -> Any:
    return json.loads(text)


class _Dumper(yaml.SafeDumper):
    """As Ansible's: no anchors, and lists in mappings are indented where asked for."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - called by its name
        return True


def to_yaml(value: Any, indent: int | None = None, sort_keys: bool = True, **options: Any) -> str:
    options.setdefault("allow_unicode", True)
    options.setdefault("default_flow_style", None)
    text: str = yaml.dump(_settled(value), Dumper=_Dumper, indent=indent, sort_keys=sort_keys, **options)
    return text.removesuffix("...\n")


def to_nice_yaml(value: Any, indent: int = 4, sort_keys: bool = True, **options: Any) -> str:
    options.setdefault("default_flow_style", False)
    return to_yaml(value, indent=indent, sort_keys=sort_keys, **options)


def from_yaml(text: Any) -> Any:
    return yaml.load(text, Loader=yaml.CSafeLoader) if isinstance(text, str) else text


def from_yaml_all(text: Any) -> Any:
    return list(yaml.load_all(text, Loader=yaml.CSafeLoader)) if isinstance(text, str) else text


def b64encode(value: Any, encoding: str = "utf-8", urlsafe: bool = False) -> str:
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    return encode(str(value).encode(encoding)).decode()


def b64decode(value: Any, encoding: str = "utf-8", urlsafe: bool = False) -> str:
    decode = base64.urlsafe_b64decode if urlsafe else base64.b64decode
    return decode(str(value)).decode(encoding)


def hashed(value: Any, hashtype: str = "sha1") -> str:
    try:
        return hashlib.new(hashtype, str(value).encode()).hexdigest()
    except ValueError:
        raise FilterArgumentError(f"hash: there is no `{hashtype}`") from None


def md5(value: Any) -> str:
    return hashlib.md5(str(value).encode(), usedforsecurity=False).hexdigest()


def checksum(value: Any) -> str:
    return hashed(value)


def to_uuid(value: Any, namespace: str = _NAMESPACE) -> str:
    import uuid

    return str(uuid.uuid5(uuid.UUID(str(namespace)), str(value)))
