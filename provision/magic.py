"""Ansible's magic variables: what a host is told of the run, the play, the inventory and itself.

Owns their names and values; those inside of roles, and `hostvars`, are made in `scopes.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from provision.scopes import Scopes

__all__ = ["MAGIC", "OMIT", "Magic", "resolved"]

OMIT = "__omit_place_holder__7c1d0b0a6f4e4d53"
"""What `omit` is; an option with this value is left out."""
_VERSION = {"full": "2.19.0", "major": 2, "minor": 19, "revision": 0, "string": "2.19.0"}
"""`ansible_version`: that of the Ansible whose language is meant."""


@lru_cache(maxsize=1024)
def resolved(path: Path) -> str:
    """Links followed; kept, as every task of every host asks for the same few."""
    return str(path.resolve())


def _short(name: str) -> str:
    return name if name.replace(".", "").isdigit() else name.partition(".")[0]


def _source(scopes: Scopes) -> Path | None:
    """The file or folder that a host's inventory was read from."""
    inventory = scopes.host.run.inventory
    host = inventory.hosts.get(scopes.host.host)
    if host is not None and host.mark is not None:
        return Path(host.mark.file)
    return inventory.sources[0] if inventory.sources else None


def _folder(scopes: Scopes) -> str:
    source = _source(scopes)
    return resolved(source if source.is_dir() else source.parent) if source else ""


def _of(hosts: Callable[[], Sequence[str]] | None, scopes: Scopes) -> list[str]:
    return list(hosts() if hosts else scopes.host.play_hosts)


def _role_names(scopes: Scopes) -> list[str]:
    return [role.name for role in scopes.play.roles]


_MAGIC: dict[str, Callable[[Scopes], Any]] = {
    "ansible_check_mode": lambda scopes: scopes.host.run.check,
    "ansible_diff_mode": lambda scopes: scopes.host.run.diff,
    "ansible_forks": lambda scopes: scopes.host.run.forks,
    "ansible_inventory_sources": lambda scopes: [resolved(path) for path in scopes.host.run.inventory.sources],
    "ansible_limit": lambda scopes: scopes.host.run.limit,
    "ansible_play_batch": lambda scopes: _of(scopes.host.others.wave, scopes),
    "ansible_play_hosts": lambda scopes: _of(scopes.host.others.live, scopes),
    "ansible_play_hosts_all": lambda scopes: list(scopes.host.play_hosts),
    "ansible_play_name": lambda scopes: scopes.play.name,
    "ansible_play_role_names": _role_names,
    "ansible_playbook_python": lambda _: sys.executable,
    "ansible_role_names": _role_names,
    "ansible_run_tags": lambda scopes: sorted(scopes.host.run.tags) or ["all"],
    "ansible_search_path": lambda scopes: [resolved(scopes.play.directory)],
    "ansible_skip_tags": lambda scopes: sorted(scopes.host.run.skip_tags),
    "ansible_verbosity": lambda scopes: scopes.host.run.verbosity,
    "ansible_version": lambda _: _VERSION,
    "group_names": lambda scopes: scopes.host.run.inventory.groups_of(scopes.host.host),
    "groups": lambda scopes: scopes.host.run.inventory.members,
    "hostvars": lambda scopes: scopes.others_view(),
    "inventory_dir": _folder,
    "inventory_file": lambda scopes: resolved(source) if (source := _source(scopes)) else "",
    "inventory_hostname": lambda scopes: scopes.host.host,
    "inventory_hostname_short": lambda scopes: _short(scopes.host.host),
    "omit": lambda _: OMIT,
    "play_hosts": lambda scopes: _of(scopes.host.others.wave, scopes),
    "playbook_dir": lambda scopes: resolved(scopes.play.directory),
}
MAGIC = frozenset((*_MAGIC, "ansible_parent_role_names", "ansible_role_name", "role_name", "role_path"))
"""The magic variables; those of roles are there inside of roles only."""


class Magic(Mapping[str, Any]):
    """The magic variables of a host in a play, each made when it is asked for: lists of all hosts are long."""

    def __init__(self, scopes: Scopes) -> None:
        self._scopes = scopes

    def __contains__(self, name: object) -> bool:
        return name in _MAGIC and (name != "ansible_limit" or self._scopes.host.run.limit is not None)

    def __getitem__(self, name: str) -> Any:
        return _MAGIC[name](self._scopes)

    def __iter__(self) -> Iterator[str]:
        return iter(_MAGIC)

    def __len__(self) -> int:
        return len(_MAGIC)
