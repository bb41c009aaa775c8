"""Changes files so that a reader, or a power cut, sees the old or the new one and nothing between.

What is there is replaced or removed only while it is what the caller saw: anything else that came to its place since
then stays, and the caller is told. Must not decide what a file should be.
"""

from __future__ import annotations

import itertools
import os
import stat
from typing import Callable, Optional, Tuple

from . import renames
from .renames import exchange
from .resource import Refusal

__all__ = [
    "ASIDE",
    "NOTHING",
    "Mark",
    "beside",
    "exchange",
    "link",
    "mark",
    "mark_of",
    "mkdir",
    "place",
    "remove",
    "remove_link",
    "sync_file_system",
    "sync_folder",
    "write",
]

Mark = Tuple[int, ...]
"""What tells a file, link or directory from another one, and from itself with other content."""
NOTHING: Mark = ()
"""The mark of a path where nothing is."""
ASIDE = ".provision-"
"""How names begin of what is on its way to its place; a kill may leave one."""
_numbers = itertools.count()


def mark(path: str) -> Mark:
    """The mark of what is at the path itself."""
    try:
        return mark_of(os.lstat(path))
    except (FileNotFoundError, NotADirectoryError):
        return NOTHING


def mark_of(found: os.stat_result) -> Mark:
    """The mark of what was looked at."""
    return found.st_dev, found.st_ino, stat.S_IFMT(found.st_mode), found.st_size, found.st_mtime_ns


def write(path: str, data: bytes, mode: int, uid: int, gid: int, was: Optional[Mark] = None) -> None:
    """Replace or create a file; -1 keeps the owner of the file that is replaced, else that of the process.

    `was`: the mark of what may be replaced, Refusal where something else is there by now. None: any file or link.
    """
    descriptor, aside = beside(path)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
    except BaseException:
        os.unlink(aside)
        raise
    finally:
        os.close(descriptor)
    place(aside, path, mode, uid, gid, was)


def beside(path: str) -> Tuple[int, str]:
    """A new file in the same folder, for what comes in parts: its descriptor and its path. `place` ends it."""
    aside = _aside(path)
    return os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), aside


def place(
    aside: str,
    path: str,
    mode: int,
    uid: int,
    gid: int,
    was: Optional[Mark] = None,
    mtime: Optional[int] = None,
) -> None:
    """Let a file of `beside` replace, or become, `path`; it is gone where that fails. -1 and `was` as `write` has them.

    `mtime`: when it was changed, in seconds. All of this is on the disk before the file has its name.
    """
    try:
        if uid == -1 or gid == -1:
            uid, gid = _owner(path, uid, gid)
        descriptor = os.open(aside, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fchown(descriptor, uid, gid)
            os.fchmod(descriptor, mode)
            if mtime is not None:
                os.utime(descriptor, (mtime, mtime))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        os.unlink(aside)
        raise
    _settle(aside, path, None if was is None else lambda seen: mark(seen) == was, _changed)
    sync_folder(path)


def link(path: str, target: str) -> None:
    """Make `path` a symbolic link to `target`; Refusal when anything but a link is there."""
    try:
        os.symlink(target, path)
    except FileExistsError:
        if not os.path.islink(path):
            raise _no_link(path) from None
        aside = _aside(path)
        os.symlink(target, aside)
        _settle(aside, path, os.path.islink, _no_link)
    sync_folder(path)


def remove(path: str, was: Optional[Mark] = None) -> None:
    """Remove a file or link, durably; `was` as `write` has it."""
    if was is None:
        os.unlink(path)
    else:
        _take(path, lambda seen: mark(seen) == was)
    sync_folder(path)


def remove_link(path: str) -> None:
    """Remove a symbolic link, durably; Refusal when it is none."""
    if not os.path.islink(path):
        raise Refusal("cannot remove the link `%s`" % path, "it is no link", "look at what is there")
    _take(path, os.path.islink)
    sync_folder(path)


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


def sync_file_system(path: str) -> None:
    """Write the file system of `path` to its disk, once for many files."""
    import ctypes

    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
            os.sync()
    finally:
        os.close(descriptor)


def _settle(
    aside: str, path: str, may_go: Optional[Callable[[str], bool]], refusal: Callable[[str, str], Refusal]
) -> None:
    """Let what is aside become `path` if nothing is there, or what may go; nothing of ours stays aside in any case."""
    ours = mark(aside)
    try:
        if may_go is None:
            os.rename(aside, path)
        elif not os.path.lexists(path):
            renames.to_free(aside, path)
        elif not may_go(path):
            raise refusal(path, "")
        elif not exchange(aside, path):
            os.rename(aside, path)  # looked at just before: there is no better way on this file system
        elif may_go(aside):
            os.unlink(aside)
        else:
            raise refusal(path, _put_back(aside, path, ours))
    except FileExistsError:
        raise refusal(path, "") from None
    finally:
        if mark(aside) == ours:
            os.unlink(aside)


def _put_back(aside: str, path: str, ours: Mark) -> str:
    """Undo an exchange; where a third thing came to the path in between, what that is called now."""
    try:
        exchange(aside, path)
    except FileNotFoundError:
        renames.to_free(aside, path)
    return "" if mark(aside) in (ours, NOTHING) else aside


def _take(path: str, may_go: Callable[[str], bool]) -> None:
    """Remove what is at the path if it may go: it gets another name, and is looked at under that."""
    if not may_go(path):
        raise _changed(path)
    aside = _aside(path)
    os.rename(path, aside)
    if may_go(aside):
        os.unlink(aside)
        return
    try:
        renames.to_free(aside, path)
    except FileExistsError:
        raise _changed(path, aside) from None
    raise _changed(path)


def _changed(path: str, kept: str = "") -> Refusal:
    return Refusal(
        "`%s` was changed by somebody else" % path,
        "it is not what was there when this step looked; nothing of it was replaced" + _kept(kept),
        "look at what is there, and run again",
    )


def _no_link(path: str, kept: str = "") -> Refusal:
    what = "a directory" if os.path.isdir(path) else "a file"
    return Refusal(
        "cannot link `%s`" % path,
        "the path is %s; links never replace data" % what + _kept(kept),
        "move it away, or choose another path",
    )


def _kept(path: str) -> str:
    return ", and what came in the same instant is `%s` now" % path if path else ""


def _aside(path: str) -> str:
    return os.path.join(os.path.dirname(path), "%s%d-%d" % (ASIDE, os.getpid(), next(_numbers)))


def _owner(path: str, uid: int, gid: int) -> Tuple[int, int]:
    seen: Optional[os.stat_result] = None
    try:
        seen = os.lstat(path)
    except FileNotFoundError:
        pass
    if seen is None or not stat.S_ISREG(seen.st_mode):
        return uid, gid
    return (seen.st_uid if uid == -1 else uid), (seen.st_gid if gid == -1 else gid)
