"""What is mounted where, from /proc alone; must not touch a mount, so that one which hangs cannot hang us."""

from __future__ import annotations

from typing import List, NamedTuple, Optional

__all__ = ["Mount", "is_kind", "mount_at", "mounts", "on_network", "parse", "under"]

_NETWORK = ("nfs", "cifs", "smb", "fuse", "ceph", "lustre", "gpfs", "glusterfs", "beegfs", "9p", "afs", "autofs")
_QUICK = ("fuse.lxcfs", "fusectl")
"""File systems of the host itself that only sound as if they were far away."""


class Mount(NamedTuple):
    """One mount: `source` as the kernel tells it, mount point, kind of file system, options."""

    source: str
    point: str
    kind: str
    options: List[str]

    @property
    def network(self) -> bool:
        """Whether somebody else answers for it: a server, or a process."""
        return self.kind.startswith(_NETWORK) and self.kind not in _QUICK

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written through it."""
        return "ro" in self.options


def mounts(path: str = "/proc/self/mounts") -> List[Mount]:
    """All mounts, in the order in which they were made."""
    with open(path, encoding="utf-8", errors="surrogateescape") as stream:
        return parse(stream.read())


def parse(text: str) -> List[Mount]:
    """The mounts in a text like /proc/self/mounts."""
    rows = (line.split(" ") for line in text.splitlines())
    return [Mount(_plain(row[0]), _plain(row[1]), row[2], row[3].split(",")) for row in rows if len(row) > 3]


def under(path: str, known: List[Mount]) -> Optional[Mount]:
    """The mount that a path without links is in: the deepest, of several at one point the last."""
    found = None
    for mount in known:
        if _holds(mount, path) and (found is None or len(mount.point) >= len(found.point)):
            found = mount
    return found


def mount_at(point: str) -> Optional[Mount]:
    """What is mounted at exactly this path, of several the one that is seen; None for no mount point."""
    return next((mount for mount in reversed(mounts()) if mount.point == point), None)


def on_network(path: str, known: Optional[List[Mount]] = None) -> bool:
    """Whether a look at the path may hang: somebody else answers for a mount on the way to it."""
    table = mounts() if known is None else known
    return any(mount.network and _holds(mount, path) for mount in table)


def is_kind(kind: str, wanted: str) -> bool:
    """Whether a kind of file system is the wanted one: `nfs` is also nfs4, `fuse` also fuse.sshfs."""
    return not wanted or kind == wanted or (wanted == "nfs" and kind == "nfs4") or kind.startswith(wanted + ".")


def _holds(mount: Mount, path: str) -> bool:
    return path == mount.point or path.startswith(mount.point.rstrip("/") + "/")


def _plain(word: str) -> str:
    """A field of /proc/self/mounts with its escapes (\\\\040 is a space) resolved."""
    if "\\" not in word:
        return word
    parts = word.split("\\")
    return parts[0] + "".join(
        chr(int(part[:3], 8)) + part[3:] if part[:3].isdigit() else "\\" + part for part in parts[1:]
    )
