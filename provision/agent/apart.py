"""Runs a function in a process of its own, which tells what it does in messages and dies with its parent.

For code that crashes at interpreter exit or leaves threads behind: the child ends by `os._exit` and runs no clean-up
of the parent. Must not know what the function does.
"""

from __future__ import annotations

import json
import os
import select
import time
from typing import Any, Callable, Dict, List, Tuple

from .system import Cancelled

__all__ = ["Crashed", "Tell", "run"]

_GLANCE = 0.5
"""Seconds between two looks at whether to go on."""
Tell = Callable[[Dict[str, Any]], None]


class Crashed(Exception):
    """The child did not come to its end; `str()` says how it ended and the last that it wrote on standard error."""


def run(function: Callable[[Tell], None], heard: Tell, silence: float, cancelled: Callable[[], bool]) -> None:
    """Run `function(tell)` in a child; each message that it tells is given to `heard` here, in order.

    Raises Crashed when the child dies, raises, or tells nothing for `silence` seconds, and Cancelled once `cancelled`
    says so. These, and whatever `heard` raises, end the child.
    """
    told, tells = os.pipe()
    errors, complaints = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _child(function, parent, tells, complaints)
    os.close(tells)
    os.close(complaints)
    try:
        tail = _listen(told, errors, heard, silence, cancelled)
    except BaseException:
        os.kill(child, 9)
        raise
    finally:
        os.close(told)
        os.close(errors)
        _, status = os.waitpid(child, 0)
    if status:
        raise Crashed("%s%s" % (_ending(status), ": " + tail if tail else ""))


def _child(function: Callable[[Tell], None], parent: int, tells: int, complaints: int) -> None:
    """Never returns."""
    code = 1
    try:
        _detach(parent, tells, complaints)
        function(lambda message: _write(tells, json.dumps(message).encode() + b"\n"))
        code = 0
    except BaseException as error:
        os.write(2, ("%s: %s" % (type(error).__name__, error)).encode("utf-8", "backslashreplace"))
    finally:
        os._exit(code)


def _detach(parent: int, tells: int, complaints: int) -> None:
    """Die with the parent, and hold none of its files: an inherited lock would outlive it."""
    import ctypes
    import signal

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(nothing, descriptor)
    os.dup2(complaints, 2)
    highest = max(int(entry) for entry in os.listdir("/proc/self/fd"))
    os.closerange(3, tells)
    os.closerange(tells + 1, highest + 1)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _listen(told: int, errors: int, heard: Tell, silence: float, cancelled: Callable[[], bool]) -> str:
    """Give on what comes until both ends are closed; the last of what came on standard error."""
    buffer, tail, open_ends, deadline = b"", b"", [told, errors], time.monotonic() + silence
    while open_ends:
        if cancelled():
            raise Cancelled
        ready = select.select(open_ends, [], [], _GLANCE)[0]
        if not ready and time.monotonic() > deadline:
            raise Crashed("nothing was heard of it for %d s" % silence)
        for descriptor in ready:
            data = os.read(descriptor, 65536)
            if not data:
                open_ends.remove(descriptor)
            elif descriptor == errors:
                tail = (tail + data)[-4096:]
            else:
                deadline = time.monotonic() + silence
                lines, buffer = _lines(buffer + data)
                for line in lines:
                    heard(json.loads(line))
    return tail.decode("utf-8", "replace").strip()


def _lines(buffer: bytes) -> Tuple[List[bytes], bytes]:
    lines = buffer.split(b"\n")
    return lines[:-1], lines[-1]


def _ending(status: int) -> str:
    if os.WIFSIGNALED(status):
        return "it was ended by signal %d" % os.WTERMSIG(status)
    return "it failed"
