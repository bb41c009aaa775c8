"""The files that are read without being named: not where others than the operator can write.

Who runs this tool in a folder that others can write, as /tmp, must not get their inventory.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

__all__ = ["INVENTORY", "inventory_there", "written_by_others"]

INVENTORY = Path("inventory.yaml")
"""What is read where `-i` names none."""


def inventory_there(report: Callable[[str], None] = lambda _: None) -> bool:
    """Whether there is an inventory to be read without being named; `report` is told of one that is left out."""
    if not INVENTORY.exists():
        return False
    place = written_by_others(INVENTORY)
    if place:
        report(f"warning: `{INVENTORY}` is not read: every user of this machine can write to `{place.resolve()}`")
    return place is None


def written_by_others(path: Path) -> Path | None:
    """The file, or the folder that it is in, where every user of this machine can write to it."""
    found = (path, path.resolve().parent)
    return next((each for each in found if each.stat().st_mode & stat.S_IWOTH and not each.is_symlink()), None)
