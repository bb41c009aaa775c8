"""What is known of a path, with Ansible's names of fields; changes nothing."""

from __future__ import annotations

import os
import stat
from dataclasses import field
from typing import Any, Dict, List, Optional

from ..record import record
from ..resource import Action, Emit
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]

_ALGORITHMS = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")


@record(frozen=True)
class Spec:
    """The path to look at; `register` keeps the answer in `stat`.

    - stat:
        path: /data/models
      register: models
    """

    path: str
    follow: bool = False
    get_checksum: bool = True
    checksum_algorithm: str = "sha1"
    get_mime: bool = False
    get_attributes: bool = False

    def __post_init__(self) -> None:
        if not self.path.startswith("/"):
            raise ValueError("path %r is no absolute path" % self.path)
        if self.get_mime or self.get_attributes:
            raise ValueError("`get_mime` and `get_attributes` can only be false: no program is started for a look")
        if self.checksum_algorithm not in _ALGORITHMS:
            raise ValueError("checksum_algorithm is one of %s" % ", ".join(_ALGORITHMS))


@record(frozen=True)
class State:
    stat: Dict[str, Any] = field(default_factory=dict)


def observe(spec: Spec, system: System) -> State:
    """Ask the file system."""
    try:
        found = os.stat(spec.path) if spec.follow else os.lstat(spec.path)
    except (FileNotFoundError, NotADirectoryError):
        return State({"exists": False})
    values = {"exists": True, "path": spec.path, **_numbers(found), **_kinds(found.st_mode), **_bits(found.st_mode)}
    values.update(_names(found.st_uid, found.st_gid), **_access(spec.path))
    if stat.S_ISLNK(found.st_mode):
        values.update(lnk_source=os.path.realpath(spec.path), lnk_target=os.readlink(spec.path))
    if stat.S_ISREG(found.st_mode) and spec.get_checksum and values["readable"]:
        values["checksum"] = _checksum(spec.path, spec.checksum_algorithm)
    return State(values)


def decide(spec: Spec, state: State) -> List[Action]:
    """Nothing, ever."""
    return []


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """There is nothing to apply."""
    return {}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`stat`, with `exists` and, where it does, the rest."""
    return {"stat": state.stat}


def _numbers(found: os.stat_result) -> Dict[str, Any]:
    return {
        "mode": "%04o" % stat.S_IMODE(found.st_mode),
        "uid": found.st_uid,
        "gid": found.st_gid,
        "size": found.st_size,
        "inode": found.st_ino,
        "dev": found.st_dev,
        "nlink": found.st_nlink,
        "atime": found.st_atime,
        "mtime": found.st_mtime,
        "ctime": found.st_ctime,
    }


def _kinds(mode: int) -> Dict[str, bool]:
    return {
        "isdir": stat.S_ISDIR(mode),
        "isreg": stat.S_ISREG(mode),
        "islnk": stat.S_ISLNK(mode),
        "ischr": stat.S_ISCHR(mode),
        "isblk": stat.S_ISBLK(mode),
        "isfifo": stat.S_ISFIFO(mode),
        "issock": stat.S_ISSOCK(mode),
    }


def _bits(mode: int) -> Dict[str, bool]:
    names = {"isuid": stat.S_ISUID, "isgid": stat.S_ISGID}
    for who in ("usr", "grp", "oth"):
        for right in "rwx":
            names[right + who] = getattr(stat, "S_I%s%s" % (right.upper(), who.upper()))
    return {name: bool(mode & bit) for name, bit in names.items()}


def _names(uid: int, gid: int) -> Dict[str, Optional[str]]:
    import grp
    import pwd

    found: Dict[str, Optional[str]] = {"pw_name": None, "gr_name": None}
    try:
        found["pw_name"] = pwd.getpwuid(uid).pw_name
    except KeyError:
        pass
    try:
        found["gr_name"] = grp.getgrgid(gid).gr_name
    except KeyError:
        pass
    return found


def _access(path: str) -> Dict[str, bool]:
    rights = {"readable": os.R_OK, "writeable": os.W_OK, "executable": os.X_OK}
    return {name: os.access(path, right) for name, right in rights.items()}


def _checksum(path: str, algorithm: str) -> str:
    import hashlib

    digest = hashlib.new(algorithm)
    with open(path, "rb") as stream:
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()
