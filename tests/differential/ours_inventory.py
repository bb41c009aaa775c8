"""What this tool says of an inventory, in the same form as the oracle's answer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from provision.errors import ProvisionError
from provision.inventory import Inventory, load_inventory
from provision.roles import load_playbook
from provision.scopes import HostVariables, Run, Scopes

PLAYBOOK = "- hosts: all\n  gather_facts: false\n  tasks: []\n"


def answer(inventory: Path, playbook_directory: Path, patterns: list[str]) -> dict[str, Any]:
    """Variables, groups and patterns of one inventory."""
    playbook = playbook_directory / "empty-playbook.yaml"
    playbook.write_text(PLAYBOOK)
    play = load_playbook(playbook).plays[0]
    playbook.unlink()
    run = Run(load_inventory([inventory]))
    hosts = {}
    for host in run.inventory.select("all", empty=True):
        scope = Scopes(play, HostVariables(run, host), {}).whole()
        names = {*run.inventory.variables(host, play.directory), *OWN}
        seen = {}
        for name in names:
            try:
                seen[name] = scope.find(name)
            except ProvisionError:
                seen[name] = "<error>"
        hosts[host] = seen
    return {
        "hosts": hosts,
        "groups": dict(run.inventory.members),
        "patterns": _patterns(run, patterns),
        "deep": _deep(run.inventory),
    }


def _deep(inventory: Inventory) -> bool:
    """Whether two groups of one level have children, so that Ansible leaves the order of these to chance."""
    return any(_forks(inventory, name) for name in inventory.groups)


def _forks(inventory: Inventory, name: str) -> bool:
    level, seen = {name}, set()
    while level:
        seen |= level
        if len([one for one in level if inventory.groups[one].children]) > 1:
            return True
        level = {child for one in level for child in inventory.groups[one].children} - seen
    return False


OWN = ("inventory_hostname", "inventory_hostname_short", "group_names")


def _patterns(run: Run, patterns: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pattern in patterns:
        try:
            found[pattern] = run.inventory.select(pattern, empty=True)
        except ProvisionError as error:
            found[pattern] = f"<error> {error.summary}"
    return found


def everything(folder: Path, inventory: str, playbook_directory: str, patterns: list[str]) -> dict[str, Any]:
    """As `answer`, for files below a folder."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        return answer(Path(inventory), Path(playbook_directory), patterns)
    finally:
        os.chdir(before)
