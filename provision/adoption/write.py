"""Writes a directory whole or not at all: beside its place first, renamed there at the end."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from provision.errors import ProvisionError

__all__ = ["need_empty", "put", "whole"]


def need_empty(directory: Path) -> None:
    """Raises ProvisionError unless nothing, or an empty directory, is there."""
    if not os.path.lexists(directory):
        return
    if directory.is_symlink() or not directory.is_dir():
        cause = "it is no directory"
    elif any(directory.iterdir()):
        cause = "it is not empty, and nothing that is there is ever written over"
    else:
        return
    raise ProvisionError(f"cannot write into `{directory}`", cause=cause, hint="name a new directory with -o")


@contextmanager
def whole(directory: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `directory` when all went well and else goes."""
    place = directory.absolute()
    place.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    try:
        yield aside
        aside.chmod(0o755)
        aside.rename(place)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def put(folder: Path, texts: Mapping[str, str]) -> None:
    """Write texts by their path below a folder; raises ValueError for a path that leads out of it."""
    for name, text in texts.items():
        path = folder / name
        if ".." in path.parts or not path.is_relative_to(folder):
            raise ValueError(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        if name.startswith("host_vars/"):
            path.chmod(0o600)
