"""What a recorded trace of system calls says of files: parsed, and held to the one order that survives a power cut.

write, mode and owner, fsync of the file, rename, fsync of the folder. Must not run anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

__all__ = ["CALLS", "Call", "calls", "problems"]

CALLS = (
    "open,openat,creat,write,writev,pwrite64,sendfile,copy_file_range,fchmod,chmod,fchmodat,fchown,chown,lchown,fchownat,"
    "fsync,fdatasync,syncfs,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,rmdir,mkdir,mkdirat,"
    "truncate,ftruncate"
)
"""What strace is to record (`-f -y -s 0` beside)."""
_LINE = re.compile(r"^(?:(\d+) +)?(\w+)\((.*)\) += (-?\d+)")
_UNFINISHED = re.compile(r"^(\d+) +(.*) <unfinished \.\.\.>$")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. \w+ resumed>(.*)$")
_WORD = re.compile(r'(?:AT_FDCWD|-?\d+)(?:<([^>]*)>)?|"((?:[^"\\]|\\.)*)"(?:\.\.\.)?|[A-Z_|0-9x]+')
_PAIR = re.compile(r'(?:(AT_FDCWD|\d+)(?:<([^>]*)>)?, )?"((?:[^"\\]|\\.)*)"')
_FIRST = re.compile(r"^\d+<([^>]*)>")


@dataclass(frozen=True)
class Call:
    """One call that succeeded: `kind`, the path that it is about, for a rename or link also its new path."""

    kind: str
    path: str
    new: str = ""
    flags: frozenset[str] = frozenset()


def calls(trace: str) -> Iterator[Call]:
    """The calls of a trace that strace wrote with `-f -y`, those that failed left out."""
    begun: dict[str, str] = {}
    for line in trace.splitlines():
        if unfinished := _UNFINISHED.match(line):
            begun[unfinished[1]] = unfinished[2]
            continue
        if resumed := _RESUMED.match(line):
            line = f"{resumed[1]} {begun.pop(resumed[1], '')}{resumed[2]}"
        found = _LINE.match(line)
        if found and int(found[4]) >= 0 and (call := _call(found[2], found[3])):
            yield call


def problems(found: Iterable[Call], below: str, appended: tuple[str, ...] = ()) -> list[str]:
    """What is not in order for the paths below a folder; `appended` are files that are written in place by right."""
    order = _Order(below.rstrip("/") + "/", appended)
    for call in found:
        order.take(call)
    owed = [f"`{name}` changed, and its folder is never synced" for name in order.owed.values()]
    left = [f"`{path}` is written and never gets its name" for path in order.made]
    return [*order.told, *owed, *left]


@dataclass
class _Made:
    """A new file without its name: whether its content is on the disk, and what was set."""

    synced: bool = False
    was_set: set[str] = field(default_factory=set)


@dataclass
class _Order:
    below: str
    appended: tuple[str, ...]
    told: list[str] = field(default_factory=list)
    made: dict[str, _Made] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    owed: dict[str, str] = field(default_factory=dict)
    """By folder that is to be synced, what changed in it."""

    def take(self, call: Call) -> None:
        if call.kind == "sync":
            self._synced(call.path)
        elif call.kind == "syncfs":
            self.owed.clear()
            for made in self.made.values():
                made.synced = True
        elif (call.new or call.path).startswith(self.below) and call.path not in self.appended:
            getattr(self, f"_{call.kind}")(call)

    def _synced(self, path: str) -> None:
        if path in self.made:
            self.made[path].synced = True
        self.owed.pop(path, None)

    def _open(self, call: Call) -> None:
        if not call.flags & {"O_WRONLY", "O_RDWR"}:
            return
        if "O_EXCL" in call.flags:
            self.made[call.path] = _Made()
        elif call.path not in self.made:
            self.told.append(f"`{call.path}` is opened to be written in place")

    def _write(self, call: Call) -> None:
        if call.path in self.made:
            self.made[call.path].synced = False
        elif "O_APPEND" not in call.flags:
            self.told.append(f"`{call.path}` is written in place")

    def _mode(self, call: Call) -> None:
        self._attribute(call, "mode")

    def _owner(self, call: Call) -> None:
        self._attribute(call, "owner")

    def _attribute(self, call: Call, noun: str) -> None:
        if call.path in self.made:
            self.made[call.path].synced = False
            self.made[call.path].was_set.add(noun)
        elif call.path in self.named:
            self.told.append(f"`{call.path}` gets its {noun} after its name")

    def _rename(self, call: Call) -> None:
        self._takes_name(call)
        self.owed[_folder(call.new)] = call.new
        if "RENAME_EXCHANGE" not in call.flags and _folder(call.path) != _folder(call.new):
            self.owed[_folder(call.path)] = call.path

    def _link(self, call: Call) -> None:
        self._takes_name(call)
        self.owed[_folder(call.new)] = call.new

    def _takes_name(self, call: Call) -> None:
        made = self.made.pop(call.path, None)
        if made is None:
            return
        if not made.synced:
            self.told.append(f"`{call.new}` gets its name before its content is on the disk")
        self.told += [f"`{call.new}` gets its name before its {n}" for n in ("mode", "owner") if n not in made.was_set]
        self.named.add(call.new)

    def _enters(self, call: Call) -> None:
        self.owed[_folder(call.path)] = call.path

    def _leaves(self, call: Call) -> None:
        self.named.discard(call.path)
        if self.made.pop(call.path, None) is None:
            self.owed[_folder(call.path)] = call.path


_KINDS = {
    **dict.fromkeys(("open", "openat", "creat"), "open"),
    **dict.fromkeys(("write", "writev", "pwrite64", "sendfile", "copy_file_range", "truncate", "ftruncate"), "write"),
    **dict.fromkeys(("fchmod", "chmod", "fchmodat"), "mode"),
    **dict.fromkeys(("fchown", "chown", "lchown", "fchownat"), "owner"),
    **dict.fromkeys(("fsync", "fdatasync"), "sync"),
    **dict.fromkeys(("rename", "renameat", "renameat2"), "rename"),
    **dict.fromkeys(("link", "linkat"), "link"),
    **dict.fromkeys(("symlink", "symlinkat", "mkdir", "mkdirat"), "enters"),
    **dict.fromkeys(("unlink", "unlinkat", "rmdir"), "leaves"),
    "syncfs": "syncfs",
}


_BY_DESCRIPTOR = (
    *("write", "writev", "pwrite64", "sendfile", "ftruncate"),
    *("fchmod", "fchown", "fsync", "fdatasync", "syncfs"),
)


def _call(name: str, said: str) -> Call | None:
    kind = _KINDS.get(name)
    if kind is None:
        return None
    flags = frozenset(re.findall(r"\b(?:O|RENAME|AT)_[A-Z_]+\b", re.sub(r'"[^"]*"|<[^>]*>', "", said)))
    if name == "creat":
        flags |= {"O_WRONLY"}
    descriptor = _FIRST.match(said)
    if descriptor and name in _BY_DESCRIPTOR:
        return Call(kind, descriptor[1], "", flags)
    if name == "copy_file_range":
        return Call(kind, re.findall(r"\d+<([^>]*)>", said)[1], "", flags)
    paths = [_joined(folder, path) for _, folder, path in _PAIR.findall(said)]
    if name in ("symlink", "symlinkat"):
        paths = paths[1:]
    if not paths:
        return None
    return Call(kind, paths[0], paths[1] if len(paths) > 1 else "", flags)


def _joined(folder: str, path: str) -> str:
    return str(PurePosixPath(folder or "/", path))


def _folder(path: str) -> str:
    return str(PurePosixPath(path).parent)
