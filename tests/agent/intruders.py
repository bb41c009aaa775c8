"""Somebody else who changes a path at a chosen call of a step, and what must be true of his data afterwards."""

from __future__ import annotations

import builtins
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from provision.agent import renames

__all__ = ["DATA", "INTRUDERS", "Interrupted", "holders"]

DATA = "years of work\n"
_CALLS = (
    *("open", "stat", "lstat", "readlink", "listdir", "scandir", "access", "mkdir", "rmdir", "unlink", "remove"),
    *("rename", "replace", "link", "symlink", "fsync", "fchmod", "fchown", "chmod", "chown", "utime"),
)
"""Functions of `os` before each of which somebody may come."""


class Interrupted:
    """Lets `intrude` happen once, before the n-th call of the file system; counts the calls."""

    def __init__(self, intrude: Callable[[], None], number: int) -> None:
        self.count, self._intrude, self._number = 0, intrude, number

    def during(self, step: Callable[[], Any], *, plain: bool = False) -> str:
        """What the step came to: "" or what it was refused for. `plain`: no file system has the careful renames."""
        with pytest.MonkeyPatch.context() as patch:
            for name in _CALLS:
                patch.setattr(os, name, self._before(getattr(os, name)))
            patch.setattr(builtins, "open", self._before(open))
            patch.setattr(renames, "_renameat2", self._before(_never if plain else renames._renameat2))
            try:
                step()
            except Exception as error:
                return f"{error}: {getattr(error, 'cause', '')}"
        return ""

    def _before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            if self.count == self._number:
                self._intrude()
            return function(*arguments, **options)

        return called


def _never(*_: Any) -> bool:
    return False


def _makes_file(path: Path) -> None:
    """Puts a file there in the place of what is there; into a directory that is there."""
    if path.is_dir() and not path.is_symlink():
        (path / "data").write_text(DATA)
        return
    aside = path.parent.parent / "coming"
    aside.write_text(DATA)
    path.parent.mkdir(exist_ok=True)
    aside.replace(path)


def _makes_directory(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    path.mkdir(exist_ok=True, parents=True)
    (path / "data").write_text(DATA)


def _appends(path: Path) -> None:
    if not path.is_file() or path.is_symlink():
        _makes_file(path)
        return
    with path.open("a") as file:
        file.write(DATA)


def _makes_link(path: Path) -> None:
    """Puts a link there to a directory with data."""
    kept = path.parent.parent / "kept"
    kept.mkdir()
    (kept / "data").write_text(DATA)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(kept)


INTRUDERS = {"file": _makes_file, "directory": _makes_directory, "appended": _appends, "link": _makes_link}


def holders(folder: Path) -> list[Path]:
    """The files below a folder that hold the data, also beside something else."""
    found = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return [path for path in found if DATA.encode() in path.read_bytes()]
