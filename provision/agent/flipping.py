"""Sets an environment's link, by one rename.

Must be called with the environment's lock held; must never replace a directory without an exchange that keeps it.
"""

from __future__ import annotations

import os
import time

from . import files, generations
from .generations import Generation
from .resource import Refusal
from .system import System

__all__ = ["flip"]


def flip(system: System, root: str, name: str, wanted: Generation, *, takeover: bool = False) -> str:
    """Make `wanted` serve; where a directory was exchanged, its new path, else "".

    When it began to serve is written first: a kill in between leaves the old one serving, and says nothing wrong.
    """
    generations.write_note(system, wanted.path, "served.json", time.time_ns())
    link = generations.link_path(root, name)
    target = os.path.relpath(wanted.path, os.path.dirname(link))
    _remove_left(link, target)
    if os.path.isdir(link) and not os.path.islink(link):
        return _exchange(system, name, link, target, takeover)
    system.link(link, target)
    return ""


def _exchange(system: System, name: str, link: str, target: str, takeover: bool) -> str:
    """Put the link where the directory is, and the directory beside it, in one step of the kernel."""
    if not takeover:
        raise Refusal("`%s` is a real directory" % link, "a link never replaces data", "set `takeover: true`")
    kept = _free_name(link, target)
    if not os.path.islink(kept):
        os.symlink(target, kept)
    try:
        exchanged = system.exchange(kept, link)
    finally:
        if os.path.islink(kept):
            os.unlink(kept)
    if not exchanged:
        raise Refusal(
            "cannot exchange `%s` for environment `%s`" % (link, name),
            "its file system cannot exchange two paths in one step",
            "move the directory away by hand and run again",
        )
    files.sync_folder(link)
    return kept


def _free_name(link: str, target: str) -> str:
    """`LINK.before`, or with a number behind it: nothing that is there is replaced.

    A link there to a generation beside the wanted one is what a kill before the exchange left.
    """
    names = [link + ".before", *("%s.before-%d" % (link, number) for number in range(2, 1000))]
    free = next(name for name in names if not os.path.lexists(name) or _is_left(name, target))
    if os.path.islink(free) and os.readlink(free) != target:
        os.unlink(free)
    return free


def _remove_left(link: str, target: str) -> None:
    """Links beside the environment's that a flip left which was killed: conda would list them."""
    folder = os.path.dirname(link)
    for name in os.listdir(folder):
        if name.startswith(files.ASIDE) and _is_left(os.path.join(folder, name), target):
            os.unlink(os.path.join(folder, name))


def _is_left(path: str, target: str) -> bool:
    return os.path.islink(path) and os.path.dirname(os.readlink(path)) == os.path.dirname(target)
