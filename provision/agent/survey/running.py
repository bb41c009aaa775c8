"""Processes as /proc shows them: what they run, where, as whom, on which ports. Signals and starts none.

`proc` is where /proc is, so that tests can make one up.
"""

from __future__ import annotations

import os
from typing import Dict, Iterable, List, Optional, Set, Tuple

__all__ = [
    "argv",
    "contained",
    "directory",
    "environment",
    "listening",
    "main_of",
    "normal",
    "parent",
    "pids",
    "prefix_of",
    "program",
    "user",
]

_LISTEN = "0A"


def pids(proc: str = "/proc") -> List[int]:
    """All processes."""
    return sorted(int(entry) for entry in os.listdir(proc) if entry.isdigit())


def argv(pid: int, proc: str = "/proc") -> List[str]:
    """The words that a process was started with; [] where it is gone or of the kernel."""
    text = _read("%s/%d/cmdline" % (proc, pid)).decode("utf-8", "surrogateescape")
    return text[:-1].split("\0") if text.endswith("\0") else text.split("\0") if text else []


def environment(pid: int, proc: str = "/proc") -> Dict[str, str]:
    """The variables that a process was started with."""
    text = _read("%s/%d/environ" % (proc, pid)).decode("utf-8", "surrogateescape")
    return {name: value for name, sign, value in (entry.partition("=") for entry in text.split("\0")) if sign}


def program(pid: int, proc: str = "/proc") -> str:
    """The file that a process executes, "" where that is hidden; ` (deleted)` stays at its end."""
    return _link("%s/%d/exe" % (proc, pid))


def directory(pid: int, proc: str = "/proc") -> str:
    """The working directory of a process, "" where it is hidden."""
    return _link("%s/%d/cwd" % (proc, pid))


def contained(pid: int, proc: str = "/proc") -> bool:
    """Whether a process sees another file system than we do: it runs in a container."""
    own, other = _link("%s/self/ns/mnt" % proc), _link("%s/%d/ns/mnt" % (proc, pid))
    return bool(own and other) and own != other


def parent(pid: int, proc: str = "/proc") -> int:
    """The process that a process belongs to, 0 for none."""
    fields = _read("%s/%d/stat" % (proc, pid)).rpartition(b")")[2].split()
    return int(fields[1]) if len(fields) > 1 else 0


def user(pid: int, proc: str = "/proc") -> str:
    """The name of the user that a process runs as; its number where no name is known, "" where it is gone."""
    import pwd

    for line in _read("%s/%d/status" % (proc, pid)).decode("utf-8", "replace").splitlines():
        if line.startswith("Uid:"):
            number = int(line.split()[2])
            try:
                return pwd.getpwuid(number).pw_name
            except KeyError:
                return str(number)
    return ""


def prefix_of(path: str) -> Optional[str]:
    """The conda prefix whose program this is, or None."""
    folder = os.path.dirname(path)
    if os.path.basename(folder) != "bin" or not os.path.isdir(os.path.join(os.path.dirname(folder), "conda-meta")):
        return None
    return os.path.dirname(folder)


def main_of(pid: int, proc: str = "/proc") -> int:
    """The first process of those that belong together: up from a worker, as long as the same prefix runs the parent."""
    prefix = prefix_of(program(pid, proc))
    above = parent(pid, proc)
    while prefix and above > 1 and prefix_of(program(above, proc)) == prefix:
        pid, above = above, parent(above, proc)
    return pid


def normal(words: Iterable[str], prefix: str) -> List[str]:
    """A command as one writes it for an environment: programs of the prefix by their name alone.

    `[PREFIX/bin/python3.11, PREFIX/bin/uvicorn, main:app]` is `[uvicorn, main:app]`.
    """
    found = list(words)
    if not found:
        return found
    binaries = os.path.realpath(os.path.join(prefix, "bin"))

    def bare(word: str) -> str:
        folder = os.path.dirname(word)
        return os.path.basename(word) if os.path.isabs(folder) and os.path.realpath(folder) == binaries else word

    first = bare(found[0])
    if _is_python(first) and len(found) > 1 and bare(found[1]) != found[1]:
        return [bare(found[1]), *found[2:]]
    return ["python" if _is_python(first) else first, *found[1:]]


def _is_python(word: str) -> bool:
    return word == "python" or (word.startswith("python3") and word[7:].replace(".", "").isdigit()) or word == "python3"


def listening(proc: str = "/proc") -> Dict[int, List[Tuple[str, int]]]:
    """`(address in hex, port)` of the TCP sockets that each process listens on, by process."""
    sockets: Dict[str, Tuple[str, int]] = {}
    for table in ("tcp", "tcp6"):
        for line in _read("%s/net/%s" % (proc, table)).decode("ascii", "replace").splitlines()[1:]:
            words = line.split()
            if len(words) > 9 and words[3] == _LISTEN:
                address, _, port = words[1].partition(":")
                sockets["socket:[%s]" % words[9]] = (address, int(port, 16))
    found: Dict[int, List[Tuple[str, int]]] = {}
    for pid in pids(proc) if sockets else []:
        held = sorted({sockets[link] for link in _descriptors("%s/%d/fd" % (proc, pid)) if link in sockets})
        if held:
            found[pid] = held
    return found


def _descriptors(folder: str) -> Set[str]:
    try:
        return {_link(os.path.join(folder, entry)) for entry in os.listdir(folder)}
    except OSError:
        return set()


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return b""
