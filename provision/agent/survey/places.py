"""Where things are on a hand-built server: conda prefixes, shared directories, and links that lead into these.

Reads folders and the table of mounts; never goes into a network file system. Bounded in folders and depth.
"""

from __future__ import annotations

import os
import stat
from typing import Any, Dict, Iterable, Iterator, List, Tuple

from .. import mounts
from ..system import System

__all__ = ["links", "prefixes", "roots", "shared"]

_DISTRIBUTIONS = (
    *("conda", "miniforge3", "mambaforge", "miniconda3", "miniconda", "anaconda3", "micromamba", "mambaforge3"),
)
_SKIPPED = ("node_modules", ".git", "__pycache__", "site-packages", ".cache", "conda-meta", "pkgs", "proc", "sys")
_DEPTH = 5
_FOLDERS = 20_000
_FILE = 1 << 20


def roots(asked: Iterable[str], homes: Iterable[str]) -> List[str]:
    """Folders that hold `envs`: those asked for, where installers put conda, and what users' conda wrote down."""
    candidates = list(asked)
    for base in ("/opt", *homes):
        candidates += [os.path.join(base, name) for name in _DISTRIBUTIONS]
        candidates.append(os.path.join(base, ".conda"))
    for home in homes:
        lines = _lines(os.path.join(home, ".conda", "environments.txt"))
        above = [os.path.dirname(line.strip().rstrip("/")) for line in lines if line.startswith("/")]
        candidates += [os.path.dirname(path) for path in above if os.path.basename(path) == "envs"]
    found: Dict[str, str] = {}
    for path in candidates:
        if os.path.isdir(os.path.join(path, "envs")):
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def _lines(path: str) -> List[str]:
    """The lines of a small file of somebody's; what is no plain file is not waited for, nor is a link followed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    with open(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return []
        return stream.read(_FILE).decode("utf-8", "surrogateescape").splitlines()


def prefixes(found: Iterable[str]) -> List[Dict[str, str]]:
    """The conda environments below roots: `path`, `real` (without links) and `kind`.

    A kind is "directory", "generation" (one of ours) or "link".
    """
    answer = []
    for root in found:
        folder = os.path.join(root, "envs")
        for name in sorted(os.listdir(folder)):
            path = os.path.join(folder, name)
            if name.startswith(".") or not os.path.isdir(os.path.join(path, "conda-meta")):
                continue
            kind = "directory"
            if os.path.islink(path):
                target = os.path.realpath(path)
                kind = "generation" if "/.generations/" in target else "link"
            answer.append({"path": path, "kind": kind, "real": os.path.realpath(path)})
    return answer


def shared(system: System, asked: Iterable[str]) -> List[str]:
    """Shared directories: those asked for that are there, and the mount points of network file systems."""
    found = [path for path in asked if system.lstat(path) is not None]
    found += [mount.point for mount in mounts.mounts() if mount.network and not mount.point.startswith("/run/")]
    return sorted(dict.fromkeys(found))


def links(
    starts: Iterable[str], targets: List[str], skipped: Iterable[str], folders: int = _FOLDERS
) -> Tuple[List[Dict[str, Any]], bool]:
    """Links below `starts` that lead into one of `targets`: `path`, `target` as it stands there, `missing`, `root`.

    And whether everything was looked at. `targets` themselves and `skipped` are not entered.
    """
    left, found = [folders], []
    known = [target.rstrip("/") for target in targets]
    apart = {*known, *(path.rstrip("/") for path in skipped)}
    for start in sorted(dict.fromkeys(starts)):
        for path in _links_below(start, apart, left, _DEPTH):
            try:
                text = os.readlink(path)
            except OSError:
                continue  # it went meanwhile
            aim = os.path.normpath(os.path.join(os.path.dirname(path), text))
            root = next((one for one in known if aim == one or aim.startswith(one + "/")), "")
            if root:
                found.append({"path": path, "target": text, "root": root, "missing": not _there(aim)})
    unique = {str(each["path"]): each for each in found}
    return [unique[path] for path in sorted(unique)], left[0] > 0


def _links_below(folder: str, apart: Iterable[str], left: List[int], depth: int) -> Iterator[str]:
    left[0] -= 1
    if left[0] <= 0 or depth < 0 or folder in apart or os.path.isdir(os.path.join(folder, "conda-meta")):
        return
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        device = os.lstat(folder).st_dev
    except OSError:
        return
    for entry in entries:
        if entry.is_symlink():
            yield entry.path
        elif entry.name not in _SKIPPED and _is_folder(entry, device):
            yield from _links_below(entry.path, apart, left, depth - 1)


def _is_folder(entry: Any, device: int) -> bool:
    """A real folder of the same file system: what is mounted is another place."""
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_dev == device


def _there(path: str) -> bool:
    """Whether a target is there; a look into a file system that hangs is given up."""
    from ..forked import within

    try:
        return bool(within(10.0, lambda: os.path.exists(path)))
    except TimeoutError:
        return False
