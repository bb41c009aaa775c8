"""Content that the control node sends by hash: written to disk as it comes, checked, and removed after the run.

A folder for each user that steps run as, which nobody else can enter.
"""

from __future__ import annotations

import hashlib
import os
import time
from typing import Any, Dict, List, Optional, Tuple

from .protocol import Blob, ProtocolError

__all__ = ["PATIENCE", "Blobs"]

PATIENCE = 120.0
"""Seconds without a byte of content after which whoever waits for it is told that it does not come."""


class Blobs:
    """The store in the folder of state; who asks gets a path of a file of its own."""

    def __init__(self, state: str) -> None:
        self._root = os.path.join(state, "blobs")
        self._arriving: Dict[str, Tuple[int, Any]] = {}
        self._wanted: Dict[str, List[int]] = {}
        self._cleared = False
        self._moved = 0.0

    def path(self, sha256: str, uid: int) -> str:
        """Where the content is, or will be, for that user."""
        return os.path.join(self._root, str(uid), sha256)

    def have(self, sha256: str, uid: int) -> bool:
        """Whether the content is there for that user."""
        return self._cleared and os.path.exists(self.path(sha256, uid))

    def want(self, sha256: str, uid: int) -> bool:
        """Note that a user waits for content; true when the control node is to be asked for it.

        Raises ProtocolError when that is no SHA-256.
        """
        if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
            raise ProtocolError("%r is no SHA-256" % sha256[:80])
        waiting = self._wanted.setdefault(sha256, [])
        waiting.append(uid)
        self._moved = time.monotonic()
        return len(waiting) == 1

    def take(self, chunk: Blob) -> Optional[Dict[int, str]]:
        """Keep a chunk; with the last one, the path for each user that waits. ProtocolError when the hash differs."""
        sha256 = chunk.sha256
        if sha256 not in self._wanted:
            return None
        self._moved = time.monotonic()
        if sha256 not in self._arriving:
            self._arriving[sha256] = self._begin(sha256)
        descriptor, digest = self._arriving[sha256]
        digest.update(chunk.data)
        _write(descriptor, chunk.data)
        if not chunk.last:
            return None
        del self._arriving[sha256]
        os.close(descriptor)
        if digest.hexdigest() != sha256:
            os.unlink(self._aside(sha256))
            raise ProtocolError("content came with SHA-256 %s instead of %s" % (digest.hexdigest(), sha256))
        return self._hand_out(sha256)

    def late(self) -> List[str]:
        """Content that somebody waits for while none has come for long."""
        return list(self._wanted) if time.monotonic() > self._moved + PATIENCE else []

    def give_up(self, sha256: str) -> List[int]:
        """Forget content that cannot be kept, with what came of it; the users that wait for it."""
        descriptor, _ = self._arriving.pop(sha256, (-1, None))
        if descriptor >= 0:
            os.close(descriptor)
        try:
            os.unlink(self._aside(sha256))
        except OSError:
            pass
        return self._wanted.pop(sha256, [])

    def clear(self) -> None:
        """Remove all content."""
        if not self._cleared:
            return
        for descriptor, _ in self._arriving.values():
            os.close(descriptor)
        self._arriving = {}
        self._empty()

    def _begin(self, sha256: str) -> Tuple[int, Any]:
        os.makedirs(self._root, 0o711, exist_ok=True)
        if not self._cleared:
            self._empty()  # of what a killed run left
            self._cleared = True
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(self._aside(sha256), flags, 0o600), hashlib.sha256()

    def _aside(self, sha256: str) -> str:
        return os.path.join(self._root, sha256)

    def _hand_out(self, sha256: str) -> Dict[int, str]:
        users = sorted(set(self._wanted.pop(sha256)))
        for uid in users[1:]:
            self._place(sha256, uid, copy=True)
        self._place(sha256, users[0], copy=False)
        return {uid: self.path(sha256, uid) for uid in users}

    def _place(self, sha256: str, uid: int, copy: bool) -> None:
        path = self.path(sha256, uid)
        folder = os.path.dirname(path)
        if not os.path.isdir(folder):
            os.mkdir(folder, 0o700)
            os.chown(folder, uid, -1)
        if copy:
            import shutil

            shutil.copyfile(self._aside(sha256), path)
        else:
            os.rename(self._aside(sha256), path)
        os.chown(path, uid, -1)
        os.chmod(path, 0o600)

    def _empty(self) -> None:
        for folder, _, names in os.walk(self._root, topdown=False):
            for name in names:
                os.unlink(os.path.join(folder, name))


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
