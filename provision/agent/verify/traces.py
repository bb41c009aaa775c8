"""When something was changed and by whom, as far as files and the host's journal tell; must not judge."""

from __future__ import annotations

import json
import os
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional

from ..system import System

__all__ = ["Traces", "changes", "journal", "of_files", "user_name"]

_LIMIT = 8 << 20


class Traces(NamedTuple):
    """`since`: seconds since the epoch, of the first change; `by`: the owners of what is there."""

    since: Optional[float]
    by: List[str]


def of_files(prefix: str, names: Iterable[str]) -> Traces:
    """Of files below a prefix. Their status tells, which no copying fakes; of a file that is gone, its folder's."""
    times, owners = [], set()
    for name in names:
        path = os.path.join(prefix, name.rstrip("/"))
        status = _status(path)
        if status is not None:
            owners.add(status.st_uid)
            times.append(status.st_ctime)
            continue
        above = _above(path, prefix)
        if above is not None:
            times.append(above.st_mtime)
    return Traces(min(times, default=None), sorted(user_name(uid) for uid in owners))


def journal(system: System, wanted: Callable[[Dict[str, Any]], bool]) -> Dict[str, Any]:
    """The last line of the host's list of changes that is wanted; empty where there is none."""
    last: Dict[str, Any] = next((line for line in reversed(list(changes(system))) if wanted(line)), {})
    return {key: last[key] for key in ("time", "run", "operator", "step") if key in last}


def changes(system: System) -> Iterator[Dict[str, Any]]:
    """The host's list of changes, the oldest first; a line that is cut or garbled is left out."""
    for name in ("changes.1", "changes"):
        try:
            data = system.read(os.path.join(system.state_directory, "journal", name), _LIMIT)
        except OSError:
            continue
        for text in data.splitlines():
            try:
                line = json.loads(text.decode())
            except ValueError:
                continue
            if isinstance(line, dict):
                yield line


def user_name(uid: int) -> str:
    """The name of a user, or the number of one that has none."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _above(path: str, prefix: str) -> Optional[os.stat_result]:
    """The status of the nearest folder that is still there."""
    while len(path) > len(prefix):
        path = os.path.dirname(path)
        status = _status(path)
        if status is not None:
            return status
    return None


def _status(path: str) -> Optional[os.stat_result]:
    try:
        return os.lstat(path)
    except OSError:
        return None
