"""Finds a conda, mamba or micromamba that is on the host, for hosts that rattler does not run on.

Looks in PATH and where their installers put them. Starts nothing but `--version`; must not install (explicit.py does).
"""

from __future__ import annotations

import os
from typing import Iterable, List, Optional, Tuple

from .record import record
from .resource import Refusal
from .system import CLEAN_PATH, System

__all__ = ["Program", "find", "none", "places", "reads_sha256"]

_NAMES = ("micromamba", "mamba", "conda")
"""In the order in which they are taken: the one that needs nothing else on the host first."""
_DISTRIBUTIONS = ("conda", "miniforge3", "mambaforge", "miniconda3", "miniconda", "anaconda3", "micromamba")
_FIRST_SHA256 = (24, 9)
"""The first conda that reads a SHA-256 in an @EXPLICIT list (conda/conda pull request 14048); older ones read MD5."""


@record(frozen=True)
class Program:
    """An installer of the host: `name` is one of micromamba, mamba and conda, `version` what it says of itself."""

    path: str
    name: str
    version: str

    def __str__(self) -> str:
        return "%s %s (`%s`)" % (self.name, self.version, self.path)


def places(root: str, home: str, path: str) -> List[str]:
    """Folders where such a program may be, the most likely first; pure."""
    prefixes = [root, *("/opt/" + name for name in _DISTRIBUTIONS), *(os.path.join(home, n) for n in _DISTRIBUTIONS)]
    folders = [folder for prefix in prefixes for folder in (prefix + "/bin", prefix + "/condabin")]
    return list(dict.fromkeys([*path.split(":"), home + "/.local/bin", *folders]))


def find(system: System, root: str) -> Tuple[Optional[Program], List[str]]:
    """The first that answers, or None; and what stood in the way of others, as lines."""
    passed: List[str] = []
    folders = places(root, system.user_home(), CLEAN_PATH)
    for name in _NAMES:
        for folder in folders:
            path = os.path.join(folder, name)
            if os.access(path, os.X_OK) and os.path.isfile(path):
                problem, version = _asked(system, path, name)
                if not problem:
                    return Program(path, name, version), passed
                passed.append("`%s` %s" % (path, problem))
    return None, passed


def none(name: str, why: str, passed: Iterable[str]) -> Refusal:
    """The refusal that an environment cannot be installed: rattler does not run, and nothing takes its place."""
    looked = "looked for %s in PATH, under /opt and in the home folder: none that can be used" % _listed(_NAMES)
    return Refusal(
        "nothing on this host can install environment `%s`" % name,
        "\n".join(["rattler does not run here: %s" % why, looked, *passed]),
        "name another Python (3.8 or newer, on glibc) by `ansible_python_interpreter`,\n"
        "or put a micromamba at `/usr/local/bin/micromamba`",
    )


def reads_sha256(program: Program) -> bool:
    """Whether it checks `#sha256:…` in a list; every one of them checks an MD5."""
    if program.name != "conda":
        return True
    numbers = [int(part) for part in program.version.split(".")[:2] if part.isdigit()]
    return tuple(numbers) >= _FIRST_SHA256


def _asked(system: System, path: str, name: str) -> Tuple[str, str]:
    """What stands in the way of a program, or ""; and its version."""
    status = os.stat(path)
    if status.st_uid not in (os.geteuid(), 0) or status.st_mode & 0o022:
        return "is not trusted: others than this user could change it", ""
    try:
        ended = system.run([path, "--version"], timeout=60.0, directory="/")
    except OSError as error:
        return "does not start: %s" % error, ""
    lines = ended.stdout.strip().splitlines()
    if ended.returncode or ended.timed_out or not lines:
        return "does not run: %s" % (ended.stderr.strip()[-200:] or "exit status %d" % ended.returncode), ""
    first = lines[0].strip()
    return "", first[len(name) :].strip() if first.startswith(name) else first


def _listed(names: Iterable[str]) -> str:
    return ", ".join("`%s`" % name for name in names)
