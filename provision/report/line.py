"""Lines with styles, and what writes them: rich where colours are wanted, plain text elsewhere.

rich is imported only where it is used; it would be a twentieth of what a run costs that finds nothing to do.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

__all__ = ["Line", "Printer", "console", "printer"]

Part = str | tuple[str, str]


class Line:
    """Parts of text, each plain or with one of rich's styles; `style` is that of all."""

    __slots__ = ("parts", "style")

    def __init__(self, *parts: Part, style: str = "") -> None:
        self.parts = parts
        self.style = style

    def __str__(self) -> str:
        return "".join(part if isinstance(part, str) else part[0] for part in self.parts)

    def __rich__(self) -> Text:
        from rich.text import Text

        return Text.assemble(*self.parts, style=self.style)


class Printer(Protocol):
    """What lines are printed to."""

    def print(self, line: Any, /) -> None:
        """Write a line and its end."""


class _Plain:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def print(self, line: Any, /) -> None:
        self._stream.write(f"{line}\n")


def console(stream: TextIO) -> Console:
    """A rich console without markup, highlighting or wrapping surprises; NO_COLOR and FORCE_COLOR are honoured."""
    from rich.console import Console

    width = None if stream.isatty() else 200
    return Console(file=stream, markup=False, highlight=False, emoji=False, soft_wrap=True, width=width)


def printer(stream: TextIO) -> Printer:
    """A rich console for a terminal or where FORCE_COLOR asks for it, else plain text."""
    return console(stream) if stream.isatty() or os.environ.get("FORCE_COLOR") else _Plain(stream)
