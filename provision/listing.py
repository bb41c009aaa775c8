"""`provision inventory`: groups, hosts and variables as JSON or as a tree; no host is contacted.

The JSON of `everything` has the shape of Ansible's inventory scripts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from provision.errors import ProvisionError
from provision.inventory import Inventory, load_inventory
from provision.options import Inventories, Where
from provision.render import Renderer
from provision.secret.value import masked
from provision.usual_files import INVENTORY, written_by_others
from provision.variables import HostView, Layer, Scope

__all__ = ["inventory_paths", "show"]


def inventory_paths(where: Inventories) -> list[Path]:
    """The inventories of a command, whose secrets open from now on; raises ProvisionError when there is none."""
    if where.vault_password_file or where.vault_id or where.ask_vault_pass or where.age_identity:
        # imported here: a start without secrets does without
        from provision.secret.keyring import unlock

        unlock(where)
    if not where.inventory and INVENTORY.exists() and (open_to_all := written_by_others(INVENTORY)):
        raise ProvisionError(
            f"`{INVENTORY}` is not read",
            cause=f"every user of this machine can write to `{open_to_all.resolve()}`",
            hint=f"take that right away (chmod o-w), or name it: -i {INVENTORY}",
        )
    paths = where.inventory or [INVENTORY]
    for path in paths:
        if not path.exists():
            raise ProvisionError(
                f"there is no inventory `{path}`",
                cause="-i names it" if where.inventory else "it is what is read where -i names none",
                hint="write inventory.yaml, or name a file or directory with -i",
            )
    return paths


def show(*, everything: bool, host: str | None, where: Where) -> int:
    """Print what was asked for; the tree where nothing was."""
    inventory = load_inventory(inventory_paths(where))
    if host is not None:
        inventory.select(host)
        print(json.dumps(masked(variables(inventory, host)), indent=2, default=str))
    elif everything:
        print(json.dumps(masked(_everything(inventory)), indent=2, default=str))
    else:
        print("\n".join(_tree(inventory, "all", 0)))
    return 0


def variables(inventory: Inventory, host: str) -> dict[str, Any]:
    """One host's variables, merged and rendered; one that needs what only a run knows stays as it was written."""
    scope = Scope(Renderer(), (Layer("inventory", inventory.variables(host)),))
    view = HostView(scope)
    rendered: dict[str, Any] = {}
    for name in sorted(view):
        try:
            rendered[name] = view[name]
        except ProvisionError:
            rendered[name] = scope.raw(name)
    return rendered


def _everything(inventory: Inventory) -> dict[str, Any]:
    hosts = {name: variables(inventory, name) for name in inventory.hosts}
    groups = {
        name: {"hosts": list(group.hosts), "children": list(group.children)}
        for name, group in inventory.groups.items()
        if group.hosts or group.children
    }
    return {"_meta": {"hostvars": hosts}, **groups}


def _tree(inventory: Inventory, name: str, depth: int) -> Iterator[str]:
    group = inventory.groups[name]
    yield "  |" * depth + ("--" if depth else "") + f"@{name}:"
    for child in sorted(group.children):
        yield from _tree(inventory, child, depth + 1)
    for host in group.hosts:
        yield "  |" * (depth + 1) + f"--{host}"
