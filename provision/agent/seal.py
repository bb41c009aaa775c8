"""The seal of a generation: what was there when it was built, and whether it still is.

A difference is either drift (what was sealed is changed or gone) or unowned (something came that nobody sealed).
Three depths: `seal` looks at the folders' modification times, `files` at every file's mode, size and time, `hashes`
at their content by the packages' own checksums. Bytecode is left out: a `__pycache__` whose source is owned is owned.
Owns `folders`, `files` and `seal.json` in the generation's notes; must not repair anything.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Tuple

from .generations import notes_directory, write_note
from .system import System

__all__ = ["differences", "strange", "write"]

if TYPE_CHECKING:
    _Entry = os.DirEntry[str]
_LEFT_OUT = ("var", "tmp", ".provision")
"""Folders of a prefix that programs write to by right (font caches and the like), and our own."""
_PASSING = ("cache", "lock", "run", "tmp")
"""Folders of `var` whose content nobody misses."""
_ADDED = "added: "
_SHOWN = 50
"""How many differences are named."""


def write(system: System, path: str, seal: Dict[str, Any]) -> None:
    """Record the prefix as it is, then write the seal, last: from now on the generation is one."""
    folders, files = [], []
    for folder, entries, _ in _walked(path, None):
        folders.append("%d %s" % (os.lstat(os.path.join(path, folder)).st_mtime_ns, folder))
        files += ["%o %d %d %s" % (*_look(entry), name) for name, entry in entries]
    notes = notes_directory(path)
    system.write(os.path.join(notes, "folders"), _lines(folders), mode=0o644)
    system.write(os.path.join(notes, "files"), _lines(files), mode=0o644)
    write_note(system, path, "seal.json", seal)


def differences(system: System, path: str, depth: str) -> Tuple[List[str], List[str]]:
    """Drift and what is unowned, as lines like `changed: lib/x.py` and `added: lib/y.py`; at most fifty of each."""
    stale = _stale_folders(system, path)
    if not stale and depth == "seal":
        return [], []
    # where no folder's time is another, nothing came or went: each file's status is all there is to see
    found = _compare(system, path, None if depth != "seal" else set(stale)) if stale else _touched(system, path)
    if depth == "hashes":
        found += _damaged(system, path, {line.partition(": ")[2] for line in found})
    unowned = [line for line in found if line.startswith(_ADDED)]
    return _cut([line for line in found if not line.startswith(_ADDED)]), _cut(unowned)


def strange(system: System, path: str) -> List[str]:
    """What no package brought and people may miss, as paths below the prefix, at most fifty; also in its `var`."""
    sealed = system.lstat(os.path.join(notes_directory(path), "seal.json"))
    try:
        _, unowned = differences(system, path, "seal")
    except FileNotFoundError:
        unowned = []  # nobody sealed it: it was never used
    found = [line[len(_ADDED) :] for line in unowned if line.startswith(_ADDED)]
    return _cut(found + sorted(_written(os.path.join(path, "var"), sealed.st_ctime) if sealed else []))


def _written(folder: str, since: float) -> Iterator[str]:
    """Files in a prefix's `var` that came or changed since; a hard link into the cache changes with the cache."""
    for above, folders, files in os.walk(folder):
        if above == folder:
            folders[:] = [name for name in folders if name not in _PASSING]
        for name in files:
            status = os.lstat(os.path.join(above, name))
            if status.st_ctime > since and status.st_nlink == 1:
                yield os.path.relpath(os.path.join(above, name), os.path.dirname(folder))


def _cut(lines: List[str]) -> List[str]:
    return lines[:_SHOWN] + (["and %d more" % (len(lines) - _SHOWN)] if len(lines) > _SHOWN else [])


def _stale_folders(system: System, path: str) -> List[str]:
    """Folders whose time is not the sealed one, or that are gone. This is all that a converged host pays for."""
    stale, lstat = [], os.lstat
    for line in _read(system, path, "folders"):
        time, _, folder = line.partition(" ")
        try:
            if lstat(path + "/" + folder).st_mtime_ns != int(time):
                stale.append(folder)
        except OSError:
            stale.append(folder)
    return stale


def _touched(system: System, path: str) -> List[str]:
    """Files whose mode, size or time is not the sealed one."""
    found, stat = [], os.stat
    # the names below one descriptor: each look resolves a shorter path, which is a third of what it costs
    prefix = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for line in _read(system, path, "files"):
            mode, size, time, name = line.split(" ", 3)
            try:
                status = stat(name, dir_fd=prefix, follow_symlinks=False)
            except OSError:
                found.append("missing: %s" % name)
                continue
            if status.st_mtime_ns != int(time) or status.st_size != int(size) or status.st_mode != int(mode, 8):
                found.append("changed: %s" % name)
    finally:
        os.close(prefix)
    return sorted(found)


def _compare(system: System, path: str, only: Any) -> List[str]:
    """Differences of names, modes, sizes and times, in all folders or in `only` those."""
    found, wanted = [], {}
    for line in _read(system, path, "files"):
        mode, size, time, name = line.split(" ", 3)
        if only is None or (os.path.dirname(name) or ".") in only:
            wanted[name] = (int(mode, 8), int(size), int(time))
    known_folders = {line.partition(" ")[2] for line in _read(system, path, "folders")}
    for folder, entries, below in _walked(path, only):
        if folder in known_folders:
            found += _folder_differences(dict(entries), wanted)
            found += [_ADDED + name + "/" for name in below if name not in known_folders]
    found += ["missing: %s" % name for name, was in wanted.items() if was is not None]
    return sorted(found)


def _folder_differences(entries: Dict[str, _Entry], wanted: Dict[str, Any]) -> List[str]:
    found = []
    for name, entry in entries.items():
        was = wanted.pop(name, None)
        if was is None:
            found.append(_ADDED + name)
        elif was != _look(entry):
            found.append("changed: %s" % name)
    return found


def _damaged(system: System, path: str, known: Any) -> List[str]:
    from .records import checksums

    found = []
    for name, wanted in checksums(system, path).items():
        file = os.path.join(path, name)
        if name not in known and system.lstat(file) is not None and system.sha256(file) != wanted:
            found.append("damaged: %s" % name)
    return found


def _walked(path: str, only: Any) -> Iterator[Tuple[str, List[Tuple[str, _Entry]], List[str]]]:
    """Folders by their relative paths ("." is the prefix), each with what is in it that is no folder, and its folders.

    All of them, or those in `only` that are there: a folder that came made its parent's time another.
    """
    pending = ["."] if only is None else sorted(only)
    while pending:
        folder = pending.pop()
        listed = _entries(path, folder, only is None)
        if listed is None:
            continue
        entries, below = listed
        pending += below if only is None else []
        yield folder, entries, below


def _entries(path: str, folder: str, must_be: bool) -> Any:
    entries, below = [], []
    inside = "" if folder == "." else folder + "/"
    try:
        with os.scandir(os.path.join(path, folder)) as listing:
            for entry in listing:
                if not entry.is_dir(follow_symlinks=False):
                    entries.append((inside + entry.name, entry))
                elif entry.name != "__pycache__" and not (folder == "." and entry.name in _LEFT_OUT):
                    below.append(inside + entry.name)
    except (FileNotFoundError, NotADirectoryError):
        if must_be:
            raise
        return None
    return entries, below


def _look(entry: _Entry) -> Tuple[int, int, int]:
    status = entry.stat(follow_symlinks=False)
    return status.st_mode, status.st_size, status.st_mtime_ns


def _lines(lines: List[str]) -> bytes:
    return "\0".join(lines).encode("utf-8", "surrogateescape")


def _read(system: System, path: str, note: str) -> List[str]:
    data = system.read(os.path.join(notes_directory(path), note))
    return data.decode("utf-8", "surrogateescape").split("\0") if data else []
