"""Runs commands: no shell, a clean environment, a session of their own, both streams drained, always a deadline.

Must not decide what a failed command means.
"""

from __future__ import annotations

import codecs
import os
import select
import time
from typing import Any, Dict, List, Optional, Sequence, Tuple

from .record import record
from .resource import Emit

__all__ = ["CLEAN_PATH", "Cancelled", "Completed", "Identity", "Watch", "find_program", "run"]

CLEAN_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
GRACE = 3.0
"""Seconds between asking a command to end and killing it."""
_LINGER = 0.5
"""Seconds that a command's streams are still read once it ended: a daemon that it started may hold them for ever."""
_LOOK = 0.2
_TERM, _KILL = 15, 9

Identity = Tuple[int, int, List[int]]
"""uid, gid and groups of a user."""


class Cancelled(BaseException):
    """The run is to stop. No `Exception`: code that carries on after an error must not carry on after this."""


@record(frozen=True)
class Completed:
    """A command that ended; `returncode` is negative for a signal, and `timed_out` says that its deadline ended it."""

    argv: Tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    timed_out: bool = False


class Watch:
    """What a running command is bound to; this one to nothing. See `line.py` for that of a worker."""

    descriptor: Optional[int] = None
    """Becomes readable when `cancelled` may have changed."""
    kept: Tuple[int, ...] = ()
    """Descriptors that a command inherits, so that the host stays locked until it ended."""

    def cancelled(self) -> bool:
        """Whether the command is to be ended now."""
        return False

    def group(self, leader: int) -> None:
        """Told of the process group that runs now, and of 0 when it ended."""

    def flush(self) -> None:
        """Called before anything that may take long."""


def find_program(name: str, path: str) -> str:
    """Where the program is; FileNotFoundError when it is nowhere on `path`."""
    folders = [""] if "/" in name else path.split(":")
    for folder in folders:
        candidate = os.path.join(folder, name)
        if os.access(candidate, os.X_OK) and not os.path.isdir(candidate):
            return candidate
    raise FileNotFoundError(2, "No such program", name)


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    environment: Dict[str, str],
    stdin: bytes = b"",
    directory: Optional[str] = None,
    identity: Optional[Identity] = None,
    emit: Optional[Emit] = None,
    limit: int = 1 << 20,
    watch: Optional[Watch] = None,
) -> Completed:
    """Run a command to its end or to its deadline, in seconds; `environment` is all that it gets.

    `identity`: whom to run as. Each stream keeps at most `limit` bytes, of its start and its end.
    Raises FileNotFoundError when the program or the directory is absent, and Cancelled.
    """
    watch = watch or Watch()
    program = find_program(argv[0], environment.get("PATH", CLEAN_PATH))
    child, ends = _start(program, argv, environment, directory, identity, watch.kept)
    command = _Running(child, ends, stdin, emit, limit, watch)
    try:
        watch.group(child)
        command.follow(time.monotonic() + timeout)
    except BaseException:
        command.kill()
        raise
    finally:
        command.close()
    watch.group(0)
    if command.cancelled:
        raise Cancelled
    stdout, stderr = command.texts()
    return Completed(tuple(argv), _code(command.status), stdout, stderr, command.timed_out)


def _code(status: Optional[int]) -> int:
    if status is None:
        return -_KILL
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _start(
    program: str,
    argv: Sequence[str],
    environment: Dict[str, str],
    directory: Optional[str],
    identity: Optional[Identity],
    kept: Tuple[int, ...],
) -> Tuple[int, Tuple[int, int, int]]:
    """Fork and execute; the child's pid and our ends of its stdin, stdout and stderr."""
    stdin, stdout, stderr, failure = os.pipe(), os.pipe(), os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _become((stdin[0], stdout[1], stderr[1]), directory, identity, kept)
            os.execve(program, list(argv), environment)  # noqa: S606
        except (OSError, ValueError) as error:
            name = getattr(error, "filename", None) or program
            os.write(failure[1], b"%d %s" % (getattr(error, "errno", 22), str(name).encode("utf-8", "replace")))
        finally:
            os._exit(127)
    for descriptor in (stdin[0], stdout[1], stderr[1], failure[1]):
        os.close(descriptor)
    said = os.read(failure[0], 4096)
    os.close(failure[0])
    ends = (stdin[1], stdout[0], stderr[0])
    if said:
        os.waitpid(child, 0)
        for descriptor in ends:
            os.close(descriptor)
        number, _, name = said.decode("utf-8", "replace").partition(" ")
        raise OSError(int(number), os.strerror(int(number)), name)
    return child, ends


def _become(
    streams: Tuple[int, int, int], directory: Optional[str], identity: Optional[Identity], kept: Tuple[int, ...]
) -> None:
    """In the child: a session of its own, its streams, its user, its folder."""
    import signal

    os.setsid()
    for number in (signal.SIGPIPE, signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    for target, descriptor in enumerate(streams):
        os.dup2(descriptor, target)
    for descriptor in kept:
        os.set_inheritable(descriptor, True)
    os.umask(0o022)
    if identity is not None:
        os.setgroups(identity[2])
        os.setgid(identity[1])
        os.setuid(identity[0])
    if directory is not None:
        os.chdir(directory)


class _Stream:
    """One output stream: passes text on while it comes, and keeps its start and its end."""

    def __init__(self, name: str, emit: Optional[Emit], limit: int) -> None:
        self._name, self._emit, self._half = name, emit, max(limit // 2, 1)
        self._decoder: Any = codecs.getincrementaldecoder("utf-8")("backslashreplace") if emit else None
        self._head, self._tail, self._size = bytearray(), bytearray(), 0

    def take(self, data: bytes) -> None:
        """Some of it, b"" at its end."""
        self._size += len(data)
        room = max(self._half - len(self._head), 0)
        self._head += data[:room]
        self._tail += data[room:]
        del self._tail[: -self._half]
        if self._emit is not None:
            text = self._decoder.decode(data, not data)
            if text:
                self._emit(output=text, stream=self._name)

    def text(self) -> str:
        lost = self._size - len(self._head) - len(self._tail)
        between = b"\n[%d bytes left out]\n" % lost if lost > 0 else b""
        return (self._head + between + self._tail).decode("utf-8", "backslashreplace")


class _Running:
    """A command while it runs."""

    def __init__(
        self, child: int, ends: Tuple[int, int, int], stdin: bytes, emit: Optional[Emit], limit: int, watch: Watch
    ) -> None:
        self.child = child
        self.status: Optional[int] = None
        self.timed_out = self.cancelled = False
        self._input, self._stdin, self._watch = ends[0], stdin, watch
        self._streams = {ends[1]: _Stream("stdout", emit, limit), ends[2]: _Stream("stderr", emit, limit)}
        self._open = set(ends[1:])
        self._killing: Optional[float] = None
        self._ended: Optional[float] = None
        os.set_blocking(self._input, False)
        if not stdin:
            self._close_input()

    def follow(self, deadline: float) -> None:
        """Feed and drain it until it ended, its deadline passed or the run was cancelled."""
        while not self._over():
            now = time.monotonic()
            if self._killing is None:
                self.timed_out = now >= deadline
                self.cancelled = self._watch.cancelled()
                if self.timed_out or self.cancelled:
                    self._killing = now + GRACE
                    self._signal(_TERM)
            elif now >= self._killing:
                self.kill()
            self._wait()

    def _over(self) -> bool:
        if self.status is None:
            pid, status = os.waitpid(self.child, os.WNOHANG)
            if pid:
                self.status, self._ended = status, time.monotonic()
        if self._ended is None:
            return False
        return not self._open or time.monotonic() > self._ended + _LINGER

    def _wait(self) -> None:
        """Move what can be moved; short waits, since the end of a process that left its streams open is polled."""
        reads = list(self._open)
        if self._watch.descriptor is not None and self._killing is None:
            reads.append(self._watch.descriptor)
        pause = _LOOK if self._open else 0.002
        ready, writable, _ = select.select(reads, [self._input] if self._input >= 0 else [], [], pause)
        for descriptor in ready:
            if descriptor in self._streams:
                self._drain(descriptor)
        if writable:
            self._feed()

    def _drain(self, descriptor: int) -> None:
        data = os.read(descriptor, 65536)
        self._streams[descriptor].take(data)
        if not data:
            self._open.discard(descriptor)

    def _feed(self) -> None:
        try:
            self._stdin = self._stdin[os.write(self._input, self._stdin[:65536]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._stdin = b""
        if not self._stdin:
            self._close_input()

    def _close_input(self) -> None:
        if self._input >= 0:
            os.close(self._input)
            self._input = -1

    def kill(self) -> None:
        """Kill the whole group at once; one that hangs in the kernel is not waited for."""
        self._signal(_KILL)
        self._killing = float("inf")
        if self.status is None:
            self._ended = time.monotonic()

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self.child, number)
        except OSError:
            pass

    def close(self) -> None:
        """Give its descriptors back, and take its status where it has one."""
        self._close_input()
        for descriptor in self._streams:
            os.close(descriptor)
        if self.status is None:
            pid, status = os.waitpid(self.child, os.WNOHANG)
            self.status = status if pid else None

    def texts(self) -> Tuple[str, str]:
        """Standard output and standard error."""
        stdout, stderr = self._streams.values()
        return stdout.text(), stderr.text()
