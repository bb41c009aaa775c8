"""The type of a secret text, and how values that hold secrets are walked.

Owns the type only: which texts are known, and how they are found in others, is `known`'s matter. Imports nothing, as
every command reads the operator's files with it.
"""

from __future__ import annotations

from typing import Any

__all__ = ["ENCRYPTED", "HIDDEN", "Secret", "holds", "is_secret", "marked", "masked", "revealed"]

ENCRYPTED = (b"$ANSIBLE_VAULT;", b"age-encryption.org/v1\n", b"-----BEGIN AGE ENCRYPTED FILE-----")
"""How encrypted files begin."""
HIDDEN = "***"
"""What stands in place of a secret wherever something is shown."""


class Secret(str):
    """A text that must not be shown; text made of it by a template is one again. `repr` does not give it away."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(HIDDEN)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Secret, (self[:],))


def is_secret(written: Any) -> bool:
    """Whether what stands in the operator's files is a secret in itself, decrypted or not."""
    return type(written) is Secret or getattr(type(written), "sealed", False)


def holds(value: Any) -> bool:
    """Whether a value is a secret, or one is in it."""
    if isinstance(value, str):
        return type(value) is Secret
    if isinstance(value, dict):
        return any(holds(item) for item in value.values())
    return isinstance(value, list | tuple) and any(holds(item) for item in value)


def marked(value: Any) -> Any:
    """The value with every text in it a secret; keys stay as they are."""
    if isinstance(value, str):
        return value if type(value) is Secret else Secret(value)
    if isinstance(value, dict):
        return {key: marked(item) for key, item in value.items()}
    return [marked(item) for item in value] if isinstance(value, list | tuple) else value


def revealed(value: Any) -> Any:
    """The value with plain text in place of its secrets, for what must get exactly `str`."""
    if type(value) is Secret:
        return value[:]
    if isinstance(value, dict):
        return {key: revealed(item) for key, item in value.items()}
    return [revealed(item) for item in value] if isinstance(value, list | tuple) else value


def masked(value: Any) -> Any:
    """The value with HIDDEN in place of its secrets."""
    if type(value) is Secret:
        return HIDDEN
    if isinstance(value, dict):
        return {masked(key): masked(item) for key, item in value.items()}
    return [masked(item) for item in value] if isinstance(value, list | tuple) else value
