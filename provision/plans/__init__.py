"""Saved plans: what `plan -o FILE` writes, and how `apply FILE` keeps to it.

Here is only how a plan is told from a playbook, as every `apply` asks that.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["WORD", "is_plan"]

WORD = "provision-plan"
"""How a plan's file begins."""


def is_plan(path: Path) -> bool:
    """Whether a file begins as a plan does."""
    try:
        with path.open("rb") as file:
            return file.read(len(WORD) + 1) == f"{WORD} ".encode()
    except OSError:
        return False
