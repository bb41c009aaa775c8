"""The secrets that this process knows, and their removal from whatever is shown.

Owns the one list of them. Every secret comes here when it is made: decrypted, typed, or derived by a template. A text
is only ever shown after `clean`, which needs no word about where a secret may stand in it.
"""

from __future__ import annotations

import re
import threading
from dataclasses import fields, is_dataclass, replace
from typing import Any

from provision.errors import ProvisionError, ProvisionErrors
from provision.secret.forms import SHORTEST, forms, pattern
from provision.secret.value import HIDDEN, Secret, holds, marked

__all__ = ["KNOWN", "Known", "clean", "derived", "learned", "secret"]

_SHORTEST_DERIVED = 8
_LONGEST_DERIVED = 64 * 1024


class Known:
    """Texts that are secret; for all threads of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._texts: set[str] = set()
        self._parts: tuple[tuple[frozenset[str], re.Pattern[str]], ...] = ()

    def __bool__(self) -> bool:
        return bool(self._parts)

    def add(self, text: str) -> None:
        """From now on `redact` hides this text in all its forms; one of fewer than four characters it cannot."""
        if len(text) < SHORTEST or text in self._texts:
            return
        found = frozenset(forms(text))
        with self._lock:
            self._texts.add(text[:])
            parts = list(self._parts)
            # parts double in size, so that a secret is compiled few times however many come one by one
            while parts and len(parts[-1][0]) <= len(found):
                found |= parts.pop()[0]
            if found:
                self._parts = (*parts, (found, pattern(found)))

    def redact(self, text: str) -> str:
        """The text with HIDDEN in place of every secret."""
        for _, found in self._parts:
            text = found.sub(HIDDEN, text)
        return text

    def hides(self, text: str) -> bool:
        """Whether a secret that is known stands in the text."""
        return any(found.search(text) for _, found in self._parts)


KNOWN = Known()
"""A process has one, as it has one terminal."""


def secret(text: str) -> Secret:
    """A secret of the operator: decrypted, typed, or by its variable's or option's name."""
    KNOWN.add(text)
    return Secret(text)


def learned(value: Any) -> Any:
    """The value with every text in it a secret that is known from now on."""
    for text in _texts(value):
        KNOWN.add(text)
    return marked(value)


def derived(value: Any) -> Any:
    """What a template made of secrets: secret in its turn, and known where it does not show those it was made of."""
    for text in _texts(value):
        if _SHORTEST_DERIVED <= len(text) <= _LONGEST_DERIVED and not KNOWN.hides(text):
            KNOWN.add(text)
    return marked(value)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    return [text for item in value for text in _texts(item)] if isinstance(value, list | tuple) else []


def clean(value: Any) -> Any:
    """A value as it may be shown: events, errors, mappings, lists and texts, without a secret in them."""
    if isinstance(value, str):
        return _clean_text(value)
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()} if value else value
    if isinstance(value, list | tuple):
        cleaned = [clean(item) for item in value]
        return tuple(cleaned) if isinstance(value, tuple) else cleaned
    if isinstance(value, ProvisionError):
        return _clean_error(value)
    if is_dataclass(value) and not isinstance(value, type):
        return _clean_record(value)
    return value


def _clean_text(text: str) -> str:
    if type(text) is Secret:
        shown = KNOWN.redact(text[:])
        return shown if shown != text else HIDDEN
    return KNOWN.redact(text)


def _clean_record(value: Any) -> Any:
    before = {field.name: getattr(value, field.name) for field in fields(value)}
    after = {name: clean(item) for name, item in before.items()}
    changed = {name: item for name, item in after.items() if item is not before[name] and item != before[name]}
    # a secret equals its hidden form only if it is one, so that types are looked at as well
    changed |= {name: after[name] for name, item in before.items() if holds(item)}
    return replace(value, **changed) if changed else value


def _clean_error(error: ProvisionError) -> ProvisionError:
    if isinstance(error, ProvisionErrors):
        return ProvisionErrors([_clean_error(one) for one in error.errors])
    for name in ("summary", "context", "cause", "hint"):
        setattr(error, name, _clean_text(getattr(error, name)))
    error.args = tuple(clean(item) for item in error.args)
    return error
