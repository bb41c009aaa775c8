"""Which of Debian's packages an upgrade, a removal or a mending would touch; asks apt-get, changes nothing."""

from __future__ import annotations

from typing import List, Sequence

from . import packages
from .system import System

__all__ = ["outdated", "touched"]


def outdated(system: System, names: Sequence[str], words: Sequence[str]) -> List[str]:
    """Of installed packages, those of which the lists have a newer version; `words` are further options of apt-get."""
    if not names:
        return []
    found = packages.simulated(system, ["install", "--only-upgrade", *words, "--", *names])["Inst"]
    return [name for name in names if name.partition("=")[0] in found]


def touched(system: System, words: Sequence[str]) -> List[str]:
    """The packages that apt-get would install or remove, or the files of packages that it would delete."""
    found = packages.simulated(system, words)
    return [*found["Inst"], *found["Remv"], *found["Del"]]
