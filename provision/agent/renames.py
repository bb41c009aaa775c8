"""The two renames that lose nothing: one that exchanges two paths, and one that replaces nothing.

Python's own `os.rename` can do neither. Must not decide what goes where (files.py does).
"""

from __future__ import annotations

import errno
import os
import stat

__all__ = ["exchange", "to_free"]

_AT_FDCWD = -100
_NOREPLACE, _EXCHANGE = 1, 2
"""Flags of renameat2(2)."""
_UNABLE = (errno.ENOSYS, errno.EINVAL, errno.ENOTTY, errno.EOPNOTSUPP)
"""What it says where kernel or file system do not know a flag."""


def exchange(one: str, other: str) -> bool:
    """Exchange two paths in one instant; False where kernel or file system cannot."""
    return _renameat2(one, other, _EXCHANGE)


def to_free(source: str, path: str) -> None:
    """Rename to a path where nothing is; FileExistsError where anything is, which stays as it is.

    Where kernel or file system cannot do that in one step, a file or link is there under both names for an instant.
    """
    if _renameat2(source, path, _NOREPLACE):
        return
    if stat.S_ISDIR(os.lstat(source).st_mode):
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), source, None, path)
        os.rename(source, path)  # a directory that came meanwhile is replaced only where it is empty
        return
    try:
        os.link(source, path, follow_symlinks=False)
    except (PermissionError, NotImplementedError):  # a file system without hard links
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), source, None, path) from None
        os.rename(source, path)
        return
    os.unlink(source)


def _renameat2(one: str, other: str, flag: int) -> bool:
    try:
        import ctypes

        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (ImportError, AttributeError):
        return False  # a Python without ctypes, a C library before 2.28
    if call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), flag) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNABLE:
        return False
    raise OSError(number, os.strerror(number), one, None, other)
