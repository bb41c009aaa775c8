"""Text of unknown origin made fit for people's terminals. Pure; must not know where it came from or is shown."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["printable"]

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # control sequences
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # commands of the operating system, such as a window's title
    r"|\x1b[PX^_].*?\x1b\\"  # other strings
    r"|\x1b[ -/]*[0-~]",  # all other escapes
    re.DOTALL,
)


def printable(text: str) -> str:
    """`text` without escape sequences, control characters but newline and tab, and marks that hide or turn text.

    Carriage returns become newlines, spaces of other widths plain ones.
    """
    if text.isprintable():
        return text
    lines = _ESCAPES.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).split("\n")
    return "\n".join(line if line.isprintable() else "".join(map(_shown, line)) for line in lines)


def _shown(character: str) -> str:
    if character.isprintable() or character == "\t":
        return character
    return " " if unicodedata.category(character) == "Zs" else ""
