"""Ansible Vault's format: text that holds bytes encrypted under a password. Pure, but for the salt.

Source: "Ansible Vault payload format" of Ansible's documentation: `$ANSIBLE_VAULT;1.1;AES256`, or 1.2 with a label,
then hex of hex of salt, HMAC and ciphertext. Keys: PBKDF2 with HMAC-SHA256, 10000 rounds; AES-256 in counter mode;
HMAC-SHA256 over the ciphertext. Must not know where passwords come from.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import os
from typing import NamedTuple

from provision.errors import Mark, ProvisionError

__all__ = ["HEAD", "Envelope", "decrypt", "encrypt", "parse"]

HEAD = "$ANSIBLE_VAULT"
_ROUNDS = 10_000
_WIDTH = 80
_BLOCK = 16


class Envelope(NamedTuple):
    """An encrypted text, taken apart; `label` says which password it is under, "" where nothing is said."""

    label: str
    salt: bytes
    seal: bytes
    ciphertext: bytes


def parse(text: str, where: Mark) -> Envelope:
    """The parts of an encrypted text; raises ProvisionError where it is garbled or of an unknown version."""
    head, *body = text.strip().splitlines() or [""]
    words = [word.strip() for word in head.split(";")]
    if words[0] != HEAD or len(words) < 3:
        raise _garbled(where, f"its first line is not `{HEAD};1.1;AES256`")
    if words[1] not in ("1.1", "1.2") or words[2] != "AES256":
        raise ProvisionError(
            f"this vault text has version {words[1]} with {words[2]}, which is not supported",
            where=where,
            hint="`ansible-vault rekey` makes a 1.1 or 1.2 of it",
        )
    if words[1] == "1.2" and len(words) < 4:
        raise _garbled(where, "version 1.2 names a vault id in its first line, and here is none")
    try:
        salt, seal, ciphertext = map(binascii.unhexlify, _unhex("".join(body).split()).split(b"\n"))
    except (ValueError, binascii.Error):
        raise _garbled(where, "what follows the first line is not whole hexadecimal text") from None
    if not ciphertext or len(ciphertext) % _BLOCK or len(seal) != 32:
        raise _garbled(where, "a part of it is missing")
    return Envelope(words[3] if words[1] == "1.2" else "", salt, seal, ciphertext)


def _unhex(words: list[str]) -> bytes:
    return binascii.unhexlify("".join(words))


def _garbled(where: Mark, cause: str) -> ProvisionError:
    return ProvisionError(
        "this vault text is garbled",
        where=where,
        cause=cause,
        hint="take it from a copy, or encrypt anew: `provision secret encrypt`",
    )


def decrypt(envelope: Envelope, password: bytes) -> bytes | None:
    """The content; None where the password is not the right one, or a byte was changed."""
    cipher_key, seal_key, counter = _keys(password, envelope.salt)
    if not hmac.compare_digest(hmac.digest(seal_key, envelope.ciphertext, "sha256"), envelope.seal):
        return None
    padded = _cipher(cipher_key, counter, envelope.ciphertext)
    return padded[: -padded[-1]] if 0 < padded[-1] <= _BLOCK else None


def encrypt(content: bytes, password: bytes, label: str = "", salt: bytes | None = None) -> str:
    """The encrypted text, with a line end; under a label it is of version 1.2."""
    salt = salt or os.urandom(32)
    cipher_key, seal_key, counter = _keys(password, salt)
    missing = _BLOCK - len(content) % _BLOCK
    ciphertext = _cipher(cipher_key, counter, content + bytes([missing]) * missing)
    parts = (salt, hmac.digest(seal_key, ciphertext, "sha256"), ciphertext)
    body = b"\n".join(part.hex().encode() for part in parts).hex()
    head = f"{HEAD};1.2;AES256;{label}" if label else f"{HEAD};1.1;AES256"
    return "\n".join([head, *(body[at : at + _WIDTH] for at in range(0, len(body), _WIDTH))]) + "\n"


def _keys(password: bytes, salt: bytes) -> tuple[bytes, bytes, bytes]:
    made = hashlib.pbkdf2_hmac("sha256", password, salt, _ROUNDS, 80)
    return made[:32], made[32:64], made[64:]


def _cipher(key: bytes, counter: bytes, data: bytes) -> bytes:
    # imported here: only what decrypts pays for it
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    worker = Cipher(algorithms.AES(key), modes.CTR(counter)).encryptor()
    return worker.update(data) + worker.finalize()
