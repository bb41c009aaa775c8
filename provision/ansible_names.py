"""What of Ansible is known by name and refused, with the reason: modules, their options, keywords.

Owns the reading of two tables: `ansible_words.toml` (names, made by bench/ansible_words.py) and `ansible_reasons.toml`
(why, and what to use instead). They are read when an error or the reference is made, never else.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from provision import modules
from provision.agent.record import record

__all__ = ["Refused", "is_module", "keyword", "keywords", "known_modules", "meta", "module", "option", "options"]


@record(frozen=True, slots=True)
class Refused:
    """Why a word of Ansible is not supported, and what to do instead; "" where there is nothing to say."""

    why: str = ""
    instead: str = ""


def options(word: str) -> dict[str, list[str]]:
    """All options of Ansible's module of that name, each with its aliases; nothing for a module without a table."""
    word = "systemd_service" if word == "systemd" else word
    return dict(_words()["options"].get(word, {}))


def keywords() -> dict[str, list[str]]:
    """Ansible's keywords by where they stand: play, task, block, role, loop_control."""
    return dict(_words()["keywords"])


def known_modules() -> list[str]:
    """The names of modules that are known, those that are supported among them."""
    return list(_words()["modules"]["known"])


def is_module(word: str) -> bool:
    """Whether Ansible has a module of that name."""
    return word in _words()["modules"]["known"]


def option(word: str, name: str) -> Refused | None:
    """Why an option of Ansible's module is refused; None where Ansible has no such option either.

    `name` may be an alias.
    """
    known = options(word)
    own = next((own for own, aliases in known.items() if name == own or name in aliases), None)
    if own is None:
        return None
    reasons = _reasons()
    table = reasons["options"].get("systemd_service" if word == "systemd" else word, {})
    return _refused(table.get(own, reasons["common"].get(own, "")))


def module(word: str) -> Refused | None:
    """Why a module of Ansible is refused; None for a word that is not known, or that is supported."""
    if not is_module(word) or word in modules.known_words():
        return None
    return _refused(_reasons()["modules"].get(word, ""))


def keyword(word: str) -> Refused | None:
    """Why a keyword of Ansible is refused; None for one that is not on the list of the refused."""
    found = _reasons()["keywords"].get(word)
    return None if found is None else _refused(found)


def meta(word: str) -> Refused | None:
    """Why something that Ansible's `meta` does is refused; None for what it does not know."""
    found = _reasons()["meta"].get(word)
    return None if found is None else _refused(found)


def _refused(entry: Any) -> Refused:
    return Refused(entry) if isinstance(entry, str) else Refused(entry.get("why", ""), entry.get("instead", ""))


@cache
def _words() -> dict[str, Any]:
    return _read("ansible_words.toml")


@cache
def _reasons() -> dict[str, Any]:
    return _read("ansible_reasons.toml")


def _read(name: str) -> dict[str, Any]:
    with Path(__file__).with_name(name).open("rb") as file:
        return tomllib.load(file)
