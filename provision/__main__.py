"""The command `provision`, also as `python -m provision`."""

from __future__ import annotations

import gc

__all__ = ["main"]

GARBAGE_THRESHOLD = 400_000
"""Allocations between looks for cycles. Python's 700 costs a sixth of what a start takes, as hardly anything that is
loaded then is ever garbage."""


def main() -> None:
    """Run the command line; exits with its code."""
    gc.set_threshold(GARBAGE_THRESHOLD)
    from provision.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
