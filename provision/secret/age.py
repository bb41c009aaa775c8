"""Files encrypted with age, read and written by pyrage, which is an extra: `pip install 'provision[age]'`.

Owns identities (the private keys, from `--age-identity` or PROVISION_AGE_IDENTITY) and recipients (public keys).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from provision.errors import Mark, ProvisionError

__all__ = ["HEADS", "VARIABLE", "decrypt", "encrypt", "identity_paths"]

HEADS = (b"age-encryption.org/v1\n", b"-----BEGIN AGE ENCRYPTED FILE-----")
VARIABLE = "PROVISION_AGE_IDENTITY"


def identity_paths(named: Sequence[Path]) -> list[Path]:
    """The identity files: those of the command line, else those of the environment, separated by colons."""
    said = os.environ.get(VARIABLE, "")
    return list(named) or [Path(part).expanduser() for part in said.split(os.pathsep) if part]


def decrypt(data: bytes, identities: Sequence[Path], where: Mark) -> bytes:
    """The content of an age file; raises ProvisionError without pyrage, without an identity, or with a wrong one."""
    age = _pyrage(where)
    if not identities:
        raise ProvisionError(
            "this is encrypted with age, and no identity is given",
            where=where,
            hint=f"say `--age-identity FILE`, or set {VARIABLE}",
        )
    keys = [key for path in identities for key in _identities(age, path)]
    try:
        return bytes(age.decrypt(data, keys))
    except age.DecryptError as error:
        names = ", ".join(f"`{path}`" for path in identities)
        raise ProvisionError("no identity opens this age file", where=where, cause=f"tried {names}: {error}") from None


def _pyrage(where: Mark | None) -> Any:
    try:
        import pyrage
    except ImportError:
        raise ProvisionError(
            "age needs pyrage, which is not installed", where=where, hint="pip install 'provision[age]'"
        ) from None
    return pyrage


def _identities(age: Any, path: Path) -> list[Any]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ProvisionError(f"cannot read the age identity `{path}`", cause=error.strerror or str(error)) from None
    try:
        if b"PRIVATE KEY" in data:
            return [age.ssh.Identity.from_buffer(data)]
        lines = [line.strip() for line in data.decode().splitlines()]
        return [age.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except (age.IdentityError, UnicodeDecodeError):
        raise ProvisionError(
            f"`{path}` is no age identity",
            cause="it is a file of `age-keygen` (AGE-SECRET-KEY-1…), or a private key of ssh without a passphrase",
        ) from None


def encrypt(content: bytes, recipients: Sequence[str]) -> bytes:
    """The armored age file for recipients (age1…, or ssh-ed25519 … and ssh-rsa …); raises ProvisionError."""
    age = _pyrage(None)
    try:
        keys = [
            age.ssh.Recipient.from_str(text) if text.startswith("ssh-") else age.x25519.Recipient.from_str(text)
            for text in recipients
        ]
    except age.RecipientError as error:
        raise ProvisionError(
            "that is no age recipient", cause=str(error), hint="age1…, or a public key of ssh"
        ) from None
    return bytes(age.encrypt(content, keys, armored=True))
