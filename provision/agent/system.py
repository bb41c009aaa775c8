"""The only access of resources to the operating system: run, read, write, stat; so that tests can replace it.

Must not decide anything. Writes are atomic (`files.py`), commands have a deadline (`spawn.py`).
"""

from __future__ import annotations

import os
from dataclasses import field
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Set, Tuple, TypeVar

from . import files
from .record import record
from .resource import Emit, Refusal
from .spawn import CLEAN_PATH, Cancelled, Completed, Watch
from .spawn import run as run_command

__all__ = ["CLEAN_PATH", "Cancelled", "Completed", "System"]

T = TypeVar("T")


@record
class System:
    """The host as one worker sees it.

    `blob(sha256)` gives the path of a local file with that content, asked of the control node where the host lacks
    it. `environment` are the variables of the step, `trust` its certificate authorities (`trust.py`). `pending` holds,
    in check mode, the paths that earlier steps of this run would change, so that later steps can predict what follows.
    `answers` holds what was asked for many steps at once (`questions`), forgotten after any action. `notes` is for
    what steps of one run tell each other (for example the generation that an environment was built into); what is
    JSON there reaches other users' steps. `watch` is what commands are bound to.
    """

    blob: Callable[[str], str]
    environment: Dict[str, str] = field(default_factory=dict)
    check: bool = False
    depth: str = "seal"
    facts: Dict[str, Any] = field(default_factory=dict)
    pending: Set[str] = field(default_factory=set)
    answers: Dict[Tuple[str, str], Any] = field(default_factory=dict)
    notes: Dict[str, Any] = field(default_factory=dict)
    state_directory: str = "/var/lib/provision"
    watch: Watch = field(default_factory=Watch)
    trust: Optional[str] = None

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        stdin: bytes = b"",
        environment: Optional[Dict[str, str]] = None,
        directory: Optional[str] = None,
        user: Optional[str] = None,
        emit: Optional[Emit] = None,
        limit: int = 1 << 20,
    ) -> Completed:
        """Run a command in a session of its own to its end, or to its deadline in seconds, when its group is killed.

        It gets PATH, LANG, HOME, the step's variables and `environment`. `user`: run as somebody else (root only).
        Each stream keeps at most `limit` bytes, of its start and its end. Raises FileNotFoundError when the program
        is absent, Refusal when the user is, and Cancelled.
        """
        identity = _identity(user) if user is not None else None
        variables = {"PATH": CLEAN_PATH, "LANG": "C.UTF-8", "HOME": self.user_home(user)}
        variables.update(self.environment)
        variables.update(environment or {})
        return run_command(
            argv,
            timeout=timeout,
            environment=variables,
            stdin=stdin,
            directory=directory,
            identity=identity,
            emit=emit,
            limit=limit,
            watch=self.watch,
        )

    def within(self, seconds: float, function: Callable[[], T]) -> T:
        """The function's result, computed in a child that is given up at the deadline; raises TimeoutError.

        For whatever may hang in the kernel, like a look at a stale mount. What the function raises is raised here.
        """
        from .forked import within

        self.watch.flush()
        return within(seconds, function)

    def read(self, path: str, limit: Optional[int] = None) -> bytes:
        """The file's bytes, at most `limit` of them; FileNotFoundError passes."""
        with open(path, "rb") as file:
            return file.read() if limit is None else file.read(limit)

    def read_text(self, path: str) -> str:
        """The file as UTF-8; bytes that are none survive being encoded with surrogateescape."""
        return self.read(path).decode("utf-8", "surrogateescape")

    def lstat(self, path: str) -> Optional[os.stat_result]:
        """What is at the path itself, or None."""
        try:
            return os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def stat(self, path: str) -> Optional[os.stat_result]:
        """What the path leads to, or None."""
        try:
            return os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def exists(self, path: str) -> bool:
        """Whether the path leads to anything."""
        return self.stat(path) is not None

    def readlink(self, path: str) -> str:
        """What the link says; OSError when the path is none."""
        return os.readlink(path)

    def listdir(self, path: str) -> List[str]:
        """Names in a folder, sorted; FileNotFoundError passes."""
        return sorted(os.listdir(path))

    def sha256(self, path: str) -> str:
        """SHA-256 of the file, in hex; FileNotFoundError passes."""
        import hashlib

        digest = hashlib.sha256()
        with open(path, "rb", buffering=0, opener=_unnoticed) as file:
            chunk = file.read(1 << 20)
            while chunk:
                self.watch.flush()
                digest.update(chunk)
                chunk = file.read(1 << 20)
        return digest.hexdigest()

    def write(
        self, path: str, data: bytes, *, mode: int, uid: int = -1, gid: int = -1, was: Optional[files.Mark] = None
    ) -> None:
        """Replace or create the file in one instant; -1 keeps the owner of what is replaced.

        `was`: the mark of what may be replaced (`files.NOTHING`: nothing is there); Refusal where it is another by now.
        """
        files.write(path, data, mode, uid, gid, was)

    def write_parts(
        self,
        path: str,
        parts: Iterable[bytes],
        *,
        mode: int,
        uid: int = -1,
        gid: int = -1,
        good: Callable[[], None],
        was: Optional[files.Mark] = None,
        mtime: Optional[int] = None,
    ) -> None:
        """As `write`, of what comes in parts; `good` is asked before it counts, and raises where it must not."""
        descriptor, aside = files.beside(path)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for part in parts:
                    file.write(part)
            good()
        except BaseException:
            os.unlink(aside)
            raise
        files.place(aside, path, mode, uid, gid, was, mtime)

    def link(self, path: str, target: str) -> None:
        """Make `path` a symbolic link in one instant; Refusal when anything but a link is there."""
        files.link(path, target)

    def exchange(self, one: str, other: str) -> bool:
        """Exchange two paths in one instant; False where kernel or file system cannot."""
        return files.exchange(one, other)

    def mkdir(self, path: str, mode: int = 0o755, uid: int = -1, gid: int = -1, parents: bool = True) -> None:
        """Make a folder and, with `parents`, those above it; one that is there stays as it is."""
        files.mkdir(path, mode, uid, gid, parents)

    def chmod(self, path: str, mode: int) -> None:
        """Set the mode of what the path leads to."""
        os.chmod(path, mode)

    def chown(self, path: str, uid: int = -1, gid: int = -1, follow: bool = True) -> None:
        """Set owner and group; -1 leaves one as it is."""
        os.chown(path, uid, gid, follow_symlinks=follow)

    def remove_link(self, path: str) -> None:
        """Remove a symbolic link; Refusal when it is none."""
        files.remove_link(path)

    def unlink(self, path: str, was: Optional[files.Mark] = None) -> None:
        """Remove a file or link, durably; with `was` only what has that mark, else Refusal."""
        files.remove(path, was)

    def rmdir(self, path: str) -> None:
        """Remove an empty folder, durably."""
        os.rmdir(path)
        files.sync_folder(path)

    def scratch(self) -> str:
        """A new empty folder for this process's user alone; whoever asks gives it to `clear_scratch` at the end."""
        import tempfile

        return tempfile.mkdtemp(prefix="provision-")

    def clear_scratch(self, folder: str) -> None:
        """Remove a folder of `scratch` with the files in it."""
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))
        os.rmdir(folder)

    def user_id(self, name: str) -> int:
        """The uid of a user by name or number; Refusal when there is none of that name."""
        import pwd

        if name.isdigit():
            return int(name)
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            raise _nobody("user", name) from None

    def group_id(self, name: str) -> int:
        """The gid of a group by name or number; Refusal when there is none of that name."""
        import grp

        if name.isdigit():
            return int(name)
        try:
            return grp.getgrnam(name).gr_gid
        except KeyError:
            raise _nobody("group", name) from None

    def user_home(self, name: Optional[str] = None) -> str:
        """The home folder of a user, None: of the one that this runs as; Refusal when there is no such user."""
        import pwd

        try:
            entry = pwd.getpwuid(os.geteuid()) if name is None else pwd.getpwnam(name)
        except KeyError:
            if name is None:
                return "/"
            raise _nobody("user", name) from None
        return entry.pw_dir


def _unnoticed(path: str, flags: int) -> int:
    """Open a file so that its time of access stays, where the kernel lets us."""
    try:
        return os.open(path, flags | os.O_NOATIME)
    except PermissionError:
        return os.open(path, flags)


def _identity(user: str) -> Optional[Tuple[int, int, List[int]]]:
    """Who to become, or None when that is who runs this."""
    import pwd

    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise _nobody("user", user) from None
    if entry.pw_uid == os.geteuid():
        return None
    return entry.pw_uid, entry.pw_gid, os.getgrouplist(user, entry.pw_gid)


def _nobody(kind: str, name: str) -> Refusal:
    return Refusal(
        "there is no %s `%s`" % (kind, name),
        "the host's databases of users and groups do not name it",
        "create it before with `%s: name=%s`" % (kind, name),
    )
