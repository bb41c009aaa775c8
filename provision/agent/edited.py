"""A text file that a step edits: what is there, and its replacement in one instant, kept aside and checked if asked.

Must not decide what the text should be. Bytes that are no UTF-8 survive.
"""

from __future__ import annotations

import os
import stat
from typing import Any, Dict, List, Optional

from . import attributes, files
from .attributes import Attributes
from .record import record
from .resource import Action, Refusal, Verb
from .system import System

__all__ = ["Edited", "actions", "backup", "check_validate", "lines_of", "look", "remove", "validated", "write"]

_CHECKING = 120.0


@record(frozen=True)
class Edited:
    """A file at the end of links. `text` is None where there is none; `pending`: an earlier step of this check would
    make it. `owner_id` and `group_id` are the wanted ones, -1 for none."""

    path: str
    text: Optional[str] = None
    pending: bool = False
    mode: int = 0o644
    uid: int = -1
    gid: int = -1
    owner_id: int = -1
    group_id: int = -1


def look(path: str, system: System, owner: Optional[str] = None, group: Optional[str] = None) -> Edited:
    """Read the file; Refusal where something else is at its place, and for an unknown owner or group."""
    real = os.path.realpath(path)
    ids = attributes.resolved(owner, group, system)
    found = system.lstat(real)
    if found is None:
        return Edited(real, pending=real in system.pending, owner_id=ids.uid, group_id=ids.gid)
    if not stat.S_ISREG(found.st_mode):
        what = "a directory" if stat.S_ISDIR(found.st_mode) else "a device, socket or pipe"
        raise Refusal("cannot edit `%s`" % path, "it is %s" % what, "choose another path")
    mode = stat.S_IMODE(found.st_mode)
    return Edited(real, system.read_text(real), False, mode, found.st_uid, found.st_gid, ids.uid, ids.gid)


def lines_of(text: str) -> List[str]:
    """Lines with their ends; only a line feed ends one."""
    lines = [line + "\n" for line in text.split("\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def check_validate(validate: Optional[str]) -> None:
    """ValueError for a `validate` without a place for the file."""
    if validate is not None and "%s" not in validate:
        raise ValueError("validate holds `%s`, where the file's path goes")


def actions(
    state: Edited,
    text: Optional[str],
    *,
    mode: Optional[str] = None,
    default: int = 0o644,
    keep: bool = False,
    validate: Optional[str] = None,
) -> List[Action]:
    """Nothing, the file with another text (None: as it is), or the file with other attributes.

    `keep`: what is replaced is kept beside it. `validate`: a command that must succeed for the new file first.
    """
    there = state.text is not None
    now = Attributes(state.mode, state.uid, state.gid) if there else None
    then = attributes.wanted(mode, Attributes(uid=state.owner_id, gid=state.group_id), now, default)
    if text is None or text == state.text:
        return attributes.actions(state.path, now, then) if now else []
    arguments = {"do": "write", "text": text, "was": state.text, "mode": then.mode, "uid": then.uid, "gid": then.gid}
    arguments.update(backup=keep and there, validate=validate)
    return [Action(Verb.CHANGE if there else Verb.CREATE, state.path, arguments, state.text, text)]


def write(action: Action, system: System) -> Dict[str, Any]:
    """Do one of these actions; `backup_file` where something was kept.

    Refusal when the new file is found wanting, and when the old one is no longer what it was.
    """
    path, arguments = action.target, action.arguments
    if arguments["do"] == "attributes":
        attributes.set_on(path, arguments, system)
        return {}
    data = arguments["text"].encode("utf-8", "surrogateescape")
    seen = _mark(path, arguments["was"], system)
    if arguments["validate"]:
        validated(path, data, arguments["validate"], system)
    kept = {"backup_file": backup(path, system)} if arguments["backup"] else {}
    if not os.path.isdir(os.path.dirname(path)):
        system.mkdir(os.path.dirname(path))
    system.write(path, data, mode=arguments["mode"], uid=arguments["uid"], gid=arguments["gid"], was=seen)
    return kept


def remove(path: str, text: Optional[str], system: System) -> None:
    """Remove the file, durably; Refusal where that is no longer its text."""
    system.unlink(path, _mark(path, text, system))


def _mark(path: str, text: Optional[str], system: System) -> files.Mark:
    """The mark of the file with that text; of no file where another is there, so that nothing is replaced by it."""
    seen = files.mark(path)
    return seen if seen and text is not None and system.read_text(path) == text else files.NOTHING


def backup(path: str, system: System) -> str:
    """Keep a copy of a file beside it, with its mode and owner; where that is."""
    import time

    found, data, moment = os.lstat(path), system.read(path), time.time()
    owner = {"mode": stat.S_IMODE(found.st_mode), "uid": found.st_uid, "gid": found.st_gid}
    while True:
        aside = "%s.%d.%s~" % (path, os.getpid(), time.strftime("%Y-%m-%d@%H:%M:%S", time.localtime(moment)))
        if not os.path.lexists(aside):
            system.write(aside, data, was=files.NOTHING, **owner)
            return aside
        moment += 1  # another backup of this second, which stays


def validated(path: str, data: bytes, command: str, system: System) -> None:
    """Refusal where the command, with a file of that content for `%s`, does not succeed."""
    import shlex

    folder = system.scratch()
    try:
        file = os.path.join(folder, os.path.basename(path))
        system.write(file, data, mode=0o600)
        words = [word.replace("%s", file) for word in shlex.split(command)]
        try:
            done = system.run(words, timeout=_CHECKING)
        except FileNotFoundError:
            raise Refusal(
                "cannot run `%s`" % words[0], "there is no such program on this host", "install it first"
            ) from None
    finally:
        system.clear_scratch(folder)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-2000:]
        why = "it did not end within %g s" % _CHECKING if done.timed_out else said
        raise Refusal(
            "`%s` would not be valid" % path,
            "`%s` says: %s" % (words[0], why.replace(file, path)),
            "correct what the task writes; the file is as it was",
        )
