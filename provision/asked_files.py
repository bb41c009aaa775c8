"""Which environment files a command means: those named, those of a playbook, or those of all roles.

What a playbook says of its variants (platform, GPUs) counts wherever their files are named. Contacts no host.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from provision.conda.capability import Use
from provision.errors import ProvisionError, ProvisionErrors
from provision.inventory import Inventory
from provision.preflight import environment_files
from provision.roles import load_playbook
from provision.scopes import Run
from provision.source import Sequence as Listed
from provision.source import load
from provision.variant_files import uses

__all__ = ["environments_of"]

NAMES = "environment*.yml"
PLAYBOOKS = "playbooks"


def environments_of(
    files: Sequence[Path], inventory: Inventory, limit: str | None = None
) -> tuple[list[Path], dict[Path, Use]]:
    """The environment files, and what each is for where a playbook says so; raises ProvisionError where there are none.

    A folder stands for the files below it. Without `files` every roles/*/environment*.yml is meant.
    """
    asked = list(files) or [Path("roles")]
    if not files and not asked[0].is_dir():
        raise ProvisionError("there is no folder `roles` here", hint="name the files that are meant, or a playbook")
    found: dict[Path, None] = {}
    known: dict[Path, Use] = {}
    for file in asked:
        if file.is_dir():
            found |= dict.fromkeys(sorted(file.rglob(NAMES)))
        elif _is_playbook(file):
            own, meant = of_playbook(file, inventory, limit)
            found |= dict.fromkeys(own)
            known |= meant
        else:
            found[file] = None
    if not found:
        named = ", ".join(f"`{file}`" for file in asked)
        raise ProvisionError(f"there is no {NAMES} in {named}", hint="name the files, or a playbook that uses some")
    for path in sorted(Path(PLAYBOOKS).glob("*.y*ml")):
        known = {**_meant(path, inventory), **known}
    by_place = {path.resolve(): use for path, use in known.items()}
    return list(found), {path: by_place[path.resolve()] for path in found if path.resolve() in by_place}


def of_playbook(path: Path, inventory: Inventory, limit: str | None) -> tuple[list[Path], dict[Path, Use]]:
    """The environment files of a playbook over its hosts, and what its variants are for; raises ProvisionError(s)."""
    plays = load_playbook(path).plays
    hosts = {play: tuple(inventory.select(play.hosts, limit, where=play.where, empty=True)) for play in plays}
    run = Run(inventory)
    return environment_files(plays, run, hosts), uses(plays, run, hosts)


def _meant(path: Path, inventory: Inventory) -> dict[Path, Use]:
    """What the variants of a playbook that lies here are for; nothing of one that is not for this inventory."""
    try:
        return of_playbook(path, inventory, None)[1]
    except (ProvisionError, ProvisionErrors):
        return {}


def _is_playbook(path: Path) -> bool:
    return path.is_file() and isinstance(load(path), Listed)
