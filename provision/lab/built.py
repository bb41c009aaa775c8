"""Folders that are made once for given inputs, kept in the cache, and laid out from there.

A folder in the cache is complete or not there; the same holds for what is laid out, but for the instant between two
renames.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

__all__ = ["kept", "key", "lay_out"]

_KEY = ".key"


def key(inputs: Iterable[str], *sources: str) -> str:
    """A short name for the result of these inputs, made by these files of this package."""
    digest = hashlib.sha256()
    for text in inputs:
        digest.update(hashlib.sha256(text.encode()).digest())
    for name in sorted(sources):
        digest.update(hashlib.sha256(_source(name)).digest())
    return digest.hexdigest()[:16]


def kept(cache: Path, name: str, key: str, make: Callable[[Path], None]) -> Path:
    """The folder `name` of the cache for a key; `make` fills an empty one where there is none, one process at a time.

    Earlier ones of that name are removed then.
    """
    folder = cache / f"{name}-{key}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f".{name}.lock"):
        if not folder.is_dir():
            with _aside(cache, name) as aside:
                make(aside)
                (aside / _KEY).write_text(key)
                aside.replace(folder)
            for old in cache.glob(f"{name}-*"):
                if old != folder:
                    shutil.rmtree(old, ignore_errors=True)
    return folder


def lay_out(folder: Path, target: Path) -> None:
    """Make `target` equal a kept folder, by hard links where that is possible; free if it does already."""
    if (target / _KEY).is_file() and (target / _KEY).read_text() == (folder / _KEY).read_text():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with _aside(target.parent, target.name) as aside:
        shutil.copytree(folder, aside, copy_function=_link_or_copy, dirs_exist_ok=True, symlinks=True)
        with _aside(target.parent, target.name) as old:
            if target.exists():
                target.replace(old)
            aside.replace(target)


def _source(name: str) -> bytes:
    path = resources.files("provision.lab") / name
    if path.is_dir():
        files = sorted(file.name for file in path.iterdir() if file.is_file())
        return b"".join(file.encode() + b"\0" + (path / file).read_bytes() for file in files)
    return path.read_bytes()


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


@contextmanager
def _aside(parent: Path, name: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=parent))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
