"""Changes files so that a reader, or a power cut, sees the old or the new one and nothing between.

Must not decide what a file should be.
"""

from __future__ import annotations

import itertools
import os
import stat
from typing import Optional, Tuple

from .resource import Refusal

__all__ = ["beside", "exchange", "link", "mkdir", "place", "sync_folder", "write"]

_EXCHANGE = 2
"""RENAME_EXCHANGE of renameat2(2)."""
_AT_FDCWD = -100
_numbers = itertools.count()


def write(path: str, data: bytes, mode: int, uid: int, gid: int) -> None:
    """Replace or create a file; -1 keeps the owner of the file that is replaced, else that of the process."""
    if uid == -1 or gid == -1:
        uid, gid = _owner(path, uid, gid)
    aside = _aside(path)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            os.fchown(descriptor, uid, gid)
            os.fchmod(descriptor, mode)
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(aside, path)
    except BaseException:
        os.unlink(aside)
        raise
    sync_folder(path)


def beside(path: str) -> Tuple[int, str]:
    """A new file in the same folder, for what comes in parts: its descriptor and its path. `place` ends it."""
    aside = _aside(path)
    return os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), aside


def place(aside: str, path: str, mode: int, uid: int, gid: int) -> None:
    """Let a file of `beside` replace, or become, `path`; -1 keeps the owner as `write` does."""
    if uid == -1 or gid == -1:
        uid, gid = _owner(path, uid, gid)
    descriptor = os.open(aside, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchown(descriptor, uid, gid)
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(aside, path)
    sync_folder(path)


def link(path: str, target: str) -> None:
    """Make `path` a symbolic link to `target`; Refusal when anything but a link is there."""
    try:
        os.symlink(target, path)
    except FileExistsError:
        _replace_link(path, target)
    sync_folder(path)


def _replace_link(path: str, target: str) -> None:
    """Exchange, look at what came out, and put back what is no link: so nothing can get between look and change."""
    _require_link(path, path)
    aside = _aside(path)
    os.symlink(target, aside)
    try:
        if not exchange(aside, path):
            os.rename(aside, path)  # this file system cannot exchange
            return
        try:
            _require_link(aside, path)
        except Refusal:
            exchange(aside, path)
            raise
    finally:
        if os.path.islink(aside):
            os.unlink(aside)


def _require_link(seen: str, path: str) -> None:
    if not stat.S_ISLNK(os.lstat(seen).st_mode):
        what = "a directory" if os.path.isdir(seen) else "a file"
        raise Refusal(
            "cannot link `%s`" % path,
            "the path is %s; links never replace data" % what,
            "move it away, or choose another path",
        )


def exchange(one: str, other: str) -> bool:
    """Exchange two paths in one instant; False where kernel or file system cannot."""
    import ctypes
    import errno

    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTTY, errno.EOPNOTSUPP):
        return False
    raise OSError(number, os.strerror(number), one, None, other)


def mkdir(path: str, mode: int, uid: int, gid: int, parents: bool) -> None:
    """Make a folder, and with `parents` those above it (0755); one that is there stays as it is."""
    above = os.path.dirname(path.rstrip("/"))
    if parents and above and not os.path.isdir(above):
        mkdir(above, 0o755, -1, -1, True)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if os.path.isdir(path):
            return
        raise
    if uid != -1 or gid != -1:
        os.chown(path, uid, gid)
    os.chmod(path, mode)
    sync_folder(path)


def sync_folder(path: str) -> None:
    """Make durable that `path` is, or is no longer, in its folder."""
    descriptor = os.open(os.path.dirname(path.rstrip("/")) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _aside(path: str) -> str:
    return os.path.join(os.path.dirname(path), ".provision-%d-%d" % (os.getpid(), next(_numbers)))


def _owner(path: str, uid: int, gid: int) -> Tuple[int, int]:
    seen: Optional[os.stat_result] = None
    try:
        seen = os.lstat(path)
    except FileNotFoundError:
        pass
    if seen is None or not stat.S_ISREG(seen.st_mode):
        return uid, gid
    return (seen.st_uid if uid == -1 else uid), (seen.st_gid if gid == -1 else gid)
