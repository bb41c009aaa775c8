"""Which hosts are to join, by what names, and what the inventory's text becomes: pure over an inventory and its texts.

Must not connect, ask or write. What a host inherits from its group is not written again.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provision.errors import ProvisionError
from provision.inventory import Inventory, inventory_files, load_inventory
from provision.onboarding.edits import Edit, edit_of
from provision.onboarding.inventory_edit import add_host, has_group
from provision.source import nearest

__all__ = ["Asked", "Newcomer", "default_group", "known_hosts_file", "newcomers", "parse_host", "with_hosts"]

_HOST = re.compile(
    r"(?:(?P<user>[^@\s]+)@)?(?:\[(?P<six>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^:@\[\]\s]+))(?::(?P<port>\d+))?"
)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the operator wrote: `[user@]host[:port]`."""

    host: str
    user: str | None = None
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A host to join: its name, where it is, and what is said of logging in. `there`: the inventory has it already."""

    name: str
    asked: Asked
    group: str
    there: bool = False


def parse_host(text: str) -> Asked:
    """`[user@]host[:port]` as data; an IPv6 address stands in brackets. Raises ProvisionError."""
    found = _HOST.fullmatch(text)
    port = int(found["port"]) if found and found["port"] else None
    host = (found["six"] or found["host"]) if found else ""
    if not found or host.startswith("-") or not host.isprintable() or (port is not None and not 0 < port < 65536):
        raise ProvisionError(
            f"`{text}` is no host",
            hint="write it as `[user@]host[:port]`; an IPv6 address in brackets: `root@[2001:db8::9]:22`",
        )
    return Asked(host, found["user"], port)


def default_group(patterns: Iterable[str], inventory: Inventory) -> str:
    """The group that a playbook's plays are for; raises ProvisionError where it is not one."""
    named = list(dict.fromkeys(pattern for pattern in patterns if pattern != "localhost"))
    if len(named) == 1 and _NAME.fullmatch(named[0]):
        return named[0]
    groups = sorted(group for group in inventory.groups if group not in ("all", "ungrouped"))
    raise ProvisionError(
        "it is not clear which group the host joins",
        cause="the playbook's plays are for " + ", ".join(f"`{pattern}`" for pattern in named),
        hint=f"say --group: {', '.join(groups)}" if groups else "say --group",
    )


def newcomers(
    hosts: Sequence[str], inventory: Inventory, *, name: str | None, group: str | None, default: Callable[[], str]
) -> list[Newcomer]:
    """Names for all hosts; one that the inventory has by name or address is that host.

    `default` says which group a new one joins where none is named. Raises ProvisionError.
    """
    if name is not None and len(hosts) != 1:
        raise ProvisionError("`--name` is for one host", cause=f"{len(hosts)} hosts are named")
    found = [_newcomer(parse_host(text), inventory, name, group, default) for text in dict.fromkeys(hosts)]
    seen: dict[str, Newcomer] = {}
    for one in found:
        if seen.setdefault(one.name, one) is not one:
            raise ProvisionError(
                f"two hosts would be called `{one.name}`",
                cause=f"`{seen[one.name].asked.host}` and `{one.asked.host}`",
                hint="onboard them one by one, with --name",
            )
    return found


def with_hosts(
    inventory: Inventory, joining: Iterable[Newcomer], *, user: str | None, key: str | None
) -> tuple[list[Edit], Inventory]:
    """The inventory's files with these hosts in them, as changes and as it would be read; raises ProvisionError."""
    files = [file for source in inventory.sources for file in inventory_files(source)]
    edits = {file: edit_of(file) for file in files if file.suffix != ".json"}
    after = inventory
    for one in joining:
        if one.there and one.group in (*after.hosts[one.name].groups, ""):
            continue
        bare = _edited(edits, one, {})
        after = _read(inventory, bare)
        variables = {} if one.there else _variables(one, after.variables(one.name), user, key)
        edits = _edited(edits, one, variables) if variables else bare
        after = _read(inventory, edits)
    return [edit for edit in edits.values() if edit.before != edit.after], after


def known_hosts_file(inventory: Inventory) -> Path:
    """The known_hosts beside an inventory."""
    return inventory.directories[0] / "known_hosts"


def _newcomer(
    asked: Asked, inventory: Inventory, name: str | None, group: str | None, default: Callable[[], str]
) -> Newcomer:
    there = asked.host if asked.host in inventory.hosts else _at(asked, inventory)
    if there is not None:
        if name not in (None, there):
            raise ProvisionError(
                f"`{asked.host}` is in the inventory as `{there}`",
                where=inventory.hosts[there].mark,
                hint="leave --name away, or give the entry another name by hand",
            )
        _refuse_other_place(asked, there, inventory)
        return Newcomer(there, asked, group or "", there=True)
    chosen = name or _short(asked.host)
    if not _NAME.fullmatch(chosen):
        raise ProvisionError(
            f"`{chosen}` is no name for a host",
            cause="a name has letters, digits, `-`, `_` and `.`",
            hint="" if name else "say --name",
        )
    if chosen in inventory.hosts:
        raise ProvisionError(
            f"`{chosen}` is in the inventory with another address",
            where=inventory.hosts[chosen].mark,
            cause=f"there it is `{_address(inventory, chosen)[0]}`, not `{asked.host}`",
            hint="choose another name with --name, or mend the entry",
        )
    if chosen in inventory.groups:
        raise ProvisionError(f"`{chosen}` is a group of the inventory", hint="choose another name with --name")
    _refuse_unknown_group(group, inventory)
    return Newcomer(chosen, asked, group or default())


def _refuse_unknown_group(group: str | None, inventory: Inventory) -> None:
    """A new group is made on purpose only: a slip in a known one's name is more likely where it is near."""
    if group is None or group in inventory.groups:
        return
    if not _NAME.fullmatch(group) or (near := nearest(group, set(inventory.groups))):
        hint = near if _NAME.fullmatch(group) else "a name has letters, digits, `-`, `_` and `.`"
        raise ProvisionError(f"the inventory has no group `{group}`", hint=hint)


def _refuse_other_place(asked: Asked, name: str, inventory: Inventory) -> None:
    variables = inventory.variables(name)
    said = {"port": (asked.port, _address(inventory, name)[1]), "user": (asked.user, variables.get("ansible_user"))}
    for word, (wanted, has) in said.items():
        if wanted is not None and str(wanted) != str(has):
            raise ProvisionError(
                f"`{name}` is in the inventory with another {word}",
                where=inventory.hosts[name].mark,
                cause=f"`ansible_{word}` is {has or 'not set'}, not {wanted}",
                hint="mend the entry, then run again",
            )


def _at(asked: Asked, inventory: Inventory) -> str | None:
    """The host of the inventory that has this address."""
    wanted = (asked.host.lower(), str(asked.port or 22))
    return next((name for name in inventory.hosts if _address(inventory, name) == wanted), None)


def _address(inventory: Inventory, name: str) -> tuple[str, str]:
    variables = inventory.variables(name)
    return str(variables.get("ansible_host", name)).lower(), str(variables.get("ansible_port", 22))


def _short(host: str) -> str:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host.partition(".")[0]
    return host


def _variables(one: Newcomer, inherited: Mapping[str, Any], user: str | None, key: str | None) -> dict[str, Any]:
    """What the host's own entry says: only what it does not have by its groups."""
    wanted = {
        "ansible_host": one.asked.host if one.asked.host != one.name else None,
        "ansible_port": one.asked.port if one.asked.port not in (None, 22) or "ansible_port" in inherited else None,
        "ansible_user": one.asked.user or user,
        "ansible_ssh_private_key_file": key,
    }
    return {name: value for name, value in wanted.items() if value is not None and inherited.get(name) != value}


def _edited(edits: Mapping[Path, Edit], one: Newcomer, variables: Mapping[str, Any]) -> dict[Path, Edit]:
    """The host in the file that has its group, else in the first."""
    if not edits:
        raise ProvisionError("the inventory has no YAML file that a host could be written to")
    path = next((path for path, edit in edits.items() if has_group(edit.after, one.group, file=str(path))), None)
    path = path or next(iter(edits))
    edit = edits[path]
    after = add_host(edit.after, one.name, group=one.group, variables=variables, file=str(path))
    return {**edits, path: Edit(path, edit.before, after)}


def _read(inventory: Inventory, edits: Mapping[Path, Edit]) -> Inventory:
    return load_inventory(inventory.sources, {path: edit.after for path, edit in edits.items()})
