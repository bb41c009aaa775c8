"""The seal of a generation: what was there when it was built, and whether it still is.

Three depths: `seal` looks at the folders' modification times, `files` at every file's mode, size and time, `hashes`
at their content by the packages' own checksums. Bytecode is left out: a `__pycache__` whose source is owned is owned.
Owns `folders`, `files` and `seal.json` in the generation's notes; must not repair anything.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Tuple

from .generations import notes_directory, write_note
from .system import System

__all__ = ["drift", "write"]

if TYPE_CHECKING:
    _Entry = os.DirEntry[str]
_LEFT_OUT = ("var", "tmp", ".provision")
"""Folders of a prefix that programs write to by right (font caches and the like), and our own."""
_SHOWN = 50
"""How many differences are named."""


def write(system: System, path: str, seal: Dict[str, Any]) -> None:
    """Record the prefix as it is, then write the seal, last: from now on the generation is one."""
    folders, files = [], []
    for folder, status, entries in _walk(path):
        folders.append("%d %s" % (status.st_mtime_ns, folder))
        files += ["%o %d %d %s" % (*_look(entry), name) for name, entry in entries]
    notes = notes_directory(path)
    system.write(os.path.join(notes, "folders"), _lines(folders), mode=0o644)
    system.write(os.path.join(notes, "files"), _lines(files), mode=0o644)
    write_note(system, path, "seal.json", seal)


def drift(system: System, path: str, depth: str) -> List[str]:
    """What is not as it was sealed, as lines like `changed: lib/x.py`; at most fifty."""
    stale = _stale_folders(system, path)
    if not stale and depth == "seal":
        return []
    found = _compare(system, path, None if depth != "seal" else set(stale))
    if depth == "hashes":
        found += _damaged(system, path, {line.partition(": ")[2] for line in found})
    return found[:_SHOWN] + (["and %d more" % (len(found) - _SHOWN)] if len(found) > _SHOWN else [])


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


def _compare(system: System, path: str, only: Any) -> List[str]:
    """Differences of names, modes, sizes and times, in all folders or in `only` those."""
    found, wanted = [], {}
    for line in _read(system, path, "files"):
        mode, size, time, name = line.split(" ", 3)
        if only is None or os.path.dirname(name) in only:
            wanted[name] = (int(mode, 8), int(size), int(time))
    known_folders = {line.partition(" ")[2] for line in _read(system, path, "folders")}
    for folder, _, entries in _walk(path):
        if folder not in known_folders:
            found.append("added: %s/" % folder)
        elif only is None or folder in only:
            found += _folder_differences(dict(entries), wanted)
    found += ["missing: %s" % name for name, was in wanted.items() if was is not None]
    return sorted(found)


def _folder_differences(entries: Dict[str, _Entry], wanted: Dict[str, Any]) -> List[str]:
    found = []
    for name, entry in entries.items():
        was = wanted.pop(name, None)
        if was is None:
            found.append("added: %s" % name)
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


def _walk(path: str) -> Iterator[Tuple[str, os.stat_result, List[Tuple[str, _Entry]]]]:
    """Each folder by its relative path ("." is the prefix), its status, and what is in it that is no folder."""
    pending = ["."]
    while pending:
        folder = pending.pop()
        entries, below = [], []
        inside = "" if folder == "." else folder + "/"
        with os.scandir(os.path.join(path, folder)) as listing:
            for entry in listing:
                if not entry.is_dir(follow_symlinks=False):
                    entries.append((inside + entry.name, entry))
                elif entry.name != "__pycache__" and not (folder == "." and entry.name in _LEFT_OUT):
                    below.append(inside + entry.name)
        pending += below
        yield folder, os.lstat(os.path.join(path, folder)), entries


def _look(entry: _Entry) -> Tuple[int, int, int]:
    status = entry.stat(follow_symlinks=False)
    return status.st_mode, status.st_size, status.st_mtime_ns


def _lines(lines: List[str]) -> bytes:
    return "\0".join(lines).encode("utf-8", "surrogateescape")


def _read(system: System, path: str, note: str) -> List[str]:
    data = system.read(os.path.join(notes_directory(path), note))
    return data.decode("utf-8", "surrogateescape").split("\0") if data else []
