"""Computes something in a child that can be given up when it hangs in the kernel."""

from __future__ import annotations

import os
import select
import time
from typing import Callable, TypeVar

__all__ = ["within"]

T = TypeVar("T")


def within(seconds: float, function: Callable[[], T]) -> T:
    """The function's result, or what it raises; TimeoutError at the deadline, when the child is killed and left."""
    import pickle

    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        _answer(function, reads, writes)
    os.close(writes)
    try:
        data = _collect(reads, time.monotonic() + seconds)
    except BaseException:
        os.kill(child, 9)
        os.waitpid(child, os.WNOHANG)  # one that hangs in the kernel is not waited for
        raise
    finally:
        os.close(reads)
    os.waitpid(child, 0)
    if not data:
        raise OSError("the child that looked died without an answer")
    good, value = pickle.loads(data)  # noqa: S301 - our own child wrote it
    if not good:
        raise value
    return value  # type: ignore[no-any-return]


def _answer(function: Callable[[], T], reads: int, writes: int) -> None:
    """In the child; never returns."""
    import pickle

    try:
        os.close(reads)
        try:
            data = pickle.dumps((True, function()))
        except Exception as error:
            data = pickle.dumps((False, error))
        while data:
            data = data[os.write(writes, data) :]
    finally:
        os._exit(0)


def _collect(descriptor: int, deadline: float) -> bytes:
    data = b""
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            raise TimeoutError("no answer in time")
        part = os.read(descriptor, 65536)
        if not part:
            return data
        data += part
