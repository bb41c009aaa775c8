"""`password_hash`: the hashes of shadow(5), by the published algorithm of SHA-crypt, and bcrypt by its library.

The standard library has no `crypt` any more. Salts are random unless given: a play that is to be idempotent gives one.
"""

from __future__ import annotations

import hashlib
import secrets
import string
from typing import Any

from jinja2.exceptions import FilterArgumentError

__all__ = ["password_hash", "sha_crypt"]

_ALPHABET = "./" + string.digits + string.ascii_uppercase + string.ascii_lowercase
_BCRYPT = "./" + string.ascii_uppercase + string.ascii_lowercase + string.digits
_IMPLIED = 5000
"""Rounds that a hash does not name."""
_MARKS = {"sha256": "$5$", "sha512": "$6$"}


def password_hash(
    password: Any,
    hashtype: str = "sha512",
    salt: str | None = None,
    salt_size: int | None = None,
    rounds: int | None = None,
    ident: str | None = None,
) -> str:
    """The hash of a password: `sha512`, `sha256` or `bcrypt` (also as `blowfish`)."""
    kind = {"blowfish": "bcrypt", "sha512_crypt": "sha512", "sha256_crypt": "sha256"}.get(hashtype, hashtype)
    if kind == "bcrypt":
        return _bcrypt(str(password), salt, rounds, ident)
    if kind not in _MARKS:
        raise FilterArgumentError(f"password_hash: `{hashtype}` is not supported, use sha512, sha256 or bcrypt")
    if ident is not None:
        raise FilterArgumentError("password_hash: `ident` goes with bcrypt")
    size = 16 if salt_size is None else int(salt_size)
    salt = "".join(secrets.choice(_ALPHABET) for _ in range(size)) if salt is None else str(salt)
    if len(salt) > 16 or set(salt) - set(_ALPHABET):
        raise FilterArgumentError("password_hash: a salt has at most 16 letters, digits, dots and slashes")
    return sha_crypt(str(password), kind, salt, _IMPLIED if rounds is None else int(rounds))


def _bcrypt(password: str, salt: str | None, rounds: int | None, ident: str | None) -> str:
    import bcrypt

    cost, mark = 12 if rounds is None else int(rounds), ident or "2b"
    if mark not in ("2a", "2b", "2y") or not 4 <= cost <= 31:
        raise FilterArgumentError("password_hash: bcrypt has 4 to 31 rounds and the idents 2a, 2b and 2y")
    if salt is None:
        salt = "".join(secrets.choice(_BCRYPT) for _ in range(21)) + secrets.choice(".Oeu")
    if len(salt) != 22 or set(salt) - set(_BCRYPT):
        raise FilterArgumentError("password_hash: a salt of bcrypt has 22 letters, digits, dots and slashes")
    # the last letter carries two bits; what more it says is cleared, as passlib does
    salt = salt[:21] + _BCRYPT[_BCRYPT.index(salt[21]) & 0x30]
    data = password.encode()
    if len(data) > 72 or b"\0" in data:
        raise FilterArgumentError("password_hash: bcrypt takes passwords of up to 72 bytes")
    hashed = bcrypt.hashpw(data, f"$2b${cost:02}${salt}".encode()).decode()
    return f"${mark}$" + hashed.split("$", 2)[2]


def sha_crypt(password: str, kind: str, salt: str, rounds: int) -> str:
    """SHA-crypt by Ulrich Drepper's specification; `kind` is sha256 or sha512."""
    if not 1000 <= rounds <= 999_999_999:
        raise FilterArgumentError("password_hash: there are 1000 to 999999999 rounds")
    key, salted = password.encode(), salt.encode()

    def digest(*parts: bytes) -> bytes:
        return hashlib.new(kind, b"".join(parts)).digest()

    size = hashlib.new(kind).digest_size
    other = digest(key, salted, key)
    mixed = [key, salted, _repeated(other, len(key))]
    length = len(key)
    while length:
        mixed.append(other if length & 1 else key)
        length >>= 1
    value = digest(*mixed)
    keys = _repeated(digest(key * len(key)), len(key))
    salts = _repeated(digest(salted * (16 + value[0])), len(salted))
    for turn in range(rounds):
        parts = [keys if turn & 1 else value]
        parts += [salts] if turn % 3 else []
        parts += [keys] if turn % 7 else []
        parts.append(value if turn & 1 else keys)
        value = digest(*parts)
    said = "" if rounds == _IMPLIED else f"rounds={rounds}$"
    return f"{_MARKS[kind]}{said}{salt}${_written(value, size)}"


def _repeated(value: bytes, length: int) -> bytes:
    return (value * (length // len(value) + 1))[:length]


def _written(value: bytes, size: int) -> str:
    """The digest in the alphabet of crypt(3), its bytes in the order that the specification gives."""
    step = size // 3
    groups = []
    first, second, third = 0, step, 2 * step
    for _ in range(step):
        groups.append((value[first], value[second], value[third]))
        # each group starts one byte on, in turn at the next of the three
        first, second, third = (second + 1, third + 1, first + 1) if size == 64 else (third + 1, first + 1, second + 1)
    text = "".join(_letters(a << 16 | b << 8 | c, 4) for a, b, c in groups)
    rest = value[3 * step :]
    return text + (_letters(rest[0], 2) if size == 64 else _letters(rest[1] << 8 | rest[0], 3))


def _letters(value: int, count: int) -> str:
    return "".join(_ALPHABET[value >> (6 * position) & 63] for position in range(count))
