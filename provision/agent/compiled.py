"""Keeps the agent compiled beside its archive, so that its next start on this host compiles nothing."""

from __future__ import annotations

import os
from typing import Iterator, Tuple

__all__ = ["keep"]

_OLD = 30 * 86400
"""Seconds after which an agent that was not started goes."""


def keep(archive: str, compiled: str) -> None:
    """Write the compiled form where it is lacking, and remove archives of versions that nobody starts any more.

    A disk that is full or not writable costs speed only.
    """
    try:
        if os.path.exists(compiled):
            return
        aside = "%s.%d" % (compiled, os.getpid())
        try:
            _write(archive, aside)
            os.rename(aside, compiled)
        finally:
            if os.path.exists(aside):
                os.unlink(aside)
        _remove_old(os.path.dirname(archive), (archive, compiled))
    except OSError:
        pass


def _write(archive: str, path: str) -> None:
    import zipfile

    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as packed:
        for name, data in _modules(archive):
            packed.writestr(zipfile.ZipInfo(name), data)
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _modules(archive: str) -> Iterator[Tuple[str, bytes]]:
    import importlib.util
    import marshal
    import zipfile

    header = importlib.util.MAGIC_NUMBER + bytes(12)
    with zipfile.ZipFile(archive) as packed:
        for name in packed.namelist():
            code = compile(packed.read(name), name, "exec", dont_inherit=True)
            yield name + "c", header + marshal.dumps(code)


def _remove_old(folder: str, spared: Tuple[str, ...]) -> None:
    import time

    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if path not in spared and os.stat(path).st_mtime < time.time() - _OLD:
            os.unlink(path)
