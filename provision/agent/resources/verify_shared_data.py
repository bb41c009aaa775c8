"""Looks at shared data: links, their targets, the file system, who may write. Changes nothing."""

from __future__ import annotations

from dataclasses import field
from typing import Dict, List, Optional

from ..record import record
from ..system import System
from ..verify.looking import State, decide, fields, looked

__all__ = ["Spec", "State", "decide", "fields", "observe"]


@record(frozen=True)
class Spec:
    """What the shared data are, and who must be able to write where.

    - verify_shared_data:
        path: /data
        mounted: true
        filesystem: nfs
        source: filer:/export/data
        directories: [shared-assets]
        links: {/root/Image-to-Video/assets: /data/shared-assets}
        writable: {/data/shared-assets: [video]}
        free: 10737418240
        deadline: 5

    `mounted`: `path` must be a mount point, not a directory of the root's file system. `filesystem`: its kind (`nfs` is
    also nfs4) and `source`: what is mounted there; None: whatever it is. `directories` must be there (relative ones
    are below `path`). `links`: link to target. `writable`: directory to the users who must be able to write there,
    asked by access(2), without writing. `free`: least free bytes. `deadline`: seconds for each answer of a file system.

    Checks: shared_data.mount and shared_data.free (subject: path), shared_data.directory, shared_data.link,
    shared_data.writable (subject: the path).
    """

    path: str = "/data"
    mounted: bool = False
    filesystem: Optional[str] = None
    source: Optional[str] = None
    directories: List[str] = field(default_factory=list)
    links: Dict[str, str] = field(default_factory=dict)
    writable: Dict[str, List[str]] = field(default_factory=dict)
    free: int = 1 << 30
    deadline: float = 5.0

    def __post_init__(self) -> None:
        for path in [self.path, *self.links, *self.writable]:
            if not path.startswith("/"):
                raise ValueError("`%s` is not an absolute path" % path)
        if self.deadline <= 0:
            raise ValueError("deadline is seconds, above 0")


def observe(spec: Spec, system: System) -> State:
    """Look."""
    from ..verify import shared_data

    return looked(system, "shared_data", lambda: shared_data.look(spec, system))
