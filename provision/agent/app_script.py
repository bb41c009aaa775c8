"""Where an app's start script is written: over none that people wrote, and into no folder that others lead root to.

Must not know what the script says (scripts.py does).
"""

from __future__ import annotations

import os
import stat
from typing import Optional

from . import unit_text
from .resource import Refusal
from .system import System

__all__ = ["need_own", "ours", "write"]


def ours(text: Optional[str]) -> bool:
    """Whether a script that is there was made by provision."""
    return text is not None and unit_text.MADE_BY in text


def need_own(name: str, path: str, text: Optional[str]) -> None:
    """Refusal where people have a script of that name: nobody wrote its path down, so nobody expects it to go."""
    if text is not None and not ours(text):
        raise Refusal(
            "app `%s` cannot have its start script" % name,
            "`%s` is there, and provision did not make it" % path,
            "move it away, or give the app a `script_directory`",
        )


def write(path: str, data: bytes, system: System) -> None:
    """Write into the very folder that was looked at; Refusal where it is a link that somebody but root made.

    The folder is mostly the app's user's: a link there to /etc/profile.d would have root run what that user says.
    """
    folder, flags = os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    status = system.lstat(folder)
    if status is None or (stat.S_ISLNK(status.st_mode) and status.st_uid not in (0, os.geteuid())):
        raise Refusal(
            "cannot write `%s`" % path,
            "`%s` is a link that somebody but root made" % folder,
            "make it a directory, or give the app a `script_directory`",
        )
    descriptor = os.open(folder, flags if stat.S_ISLNK(status.st_mode) else flags | os.O_NOFOLLOW)
    try:
        inside = "/proc/self/fd/%d/%s" % (descriptor, os.path.basename(path))
        system.write(inside, data, mode=0o755, uid=0, gid=0)
    finally:
        os.close(descriptor)
