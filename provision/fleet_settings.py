"""What an inventory says of environments for the whole fleet: mirrors, the system floor, where locks stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from provision import network
from provision.conda.mirrors import Settings
from provision.inventory import Inventory
from provision.render import Renderer, UndefinedVariable
from provision.variables import HostView, Layer, Scope

__all__ = ["settings"]

_LOGINS = ("channel_credentials", "index_credentials")


def settings(inventory: Inventory, hosts: Sequence[str], extra: Mapping[str, Any] | None = None) -> Settings:
    """The environment settings of a fleet: the variables of its first host, which all of them share by `all`.

    `extra` are `-e` variables. What the other hosts have of their own to reach the world is looked at as well; raises
    ProvisionError where it is not as it must be.
    """
    renderer = Renderer()
    _check_others(inventory, hosts[1:], extra or {}, renderer)
    own = inventory.variables(hosts[0]) if hosts else {}
    return Settings.read(HostView(_scope(renderer, own, extra or {})), inventory.folder)


def _scope(renderer: Renderer, own: Mapping[str, Any], extra: Mapping[str, Any]) -> Scope:
    return Scope(renderer, (Layer("--extra-vars", extra), Layer("inventory", own)))


def _check_others(inventory: Inventory, hosts: Sequence[str], extra: Mapping[str, Any], renderer: Renderer) -> None:
    """Each way of writing these variables once, as most hosts share theirs."""
    seen: set[tuple[int, ...]] = set()
    names = (*network.NAMES, *_LOGINS)
    for host in hosts:
        own = inventory.variables(host)
        kind = tuple(id(own[name]) for name in names if name in own)
        if not kind or kind in seen:
            continue
        seen.add(kind)
        try:
            network.look(HostView(_scope(renderer, own, extra)), inventory.folder)
        except UndefinedVariable:
            continue  # facts, or what a play sets: the run says
