"""Changes to files of an inventory as data: what a file was and what it becomes, shown as a diff, written whole.

Must not know what is changed, nor ask.
"""

from __future__ import annotations

import difflib
import sys
from dataclasses import dataclass
from pathlib import Path

from provision.inventory import Inventory
from provision.whole_file import write_whole

__all__ = ["Edit", "addresses", "edit_of", "say"]


@dataclass(frozen=True, slots=True)
class Edit:
    """A file of the inventory before and after."""

    path: Path
    before: str
    after: str

    def diff(self) -> str:
        """The difference as people read it."""
        before, after = (text.splitlines(keepends=True) for text in (self.before, self.after))
        return "".join(difflib.unified_diff(before, after, str(self.path), str(self.path)))

    def write(self) -> None:
        """Write the file whole or not at all, and say so."""
        write_whole(self.path, self.after)
        say(f"wrote {self.path}")


def edit_of(path: Path) -> Edit:
    """A file that nothing changed yet; one that is not there is empty."""
    text = path.read_text(encoding="utf-8", errors="surrogateescape") if path.exists() else ""
    return Edit(path, text, text)


def addresses(inventory: Inventory, name: str) -> list[str]:
    """The names that known_hosts may have for a host: its own and its address, with its port where it has one."""
    variables = inventory.variables(name)
    hosts = {name, str(variables.get("ansible_host", name))}
    port = str(variables.get("ansible_port", 22))
    return sorted(hosts if port == "22" else {f"[{host}]:{port}" for host in hosts})


def say(text: str) -> None:
    """Tell the operator, on standard error."""
    if text.strip():
        print(text.rstrip("\n"), file=sys.stderr, flush=True)
