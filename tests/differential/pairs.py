"""Three hosts of a lab as a pair of fleets: two names on one host for the original, two hosts for this tool.

Owns inventories for both, a clean start for each case, and what trees of files came to be. Two names on one host
serve the original, whose work is all in a folder of each name; this tool locks a host, so that it has two.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provision.lab.fleet import Lab

NAMES = ("n1", "n2")
PLACE = "opt/differential"


@dataclass(frozen=True)
class Case:
    """A playbook as files, and how it is run. `watched`: further paths that are compared on the hosts."""

    files: Mapping[str, str]
    playbook: str = "play.yaml"
    hosts: tuple[str, ...] = NAMES
    variables: Mapping[str, Any] = field(default_factory=dict)
    groups: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    watched: tuple[str, ...] = ()
    unwatched: tuple[str, ...] = ()
    """Folders below a host's own whose content is left out: what other programs put there."""
    before: str = ""
    """A shell script that takes away, on each host, what an earlier run of the case has left."""


class Pair:
    """The hosts of both tools."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.theirs, *self.ours = lab.hosts[:3]

    def write(self, case: Case, folder: Path) -> dict[str, dict[str, Any]]:
        """Write a case below an empty folder; gives what each tool is asked to run."""
        for name, text in case.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        addresses = {"theirs": [self.theirs.address] * 2, "ours": [host.address for host in self.ours]}
        asked = {}
        for who, where in addresses.items():
            beside = folder / f"inventory-{who}"
            beside.mkdir()
            (beside / "hosts.yaml").write_text(json.dumps(self._inventory(case, where)))
            (beside / "known_hosts").write_text(self.lab.state.known_hosts.read_text())
            asked[who] = {
                "playbook": str(folder / case.playbook),
                "inventory": str(beside / "hosts.yaml"),
                **case.options,
            }
        return asked

    def _inventory(self, case: Case, addresses: list[str]) -> dict[str, Any]:
        variables = {
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(self.lab.state.key),
            "ansible_python_interpreter": "/usr/bin/python3",
            "base": f"/{PLACE}/{{{{ inventory_hostname }}}}",
            **case.variables,
        }
        named = dict(zip(NAMES, addresses, strict=True))
        hosts = {name: {"ansible_host": named[name]} for name in case.hosts}
        return {"all": {"vars": variables, "hosts": hosts, "children": dict(case.groups)}}

    def clean(self, case: Case) -> None:
        """Take away what was left before: folders of names, and what this tool keeps of runs on hosts."""
        for host in (self.theirs, *self.ours):
            if case.before:
                host.run(["sh", "-c", case.before], check=False)
            shutil.rmtree(host.root / PLACE, ignore_errors=True)
            shutil.rmtree(host.root / "var/lib/provision/journal", ignore_errors=True)
        for name in case.hosts:
            for host in (self.theirs, self.ours[NAMES.index(name)]):
                (host.root / PLACE / name).mkdir(parents=True)

    def trees(self, case: Case, who: str) -> dict[str, dict[str, list[Any]]]:
        """By name, what lies in its folder on the host; then what lies at the watched paths of the first."""
        hosts = dict(zip(NAMES, [self.theirs] * 2 if who == "theirs" else self.ours, strict=True))
        found = {name: tree(hosts[name].root / PLACE / name, case.unwatched) for name in case.hosts}
        for path in case.watched:
            found[path] = tree(hosts[case.hosts[0]].root / path.lstrip("/"))
        return found


def tree(root: Path, without: tuple[str, ...] = ()) -> dict[str, list[Any]]:
    """Every path at and below a root: its kind and mode, owner and group by number, content or target."""
    if not root.is_dir() or root.is_symlink():
        return {".": _entry(root)} if os.path.lexists(root) else {}
    found = {".": _entry(root)}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            name = str(path.relative_to(root))
            if not name.startswith(tuple(f"{one}/" for one in without)):
                found[name] = _entry(path)
    return found


def _entry(path: Path) -> list[Any]:
    status = path.lstat()
    mode = stat.filemode(status.st_mode)
    if path.is_symlink():
        return [mode, status.st_uid, status.st_gid, str(path.readlink())]
    if not path.is_file():
        return [mode, status.st_uid, status.st_gid, ""]
    content = path.read_bytes()
    shown = content.decode(errors="backslashreplace")
    return [mode, status.st_uid, status.st_gid, shown if len(shown) < 4000 else hashlib.sha256(content).hexdigest()]
