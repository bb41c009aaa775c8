"""Kills a process with its group at a chosen moment of what it does to files: its own calls, or those of its children.

Moments of its own are exact: before the n-th event of Python that changes a file, in the process and what it forks.
Moments of programs that it runs are those of strace: once the n-th call that changes a file is told.
"""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

__all__ = ["own_moments", "told_moments"]

_CHANGES = (
    *("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate"),
    *("os.chmod", "os.chown", "os.utime", "shutil.rmtree", "os.fork", "os.posix_spawn"),
)
_TOLD = (
    "openat,creat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,rmdir,mkdir,mkdirat,"
    "fchmod,fchmodat,chmod,fsync,syncfs,ftruncate,copy_file_range,utimensat"
)
_CALLED = ("renameat2", "syncfs")
"""Functions of the C library that the agent calls by themselves."""


def own_moments(action: Callable[[], Any], below: str, number: int = 0) -> int:
    """Do `action` in a child, killed with its group before its n-th change of a file; how many changes it came to.

    Files that are opened to be written count below the folder only. 0: it is not killed.
    """
    count = mmap.mmap(-1, 8)

    def noticed(event: str, arguments: tuple[Any, ...]) -> None:
        if _changes(event, arguments, below):
            reached = int.from_bytes(count[:], "little") + 1
            count[:] = reached.to_bytes(8, "little")
            if reached == number:
                os.killpg(0, signal.SIGKILL)

    def hooked() -> None:
        sys.addaudithook(noticed)
        action()

    _ended(_child(hooked), expected=bool(number))
    return int.from_bytes(count[:], "little")


def told_moments(action: Callable[[], Any], number: int = 0) -> int:
    """Do `action` in a child and what that runs, killed with its group at the n-th call that strace tells of."""
    reads, writes = os.pipe()
    ready = os.pipe()

    def held() -> None:
        os.close(ready[1])
        os.read(ready[0], 1)
        action()

    child = _child(held)
    argv = ["strace", "-f", "-s", "0", "-e", f"trace={_TOLD}", "-e", "signal=none", "-o", f"/proc/self/fd/{writes}"]
    with subprocess.Popen([*argv, "-p", str(child)], pass_fds=[writes], stderr=subprocess.PIPE) as strace:
        os.close(writes)
        assert strace.stderr is not None and b"attached" in strace.stderr.readline()
        os.close(ready[0])
        os.close(ready[1])
        told = _follow(reads, child, number)
        strace.kill()  # what it followed goes on by itself; asked to end, it may wait for them for ever
        strace.stderr.read()
    _ended(child, expected=bool(number))
    return told


def _follow(reads: int, child: int, number: int) -> int:
    """Read what strace writes, until the child is to be killed or is gone."""
    told = 0
    with os.fdopen(reads, "rb") as lines:
        for line in lines:
            told += not line.rstrip().endswith((b"<unfinished ...>", b"+++")) and b"O_RDONLY" not in line
            if told >= number > 0:
                with suppress(ProcessLookupError):
                    os.killpg(child, signal.SIGKILL)
                break
            if line.startswith(b"%d +++" % child):
                break
    return told


def _changes(event: str, arguments: tuple[Any, ...], below: str) -> bool:
    if event == "open":
        path, _, flags = arguments
        return bool(flags & (os.O_WRONLY | os.O_RDWR)) and isinstance(path, str) and path.startswith(below)
    if event == "ctypes.dlsym":
        return arguments[1] in _CALLED
    return event in _CHANGES


def _child(action: Callable[[], Any]) -> int:
    """A child with a group of its own that does it; its pid."""
    child = os.fork()
    if child:
        with suppress(PermissionError):  # it did so itself and runs something else by now
            os.setpgid(child, child)
        return child
    code = 1
    try:
        os.setpgid(0, 0)
        action()
        code = 0
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error} {getattr(error, 'cause', '')}\n".encode())
    finally:
        os._exit(code)


def _ended(child: int, *, expected: bool) -> None:
    """It came to its end by itself, or by the kill where that was to come."""
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert status == 0 or (expected and killed), f"status {status}"
