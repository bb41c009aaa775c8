"""Passwords of the vectors beside, and a process that knows no secret yet."""

from __future__ import annotations

from pathlib import Path

from provision.secret.keyring import KEYS, Keyring, sources

VECTORS = Path(__file__).parent / "vectors"
"""Made by ansible-vault; `password` opens all but `labelled.txt`, which is under the vault id `dev`."""


def opening(*ids: str, files: tuple[str, ...] = ("password",)) -> Keyring:
    """The process's keyring with these sources alone."""
    KEYS._opened.clear()
    KEYS.say(sources([VECTORS / name for name in files], list(ids), ask=False))
    return KEYS
