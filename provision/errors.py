"""The one form of an error: what, where (file:line:column), why, and what to do.

Owns the form only; each error is stated in the module that raises it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Mark", "ProvisionError", "ProvisionErrors"]


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file of the operator; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class ProvisionError(Exception):
    """An error that an operator can act on; `str()` gives it in the one form, without the word "error:" doubled.

    `summary` is one line without a full stop; `context` stands in brackets behind the place; `cause` and `hint`
    may have several lines. `exit_code` is the command's exit code when the error ends it.
    """

    ends_run = False
    """Whether the error, where it costs a host, ends the run for all (`any_errors_fatal`, `run_once`)."""
    told = False
    """Whether a result was told of it already."""

    def __init__(
        self,
        summary: str,
        *,
        where: Mark | None = None,
        context: str = "",
        cause: str = "",
        hint: str = "",
        exit_code: int = 1,
    ) -> None:
        super().__init__(summary)
        self.summary = summary
        self.where = where
        self.context = context
        self.cause = cause
        self.hint = hint
        self.exit_code = exit_code

    def __str__(self) -> str:
        place = f"  --> {self.where}" if self.where else ""
        if self.context:
            place = f"{place or '  -->'}  ({self.context})"
        lines = [f"error: {self.summary}", place]
        lines += [
            f"{word}: {_indented(word, text)}" for word, text in (("cause", self.cause), ("hint", self.hint)) if text
        ]
        return "\n".join(line for line in lines if line)


class ProvisionErrors(ProvisionError):
    """Several errors found together, in the order of their places; shown one after another."""

    def __init__(self, errors: Sequence[ProvisionError]) -> None:
        super().__init__(f"{len(errors)} errors", exit_code=max(error.exit_code for error in errors))
        self.errors = tuple(errors)

    def __str__(self) -> str:
        return "\n\n".join(str(error) for error in self.errors)


def _indented(word: str, text: str) -> str:
    return text.strip().replace("\n", "\n" + " " * (len(word) + 2))
