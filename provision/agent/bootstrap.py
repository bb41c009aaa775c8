"""The first words on a host: a text for the command line that any Python 3 can read; it starts the agent.

Must use only what Python 3.3 has, until the version was checked, and must read no byte more than its frames: the
rest of standard input belongs to the agent. Never imported; the control node sends its text without comments.
Arguments: marker, SHA-256 of the agent's archive, and the folder of state ("": the usual one).
"""

import gc
import os
import select
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, Dict, NoReturn, Optional, Union

    Table = Dict[str, Union[str, bytes]]

WAIT = 60
"""Seconds without a byte after which it gives up."""


def read(count: int) -> bytes:
    """Exactly `count` bytes of standard input; ends when there are no more."""
    data = b""
    while len(data) < count:
        if not select.select([0], [], [], WAIT)[0]:
            sys.exit(3)
        part = os.read(0, count - len(data))
        if not part:
            sys.exit(3)
        data += part
    return data


def frame() -> bytes:
    """The body of the next frame."""
    size = int.from_bytes(read(4), "big")
    if size > 1 << 20:
        fatal("protocol", "a frame of %d bytes is over the limit" % size, "", "")
    return read(size)


def say(before: bytes, message: object) -> None:
    """Write a message as a frame behind `before`."""
    import json

    body = json.dumps(message).encode()
    data = before + len(body).to_bytes(4, "big") + body
    while data:
        data = data[os.write(1, data) :]


def fatal(kind: str, summary: str, cause: str, hint: str) -> "NoReturn":
    """Say why the agent cannot start, and end."""
    say(b"", {"type": "fatal", "kind": kind, "summary": summary, "cause": cause, "hint": hint})
    sys.exit(3)


def usual_state() -> str:
    """The folder of state: that of the machine for root, else one in the user's home."""
    if os.geteuid() == 0:
        return "/var/lib/provision"
    return os.path.join(os.path.expanduser("~"), ".local", "state", "provision")


def trusted(folder: str) -> bool:
    """Whether only this user can write the folder."""
    import stat

    try:
        seen = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(seen.st_mode) and seen.st_uid == os.geteuid() and not seen.st_mode & 18


def digest(data: bytes) -> str:
    """SHA-256 in hex."""
    import hashlib

    return hashlib.sha256(data).hexdigest()


def kept(path: str, sha256: str) -> "Optional[bytes]":
    """The archive, if it is there and is what it is named after."""
    if not trusted(os.path.dirname(path)):
        return None
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return None
    return data if digest(data) == sha256 else None


def fetch() -> bytes:
    """The archive, from the chunks that the control node sends."""
    import zlib

    parts = []
    while True:
        body = frame()
        if body[:1] != b"\0":
            continue
        parts.append(body[34:])
        if body[1:2] == b"\1":
            return zlib.decompress(b"".join(parts))


def store(path: str, data: bytes) -> None:
    """Write the archive so that it is there whole or not at all."""
    folder = os.path.dirname(path)
    os.makedirs(os.path.dirname(folder), 0o755, exist_ok=True)
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        if not trusted(folder):
            raise OSError("others than its owner can write %s" % folder) from None
    aside = "%s.%d" % (path, os.getpid())
    if os.path.lexists(aside):
        os.unlink(aside)  # a killed start of the same number left it
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(aside, path)


class Modules:
    """Imports the agent from memory: so do workers whose user may not read the folder of state.

    A table of module names with source (text) or compiled code (bytes).
    """

    def __init__(self, table: "Table") -> None:
        self.table = table

    def find_spec(self, name: str, path: object = None, target: object = None) -> "Any":  # noqa: ARG002
        """The import system asks for a module."""
        if name not in self.table:
            return None
        package = any(other.startswith(name + ".") for other in self.table)
        return type(sys.__spec__)(name, self, origin=name, is_package=package)  # type: ignore[arg-type]

    def create_module(self, spec: object) -> None:  # noqa: ARG002
        """An ordinary one."""
        return

    def exec_module(self, module: "ModuleType") -> None:
        """Run a module's code."""
        text = self.table[module.__name__]
        if isinstance(text, bytes):
            import marshal

            code = marshal.loads(text)  # noqa: S302 - only its owner can write there
        else:
            code = compile(text, module.__name__, "exec", dont_inherit=True)
        exec(code, module.__dict__)  # noqa: S102


def table_of(data: bytes, compiled: str, have: bool) -> "Table":
    """The agent's modules: compiled where an earlier run left that, else from the archive."""
    import json

    if have:
        try:
            import marshal

            with open(compiled, "rb") as file:
                return dict(marshal.loads(file.read()))  # noqa: S302
        except (OSError, EOFError, ValueError, TypeError):
            pass
    return dict(json.loads(data.decode()))


def main(marker: str, sha256: str, state: str) -> None:
    """Boot frame, hello, archive where it is lacking, then the agent."""
    gc.disable()  # nothing of what a start makes is garbage
    version = sys.version_info
    state = state or usual_state()
    path = os.path.join(state, "agent", sha256)
    data = kept(path, sha256) if version >= (3, 8) else None
    python = [version[0], version[1], version[2]]
    say(marker.encode(), {"type": "boot", "python": python, "uid": os.geteuid(), "have": data is not None})
    if version < (3, 8):
        found = "%s is Python %d.%d" % (sys.executable, version[0], version[1])
        fatal("python", "Python 3.8 or newer is needed", found, "set `ansible_python_interpreter` to a newer one")
    import json

    hello = json.loads(frame().decode())
    hello["state"] = state
    have = data is not None
    if data is None:
        data = fetch()
        if digest(data) != sha256:
            fatal("protocol", "the agent did not arrive whole", "its SHA-256 is %s" % digest(data), "run again")
        try:
            store(path, data)
        except OSError as error:
            summary = "the agent cannot be stored in `%s`" % os.path.dirname(path)
            fatal("state", summary, str(error), "free its disk, or mount it writable")
    compiled = "%s.%s" % (path, sys.implementation.cache_tag)
    sys.meta_path.insert(0, Modules(table_of(data, compiled, have)))
    from provision_agent.__main__ import main as run  # type: ignore[import-not-found]

    os._exit(run(hello, path, compiled))  # tearing the interpreter down costs milliseconds and gains nothing


main(sys.argv[1], sys.argv[2], sys.argv[3])
