"""Mode, owner and group of one path: what is wanted, what differs, and setting it. Must not touch content."""

from __future__ import annotations

import os
import stat
from typing import Any, Dict, List, Optional, Tuple

from . import modes
from .record import record
from .resource import Action, Verb
from .system import System

__all__ = ["Attributes", "actions", "check", "look", "names", "resolved", "set_on", "wanted"]


@record(frozen=True)
class Attributes:
    """Numbers; -1 stands for none wanted, or for what is not known."""

    mode: int = -1
    uid: int = -1
    gid: int = -1


def check(mode: Optional[str]) -> None:
    """ValueError for what is no mode."""
    if mode is not None:
        modes.parse_mode(mode)


def look(path: str, system: System) -> Optional[Attributes]:
    """Those of the path itself, None where there is nothing."""
    found = system.lstat(path)
    return None if found is None else Attributes(stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)


def resolved(owner: Optional[str], group: Optional[str], system: System) -> Attributes:
    """Names as numbers; Refusal for an unknown one, unless an earlier step of this check would make it."""
    uid = -1 if owner is None or "user %s" % owner in system.pending else system.user_id(owner)
    made = {"group %s" % group, "user %s" % group} & system.pending
    return Attributes(uid=uid, gid=-1 if group is None or made else system.group_id(group))


def wanted(
    mode: Optional[str], ids: Attributes, now: Optional[Attributes], default: int, folder: bool = False
) -> Attributes:
    """What the path is to have: what is asked for, else what it has, else `default` and the process's own."""
    base = default if now is None else now.mode
    number = base if mode is None else modes.parse_mode(mode, base, folder)
    kept = now or Attributes()
    return Attributes(number, kept.uid if ids.uid == -1 else ids.uid, kept.gid if ids.gid == -1 else ids.gid)


def actions(path: str, now: Attributes, then: Attributes) -> List[Action]:
    """Nothing, or the one action that sets them."""
    rows = [("mode", "0%o" % now.mode, "0%o" % then.mode, then.mode not in (-1, now.mode))]
    rows.append(("owner", str(now.uid), str(then.uid), then.uid not in (-1, now.uid)))
    rows.append(("group", str(now.gid), str(then.gid), then.gid not in (-1, now.gid)))
    changed = [row for row in rows if row[3]]
    if not changed:
        return []
    before = "".join("%s: %s\n" % (word, old) for word, old, _, _ in changed)
    after = "".join("%s: %s\n" % (word, new) for word, _, new, _ in changed)
    arguments = {"do": "attributes", "mode": then.mode, "uid": then.uid, "gid": then.gid}
    return [Action(Verb.CHANGE, path, arguments, before, after)]


def names(uid: int, gid: int) -> Dict[str, str]:
    """`owner` and `group`, each where the number has a name; kept, as many paths have the same."""
    import grp
    import pwd

    asked = (("owner", uid, pwd.getpwuid), ("group", gid, grp.getgrgid))
    for word, number, look_up in asked:
        if (word, number) not in _NAMES:
            try:
                _NAMES[word, number] = look_up(number)[0]
            except KeyError:
                pass
    return {word: _NAMES[word, number] for word, number, _ in asked if (word, number) in _NAMES}


_NAMES: Dict[Tuple[str, int], str] = {}


def set_on(path: str, arguments: Dict[str, Any], system: System) -> None:
    """Set those of an action's arguments; owner first, since changing it clears set-user-id bits."""
    if arguments["uid"] != -1 or arguments["gid"] != -1:
        system.chown(path, arguments["uid"], arguments["gid"])
    if arguments["mode"] != -1 and not os.path.islink(path):
        system.chmod(path, arguments["mode"])
