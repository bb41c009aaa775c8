"""The files that are read without being named: not where others than the operator can write.

Who runs this tool in a folder that others can write, as /tmp, must not get their inventory.
"""

from __future__ import annotations

import stat
from pathlib import Path

__all__ = ["INVENTORY", "inventory_there", "written_by_others"]

INVENTORY = Path("inventory.yaml")
"""What is read where `-i` names none."""


def inventory_there() -> bool:
    """Whether there is an inventory to be read without being named."""
    return INVENTORY.exists() and written_by_others(INVENTORY) is None


def written_by_others(path: Path) -> Path | None:
    """The file, or the folder that it is in, where every user of this machine can write to it."""
    found = (path, path.resolve().parent)
    return next((each for each in found if each.stat().st_mode & stat.S_IWOTH and not each.is_symlink()), None)
