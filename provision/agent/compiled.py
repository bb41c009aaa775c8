"""Keeps the agent compiled beside its archive, so that its next start on this host compiles nothing."""

from __future__ import annotations

import os
from typing import Tuple

__all__ = ["keep"]

_DAY = 86400
_OLD = 30 * _DAY
"""Seconds after which an agent that was not started goes."""


def keep(archive: str, compiled: str) -> None:
    """Write the compiled form where it is lacking, and remove archives of versions that nobody starts any more.

    A disk that is full or not writable costs speed only.
    """
    try:
        _started(archive)
        if os.path.exists(compiled):
            _started(compiled)
            return
        aside = "%s.%d" % (compiled, os.getpid())
        if os.path.lexists(aside):
            os.unlink(aside)  # a killed run of the same number left it
        try:
            _write(archive, aside)
            os.rename(aside, compiled)
        finally:
            if os.path.exists(aside):
                os.unlink(aside)
        _remove_old(os.path.dirname(archive), (archive, compiled))
    except OSError:
        pass


def _started(path: str) -> None:
    """Keep the time of a start, to the day: a run that only looks is not to change the host each time."""
    import time

    if os.stat(path).st_mtime < time.time() - _DAY:
        os.utime(path)


def _write(archive: str, path: str) -> None:
    import json
    import marshal

    with open(archive, encoding="utf-8") as sources:
        table = json.load(sources)
    codes = {name: marshal.dumps(compile(text, name, "exec", dont_inherit=True)) for name, text in table.items()}
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(marshal.dumps(codes))
        file.flush()
        os.fsync(file.fileno())


def _remove_old(folder: str, spared: Tuple[str, ...]) -> None:
    import time

    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if path not in spared and os.stat(path).st_mtime < time.time() - _OLD:
            os.unlink(path)
