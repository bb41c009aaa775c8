"""Counts what is in a directory, and removes directories whole where the operator said so."""

from __future__ import annotations

import errno
import os
import stat
import time
from typing import Dict, List, Tuple

from .resource import Refusal

__all__ = ["below", "contents", "need_removable", "remove"]

_COUNT_LIMIT = 100000
_ROUNDS, _PAUSE = 40, 0.05
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def contents(path: str) -> str:
    """What a directory holds, in words: "212 files", "no files but 3 directories", "nothing"."""
    files, folders = _counted(path)
    if files:
        more = "more than " if files >= _COUNT_LIMIT else ""
        return "%s%d file%s" % (more, files, "" if files == 1 else "s")
    return "no files but %d director%s" % (folders, "y" if folders == 1 else "ies") if folders else "nothing"


def below(path: str) -> Dict[str, List[int]]:
    """Mode, uid, gid and whether it is a directory of all in a directory by path; links are left out."""
    found = {}
    for folder, folders, names in os.walk(path):
        for name in [*folders, *names]:
            place = os.path.join(folder, name)
            seen = os.lstat(place)
            if not stat.S_ISLNK(seen.st_mode):
                mode = stat.S_IMODE(seen.st_mode)
                found[place] = [mode, seen.st_uid, seen.st_gid, int(stat.S_ISDIR(seen.st_mode))]
    return found


def remove(path: str) -> None:
    """Remove a directory with all that is in it; Refusal, before anything is gone, where `need_removable` has one."""
    need_removable(path)
    above = os.open(os.path.dirname(path.rstrip("/")) or "/", _FOLDER)
    try:
        name = os.path.basename(path.rstrip("/"))
        _remove(above, name, os.stat(name, dir_fd=above, follow_symlinks=False).st_dev)
    finally:
        os.close(above)


def need_removable(path: str) -> None:
    """Refusal where a directory cannot be removed whole: it is a link to one, or a mount lies in it."""
    if os.path.islink(path.rstrip("/")):
        raise Refusal(
            "cannot remove `%s`" % path,
            "it is a link to `%s`" % os.readlink(path.rstrip("/")),
            "removing never follows a link; see what is there",
        )
    _refuse_mounts(path)


def _counted(path: str) -> Tuple[int, int]:
    files = folders = 0
    for _, below, names in os.walk(path):
        files, folders = files + len(names), folders + len(below)
        if files >= _COUNT_LIMIT:
            return _COUNT_LIMIT, folders
    return files, folders


def _refuse_mounts(path: str) -> None:
    real = os.path.realpath(path)
    with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as stream:
        points = [_plain(line.split(" ")[1]) for line in stream]
    inside = sorted(point for point in points if point == real or point.startswith(real.rstrip("/") + "/"))
    if inside:
        raise Refusal(
            "cannot remove `%s`" % path,
            "another file system is mounted at `%s`" % inside[0],
            "unmount it first; removing never crosses a mount",
        )


def _plain(text: str) -> str:
    return text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")


def _remove(above: int, name: str, device: int) -> None:
    """By descriptors: whoever exchanges a folder for a link meanwhile does not lead this anywhere else.

    What a build that was killed still writes for a moment goes as well.
    """
    folder = os.open(name, _FOLDER, dir_fd=above)
    try:
        for _ in range(_ROUNDS):
            _empty(folder, device)
            try:
                os.rmdir(name, dir_fd=above)
                return
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:
                    raise
                time.sleep(_PAUSE)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=above)


def _empty(folder: int, device: int) -> None:
    with os.scandir(folder) as listing:
        entries = list(listing)
    for entry in entries:
        try:
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.name, dir_fd=folder)
            elif entry.stat(follow_symlinks=False).st_dev == device:
                _remove(folder, entry.name, device)
        except FileNotFoundError:
            pass  # whoever wrote it took it away
