"""Times of files as Ansible's `file` states them: `now`, `preserve`, or text in a form."""

from __future__ import annotations

import os
from typing import Any, List, Optional

__all__ = ["FORMAT", "check", "set_on", "wanted"]

FORMAT = "%Y%m%d%H%M.%S"


def check(text: Optional[str], form: str) -> None:
    """ValueError for what is no time in that form."""
    wanted(text, form, None)


def wanted(text: Optional[str], form: str, default: Optional[str]) -> Any:
    """Seconds since the epoch, `now`, or None for a time that stays; ValueError for what is no time."""
    if text is None:
        return default
    if text in ("now", "preserve"):
        return "now" if text == "now" else None
    import time

    try:
        return time.mktime(time.strptime(text, form))
    except ValueError:
        raise ValueError("the time %r is none of the form %s, `now` or `preserve`" % (text, form)) from None


def set_on(path: str, times: List[Any]) -> None:
    """Set the times of access and modification of a path; None keeps one."""
    import time

    found, now = os.stat(path), time.time_ns()
    kept = (found.st_atime_ns, found.st_mtime_ns)
    told = [old if one is None else now if one == "now" else int(one * 1e9) for one, old in zip(times, kept)]
    os.utime(path, ns=(told[0], told[1]))
