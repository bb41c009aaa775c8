"""Where the history of an inventory is, and opening it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from provision.history.store import Store
from provision.inventory import Inventory
from provision.listing import inventory_paths
from provision.options import Inventories

__all__ = ["beside", "stored"]


def beside(source: Path) -> Path:
    """The history's file for an inventory that is read from `source`."""
    return (source if source.is_dir() else source.parent) / ".provision" / "history.db"


def of(inventory: Inventory) -> Path:
    """The history's file of an inventory."""
    return beside(inventory.sources[0] if inventory.sources else Path())


@contextlib.contextmanager
def stored(where: Inventories, *, writable: bool = False) -> Iterator[Store]:
    """The history that the options mean, open; raises ProvisionError where there is none."""
    store = Store(beside(inventory_paths(where)[0]), writable=writable)
    try:
        yield store
    finally:
        store.close()
