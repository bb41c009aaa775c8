"""What an inventory says of environments for the whole fleet: mirrors, the system floor, where locks stand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from provision.conda.mirrors import Settings
from provision.inventory import Inventory
from provision.render import Renderer
from provision.variables import HostView, Layer, Scope

__all__ = ["settings"]


def settings(inventory: Inventory, hosts: Sequence[str]) -> Settings:
    """The environment settings of a fleet: the variables of its first host, which all of them share by `all`."""
    scope = Scope(Renderer(), (Layer("inventory", inventory.variables(hosts[0]) if hosts else {}),))
    source = inventory.sources[0] if inventory.sources else Path()
    return Settings.read(HostView(scope), source if source.is_dir() else source.parent)
