"""Rows of a file like /etc/fstab: found, set and removed by mount point. Pure; comments and other rows stay."""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Tuple

__all__ = ["Row", "find", "removed", "with_row"]

_SIGNS = ((" ", "\\040"), ("\t", "\\011"), ("\n", "\\012"))


class Row(NamedTuple):
    """One row, its fields without escapes."""

    source: str
    point: str
    kind: str
    options: str
    dump: str = "0"
    passno: str = "0"

    def text(self) -> str:
        """The row as it is written, without the end of its line."""
        return " ".join(_escaped(word) for word in self)


def find(text: str, row: Row) -> Optional[Row]:
    """The last row for the mount point of `row`, or for its source where it is swap."""
    rows = [found for found in (_parsed(line) for line in text.splitlines()) if found and _same(found, row)]
    return rows[-1] if rows else None


def with_row(text: str, row: Row) -> str:
    """The text with the row in place of those for the same mount point, else at its end."""
    lines, placed = [], False
    for line in text.splitlines():
        found = _parsed(line)
        if found is None or not _same(found, row):
            lines.append(line)
        elif not placed:
            lines.append(line if found == row else row.text())
            placed = True
    return "".join(line + "\n" for line in (lines if placed else [*lines, row.text()]))


def removed(text: str, row: Row) -> str:
    """The text without the rows for the mount point of `row`; the same text where it has none."""
    kept = [line for line in text.splitlines(True) if not _is(line, row)]
    return "".join(kept)


def _is(line: str, row: Row) -> bool:
    found = _parsed(line)
    return found is not None and _same(found, row)


def _same(found: Row, row: Row) -> bool:
    if row.kind == "swap" or row.point in ("none", "swap"):
        return found.kind == "swap" and found.source == row.source
    return (found.point.rstrip("/") or "/") == (row.point.rstrip("/") or "/")


def _parsed(line: str) -> Optional[Row]:
    words = line.split()
    if len(words) < 4 or words[0].startswith("#"):
        return None
    plain = [_plain(word) for word in words[:6]]
    last: Tuple[str, ...] = tuple(plain[4:] + ["0", "0"][len(plain) - 4 :])
    return Row(plain[0], plain[1], plain[2], plain[3], *last)


def _escaped(word: str) -> str:
    word = word.replace("\\", "\\134")
    for sign, escape in _SIGNS:
        word = word.replace(sign, escape)
    return word


def _plain(word: str) -> str:
    parts: List[str] = word.split("\\")
    return parts[0] + "".join(
        chr(int(part[:3], 8)) + part[3:] if part[:3].isdigit() else "\\" + part for part in parts[1:]
    )
