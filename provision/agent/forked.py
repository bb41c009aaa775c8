"""Computes something in a child that can be given up when it hangs in the kernel."""

from __future__ import annotations

import os
import select
import time
from typing import Any, Callable, Dict, List, Tuple, TypeVar

__all__ = ["within", "within_all"]

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


def within_all(seconds: float, functions: Dict[str, Callable[[], Any]]) -> Dict[str, Any]:
    """The result of each function, or the exception it raised, TimeoutError for one without an answer in time.

    All run at once, each in a child of its own, so that together they take no longer than the slowest.
    """
    deadline = time.monotonic() + seconds
    running: List[Tuple[str, int, int]] = []
    for name, function in functions.items():
        reads, writes = os.pipe()
        child = os.fork()
        if child == 0:
            _answer(function, reads, writes)
        os.close(writes)
        running.append((name, child, reads))
    return {name: _outcome(child, reads, deadline) for name, child, reads in running}


def _outcome(child: int, reads: int, deadline: float) -> Any:
    import pickle

    try:
        data = _collect(reads, deadline)
    except TimeoutError as late:
        os.kill(child, 9)
        os.waitpid(child, os.WNOHANG)
        return late
    finally:
        os.close(reads)
    os.waitpid(child, 0)
    return pickle.loads(data)[1] if data else OSError("the child that looked died without an answer")  # noqa: S301


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
        left = max(0.0, deadline - time.monotonic())
        if not select.select([descriptor], [], [], left)[0]:
            raise TimeoutError("no answer in time")
        part = os.read(descriptor, 65536)
        if not part:
            return data
        data += part
