"""Variables of the command line: `-e KEY=VALUE`, `-e '{…}'`, `-e @FILE`."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from provision.errors import Mark, ProvisionError
from provision.source import Mapping, Template, load, loads

__all__ = ["extra_variables"]


def extra_variables(texts: Iterable[str]) -> dict[str, Any]:
    """All of them, later ones over earlier; raises ProvisionError for a text that is none of the three forms.

    `KEY=VALUE` gives text, as in Ansible; a YAML or JSON mapping keeps its types.
    """
    found: dict[str, Any] = {}
    for text in texts:
        found |= _one(text)
    return found


def _one(text: str) -> dict[str, Any]:
    if text.startswith("@"):
        return _mapping(load(Path(text[1:])), text)
    if text.lstrip().startswith(("{", "[")) or ("=" not in text and ":" in text):
        return _mapping(loads(text, "--extra-vars"), text)
    return dict(_pair(word, text) for word in shlex.split(text))


def _pair(word: str, text: str) -> tuple[str, Any]:
    key, sign, value = word.partition("=")
    if not sign or not key.isidentifier():
        raise _unusable(text, f"`{word}` is not KEY=VALUE")
    where = Mark("--extra-vars", 1, max(1, text.find(value) + 1))
    return key, Template(value, where, value) if "{{" in value or "{%" in value else value


def _mapping(value: Any, text: str) -> Mapping:
    if not isinstance(value, Mapping):
        raise _unusable(text, "it holds no mapping of names to values")
    return value


def _unusable(text: str, cause: str) -> ProvisionError:
    return ProvisionError(
        f"`-e {text}` cannot be used", cause=cause, hint="write KEY=VALUE, a YAML or JSON mapping, or @FILE"
    )
