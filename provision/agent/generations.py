"""Where the generations of an environment live, which one serves, and what each remembers.

    ROOT/envs/NAME                              link to the generation that serves
    ROOT/envs/.generations/NAME/<lock12>-<n>    a generation: a conda prefix that never moves
    ROOT/envs/.generations/NAME/held            locks that a rollback left, JSON
    ROOT/envs/.generations/NAME/lock            taken with flock while somebody builds, flips or prunes
    GENERATION/.provision/                      what provision knows of it; `seal.json` is written last

Owns names and small files; must not build, flip or remove anything (prefix.py, conda_flip.py, pruning.py do).
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Optional

from .record import record
from .resource import Refusal
from .system import System

__all__ = [
    "NOTES",
    "Generation",
    "current",
    "envs_directory",
    "expected_path",
    "find",
    "held",
    "hold",
    "link_path",
    "lock_environment",
    "notes_directory",
    "previous",
    "read_note",
    "release",
    "remember_units",
    "remembered_units",
    "seal_of",
    "sealed",
    "served_at",
    "serving",
    "simulated",
    "store",
    "unsealed",
    "variables",
    "write_note",
]

NOTES = ("held", "lock")
"""The files of a store beside its generations."""


@record(frozen=True)
class Generation:
    """One build of a lock: `path` is its prefix, `lock` 64 hex digits (12 without a seal), `number` counts builds."""

    path: str
    lock: str
    number: int


def envs_directory(root: str) -> str:
    """The folder that conda looks for environments in."""
    return os.path.join(root, "envs")


def link_path(root: str, name: str) -> str:
    """The path that people use: `ROOT/envs/NAME`."""
    return os.path.join(root, "envs", name)


def store(root: str, name: str) -> str:
    """The folder of one environment's generations; nothing else of ours lives elsewhere."""
    return os.path.join(root, "envs", ".generations", name)


def notes_directory(path: str) -> str:
    """What provision keeps inside a generation."""
    return os.path.join(path, ".provision")


def current(system: System, root: str, name: str) -> Optional[Generation]:
    """The generation that the link points at; None where there is no link, or one that leads elsewhere."""
    try:
        target = os.readlink(link_path(root, name))
    except OSError:
        return None
    path = os.path.normpath(os.path.join(envs_directory(root), target))
    if os.path.dirname(path) != store(root, name) or system.lstat(path) is None:
        return None
    return _generation(system, path)


def find(system: System, root: str, name: str, lock: str) -> Optional[Generation]:
    """The newest sealed generation of a lock (64 hex digits), or None."""
    builds = [generation for generation in sealed(system, root, name, lock[:12]) if generation.lock == lock]
    return max(builds, key=lambda generation: generation.number, default=None)


def serving(system: System, root: str, name: str, lock: Optional[str] = None) -> Optional[Generation]:
    """What an app runs in: the newest generation of `lock`, or without a lock the one that the link leads to.

    A real directory at `ROOT/envs/NAME`, which `conda_env` accepted, counts as one, with number 0. None for nothing.
    """
    found = find(system, root, name, lock) if lock else current(system, root, name)
    path = link_path(root, name)
    if found is None and os.path.isdir(path) and not os.path.islink(path):
        return Generation(path, lock or "", 0)
    return found


def expected_path(root: str, name: str, lock: str) -> str:
    """Where the next build of a lock will be; what a plan shows for a generation that is not there yet."""
    numbers = [_number(entry) for entry in _entries(root, name) if entry.startswith(lock[:12] + "-")]
    return os.path.join(store(root, name), "%s-%d" % (lock[:12], max(numbers, default=0) + 1))


def sealed(system: System, root: str, name: str, prefix: str = "") -> List[Generation]:
    """All sealed generations, the longest served or oldest first; `prefix`: of locks that start so."""
    paths = [os.path.join(store(root, name), entry) for entry in _entries(root, name) if entry.startswith(prefix)]
    found = [_generation(system, path) for path in paths if seal_of(system, path)]
    return sorted(found, key=lambda generation: (served_at(system, generation), generation.number))


def unsealed(system: System, root: str, name: str) -> List[str]:
    """Paths of generations without a seal: a build that runs, or what a killed one left."""
    paths = [os.path.join(store(root, name), entry) for entry in _entries(root, name)]
    return [path for path in paths if not seal_of(system, path)]


def seal_of(system: System, path: str) -> Dict[str, Any]:
    """What the seal of the generation at `path` says; empty where there is none."""
    return read_note(system, path, "seal.json") or {}


def simulated(system: System, path: str) -> bool:
    """Whether the generation at `path` holds packages that only carry the names of others."""
    return bool(seal_of(system, path).get("simulated"))


def variables(system: System, generation: Generation) -> Dict[str, str]:
    """What activation sets, computed once after the build; PATH starts with the generation's bin. For a real directory
    it is computed now."""
    if generation.number == 0:
        from .activation import compute

        return compute(system, os.path.basename(generation.path), generation.path)
    return read_note(system, generation.path, "variables.json") or {}


def remember_units(system: System, generation: Generation, units: Dict[str, str]) -> None:
    """Keep the text of each app's unit with the generation that it runs on; apps that are not named stay.

    A real directory is no generation: nothing is kept with it.
    """
    if generation.number == 0:
        return
    known = remembered_units(system, generation)
    if any(known.get(app) != text for app, text in units.items()):
        write_note(system, generation.path, "units.json", {**known, **units})


def remembered_units(system: System, generation: Generation) -> Dict[str, str]:
    """App name to unit text, as kept by `remember_units`."""
    return read_note(system, generation.path, "units.json") or {}


def served_at(system: System, generation: Generation) -> int:
    """When the link was last set to this generation, in nanoseconds since the epoch; 0 for never."""
    return int(read_note(system, generation.path, "served.json") or 0)


def previous(system: System, root: str, name: str) -> Optional[Generation]:
    """The generation that a rollback goes to: served before the current one, of another lock, and not held."""
    now = current(system, root, name)
    if now is None:
        return None
    left, since = held(system, root, name), served_at(system, now)
    before = [
        generation
        for generation in sealed(system, root, name)
        if generation.lock != now.lock and generation.lock not in left and 0 < served_at(system, generation) < since
    ]
    return before[-1] if before else None


def held(system: System, root: str, name: str) -> List[str]:
    """Locks that a rollback left and that `apply` does not go forward to by itself."""
    try:
        return list(json.loads(system.read_text(os.path.join(store(root, name), "held"))))
    except (OSError, ValueError):
        return []


def hold(system: System, root: str, name: str, lock: str) -> None:
    """Remember that a rollback left this lock."""
    _write_held(system, root, name, sorted({*held(system, root, name), lock}))


def release(system: System, root: str, name: str, lock: str) -> None:
    """Forget that a rollback left this lock."""
    locks = held(system, root, name)
    if lock in locks:
        _write_held(system, root, name, [other for other in locks if other != lock])


@contextmanager
def lock_environment(system: System, root: str, name: str) -> Iterator[None]:
    """Hold the environment's lock; it is free again when its holder dies. Refusal while somebody else holds it."""
    import fcntl

    system.mkdir(store(root, name), 0o755)
    descriptor = os.open(os.path.join(store(root, name), "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refusal(
                "environment `%s` is being changed by somebody else" % name,
                "`%s` is locked by a running process" % os.path.join(store(root, name), "lock"),
                "wait until it is done and run again",
            ) from None
        yield
    finally:
        os.close(descriptor)


def read_note(system: System, path: str, note: str) -> Any:
    """What a generation remembers under a file's name; None where there is nothing, or nothing readable."""
    try:
        return json.loads(system.read_text(os.path.join(notes_directory(path), note)))
    except (OSError, ValueError):
        return None


def write_note(system: System, path: str, note: str, value: Any) -> None:
    """Keep a JSON value under a file's name inside a generation, atomically."""
    data = json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
    system.write(os.path.join(notes_directory(path), note), data, mode=0o644)


def _generation(system: System, path: str) -> Generation:
    name = os.path.basename(path)
    return Generation(path, seal_of(system, path).get("lock") or name[:12], _number(name))


def _entries(root: str, name: str) -> List[str]:
    try:
        return [entry for entry in os.listdir(store(root, name)) if _number(entry)]
    except OSError:
        return []


def _number(entry: str) -> int:
    """Which build of its lock a generation is by its name; 0 for what is none, as a folder that people made."""
    lock, _, number = entry.partition("-")
    ours = len(lock) == 12 and not set(lock) - set("0123456789abcdef") and number.isascii() and number.isdigit()
    return int(number) if ours else 0


def _write_held(system: System, root: str, name: str, locks: List[str]) -> None:
    system.write(os.path.join(store(root, name), "held"), json.dumps(locks).encode(), mode=0o644)
