"""What the operator's files hold of secrets, before it is used: encrypted values, and the texts of encrypted files.

Both are templates to whoever reads files, since their values are known only once they are rendered. Must not know
where passwords come from.
"""

from __future__ import annotations

from typing import Any

from provision.errors import Mark, ProvisionError
from provision.secret.known import secret
from provision.secret.value import Secret
from provision.source import Mapping, Sequence, Template

__all__ = ["SecretTemplate", "Vaulted", "mark_all", "mark_file", "opened_file", "secret"]


class SecretTemplate(Template):
    """A template of an encrypted file: what it renders to is secret."""

    __slots__ = ()
    sealed = True

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (str(self), self.mark, self._raw))


class Vaulted(SecretTemplate):
    """A `!vault` value: encrypted text, opened when it is first used. What is in it is never rendered."""

    __slots__ = ("_opened",)
    _opened: Secret

    def opened(self) -> Secret:
        """The secret; raises ProvisionError without its password, and where it is garbled."""
        try:
            return self._opened
        except AttributeError:
            self._opened = _text(_keys().opened(str(self), self.mark), self.mark)
            return self._opened


def opened_file(data: bytes, file: str) -> bytes:
    """The content of an encrypted file, vault's or age's; raises ProvisionError where nothing opens it."""
    content: bytes = _keys().content(data, Mark(file, 1, 1))
    return content


def mark_file(value: Any) -> Any:
    """Make what was read from an encrypted file secret, in place: all texts, of plays and tasks those in `vars`."""
    if not isinstance(value, Sequence):
        return mark_all(value)
    for item in value:
        _mark_variables(item)
    return value


def _mark_variables(value: Any) -> None:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key == "vars":
                value[key] = mark_all(item)
            else:
                _mark_variables(item)
    elif isinstance(value, Sequence):
        for item in value:
            _mark_variables(item)


def mark_all(value: Any) -> Any:
    """Make every text a secret, in place; keys stay as they are."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            value[key] = mark_all(item)
    elif isinstance(value, Sequence):
        value[:] = [mark_all(item) for item in value]
    elif type(value) is Template:
        return SecretTemplate(value, value.mark, value._raw)
    elif type(value) is str:
        return secret(value)
    return value


def _text(content: bytes, where: Mark) -> Secret:
    try:
        return secret(content.decode())
    except UnicodeDecodeError:
        raise ProvisionError(
            "this vault value is not text", where=where, hint="binary content goes into an encrypted file of its own"
        ) from None


def _keys() -> Any:
    # imported here: a file without secrets needs no keys
    from provision.secret.keyring import KEYS

    return KEYS
