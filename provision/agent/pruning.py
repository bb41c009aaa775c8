"""Removes generations that nobody needs, and only those: it deletes inside `envs/.generations/NAME` and nowhere else.

Must be called with the environment's lock held (generations.lock_environment).
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import Callable, Iterable, List, Optional, Set

from . import generations, seal, supervisor_files, systemd, trees
from .generations import Generation
from .system import System

__all__ = ["discard", "drop_fresh_cache", "drop_store", "fresh_cache", "leftovers", "marked", "prune", "users"]

_BUILDS = "PROVISION_BUILDS"
"""The variable that marks programs which a build runs."""


def prune(system: System, root: str, name: str, keep: int, tell: Optional[Callable[[str], None]] = None) -> List[str]:
    """Remove all sealed generations but what serves, the last `keep` - 1 that served before, and what is used.

    Of several builds of one lock only the newest counts as one to go back to. One that people put something into
    stays, and `tell` hears of it. Gives the removed paths.
    """
    now = generations.current(system, root, name)
    others = [g for g in generations.sealed(system, root, name) if now is None or g.path != now.path]
    spare = [g for g in others if g.path not in _kept(system, others, now, keep)]
    used = users(g.path for g in spare) if spare else set()
    gone = []
    for path in [g.path for g in spare if g.path not in used]:
        strange = seal.strange(system, path)
        if strange:
            if tell:
                tell("generation `%s` stays: no package brought `%s`" % (path, strange[0]))
            continue
        discard(system, root, name, path)
        gone.append(path)
    return gone


def leftovers(system: System, root: str, name: str) -> List[str]:
    """Remove what builds that died left: no seal, and the lock that their builder held is ours now.

    Programs of theirs that outlived them are killed first: they would make it anew.
    """
    gone = generations.unsealed(system, root, name)
    if gone:
        _end_builders(generations.store(root, name))
    for path in gone:
        discard(system, root, name, path)
    drop_fresh_cache(root, name)
    return gone


def discard(system: System, root: str, name: str, path: str) -> None:
    """Remove one generation; its seal first, so that a kill leaves a leftover and no broken generation.

    Refusal, before anything is gone, where something is mounted in it.
    """
    if os.path.dirname(path) != generations.store(root, name) or os.path.islink(path):
        raise ValueError("%s is no generation of %s" % (path, name))
    if system.lstat(path) is None:
        return
    trees.need_removable(path)
    seal = os.path.join(generations.notes_directory(path), "seal.json")
    if system.lstat(seal) is not None:
        os.unlink(seal)
    trees.remove(path)


def fresh_cache(root: str, name: str) -> str:
    """A package cache for one build, for installers that cannot check the shared one in full."""
    return os.path.join(generations.store(root, name), "fresh-cache")


def drop_fresh_cache(root: str, name: str) -> None:
    """Remove the cache of one build, if there is one."""
    import shutil

    shutil.rmtree(fresh_cache(root, name), ignore_errors=True)


def drop_store(root: str, name: str) -> None:
    """Remove what is ours in an environment's store once its generations are gone; what people put there stays."""
    folder = generations.store(root, name)
    drop_fresh_cache(root, name)
    for entry in generations.NOTES:
        if os.path.lexists(os.path.join(folder, entry)):
            os.unlink(os.path.join(folder, entry))
    if not os.listdir(folder):
        os.rmdir(folder)


def marked(system: System, root: str, name: str) -> System:
    """A system whose commands are known as those of a build of this environment, should they outlive it."""
    return replace(system, environment={**system.environment, _BUILDS: generations.store(root, name)})


def users(paths: Iterable[str]) -> Set[str]:
    """Those of the paths that a running process executes, maps or stands in, or that a unit names."""
    wanted = [(path, os.fsencode(path) + b"/") for path in paths]
    texts = [*_units(), *_processes()]
    return {path for path, needle in wanted if any(needle in text for text in texts)}


def _kept(system: System, others: List[Generation], now: object, keep: int) -> Set[str]:
    """The newest that served of each lock, the last `keep` - 1 of them."""
    current_lock = now.lock if isinstance(now, Generation) else ""
    kept: List[Generation] = []
    for generation in reversed(others):
        repeated = generation.lock in {current_lock, *(other.lock for other in kept)}
        if generations.served_at(system, generation) and not repeated and len(kept) < keep - 1:
            kept.append(generation)
    return {generation.path for generation in kept}


def _end_builders(folder: str) -> None:
    mark, deadline = b"\0%s=%s\0" % (_BUILDS.encode(), os.fsencode(folder)), time.monotonic() + 10
    while time.monotonic() < deadline:
        left = [entry for entry in os.listdir("/proc") if entry.isdigit() and mark in _environment(entry)]
        if not left:
            return
        for entry in left:
            try:
                os.kill(int(entry), 9)
            except ProcessLookupError:
                pass
        time.sleep(0.02)


def _environment(pid: str) -> bytes:
    return b"\0" + _read("/proc/%s/environ" % pid)


def _units() -> Iterable[bytes]:
    for place in (systemd.UNIT_DIRECTORY, supervisor_files.UNITS):
        for folder, _, files in os.walk(place):
            for file in files:
                yield _read(os.path.join(folder, file))


def _processes() -> Iterable[bytes]:
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            for link in ("exe", "cwd"):
                try:
                    yield os.fsencode(os.readlink("/proc/%s/%s" % (entry, link))) + b"/"
                except OSError:
                    continue
            yield _read("/proc/%s/maps" % entry)
            yield _read("/proc/%s/cmdline" % entry)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return b""
