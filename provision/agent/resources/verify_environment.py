"""Looks whether an environment still is what its lock says. Changes nothing; what it finds is in `findings`."""

from __future__ import annotations

from dataclasses import field
from typing import List, Optional

from ..record import record
from ..system import System
from ..verify.looking import State, decide, fields, looked

__all__ = ["Spec", "State", "decide", "fields", "observe"]


@record(frozen=True)
class Spec:
    """An environment by its lock, and who uses it.

        verify_environment:
          name: img2video-torch20-cu118
          lock: 0f343b0931126a20f133d67c2b018a3b5d1a3a1ae8b0c4d0c3c1a3b9d1f0e2a4
          listing_blob: 9b74c9897bac770ffc029102a200c5de5d1a3a1ae8b0c4d0c3c1a3b9d1f0e2a4
          users: [video]
          deep: true

    `lock` and `listing_blob` are those of `conda_env`; the listing is asked for only where the seal cannot answer.
    `users`: whose `~/.local` is looked at: those that its apps run as, and people who work in it. `base`: also look
    whether something was added to the base environment of `root` since it was frozen (once for each root is enough).
    `deep`: compare every file's content with its package's checksum. Without it folders tell what was added, removed,
    replaced or renamed; what was overwritten in place they do not tell.

    Checks (subject: the environment): environments.lock, environments.files, environments.packages (conda's and pip's
    against the lock), environments.unowned; environments.base (subject: root); environments.user_packages (subject:
    user).
    """

    name: str
    lock: str
    root: str = "/opt/conda"
    listing_blob: Optional[str] = None
    users: List[str] = field(default_factory=list)
    base: bool = True
    deep: bool = False

    def __post_init__(self) -> None:
        if not self.name or self.name.startswith(".") or "/" in self.name:
            raise ValueError("name: `%s` is no environment's name" % self.name)
        if not self.root.startswith("/"):
            raise ValueError("root: `%s` is not an absolute path" % self.root)
        if len(self.lock) != 64 or set(self.lock) - set("0123456789abcdef"):
            raise ValueError("lock: `%s` is not a SHA-256 in hex" % self.lock)


def observe(spec: Spec, system: System) -> State:
    """Look."""
    from ..verify import environments

    return looked(system, "environments", lambda: environments.look(spec, system))
