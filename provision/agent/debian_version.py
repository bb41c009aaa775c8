"""The order of Debian's versions, as deb-version(7) defines it; pure."""

from __future__ import annotations

from typing import Tuple

__all__ = ["compare", "fits"]


def compare(one: str, other: str) -> int:
    """Below 0 where `one` is the older version, 0 where they are equal, above 0 where it is the newer one."""
    (epoch, upstream, revision), (its_epoch, its_upstream, its_revision) = _parts(one), _parts(other)
    return (epoch - its_epoch) or _compare(upstream, its_upstream) or _compare(revision, its_revision)


def fits(wanted: str, found: str) -> bool:
    """Whether a version is the wanted one, or starts as it does where that ends in `*`."""
    return found.startswith(wanted[:-1]) if wanted.endswith("*") else found == wanted


def _parts(version: str) -> Tuple[int, str, str]:
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, dash, revision = rest.rpartition("-")
    return int(epoch) if epoch.isdigit() else 0, upstream if dash else rest, revision if dash else "0"


def _compare(one: str, other: str) -> int:
    """Turns of what is no digit, by letters, and of digits, by number."""
    while one or other:
        first, one = _split(one, digits=False)
        second, other = _split(other, digits=False)
        order = _letters(first, second)
        if order:
            return order
        first, one = _split(one, digits=True)
        second, other = _split(other, digits=True)
        order = int(first or "0") - int(second or "0")
        if order:
            return order
    return 0


def _split(text: str, digits: bool) -> Tuple[str, str]:
    end = 0
    while end < len(text) and text[end].isdigit() == digits:
        end += 1
    return text[:end], text[end:]


def _letters(one: str, other: str) -> int:
    for index in range(max(len(one), len(other))):
        order = _weight(one[index : index + 1]) - _weight(other[index : index + 1])
        if order:
            return order
    return 0


def _weight(character: str) -> int:
    """`~` before the end of the text, the end before letters, letters before everything else."""
    if character == "~":
        return -1
    if not character:
        return 0
    return ord(character) if character.isalpha() else ord(character) + 256
