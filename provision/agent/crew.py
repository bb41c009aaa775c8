"""The pump's workers: one forked process for each user that steps run as.

Must not know what a worker does. A worker has nothing of the pump but two pipes and the host's lock: the lock is to
stay held as long as anything of the run works on the host.
"""

from __future__ import annotations

import gc
import os
import time
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple

from .outbox import Outbox
from .protocol import Decoder, encode

__all__ = ["Worker", "hire", "identity"]

Work = Callable[[int, int], None]
"""What a worker does with the descriptors that it reads from and writes to."""


class Worker:
    """One worker as the pump sees it. `leader` is the process group that it runs now, 0 for none."""

    def __init__(self, user: Optional[str], uid: int, pid: int, reads: int, writes: int) -> None:
        self.user, self.uid, self.pid, self.reads = user, uid, pid, reads
        self.outbox = Outbox(writes)
        self.decoder = Decoder()
        self.leader = 0
        self.must_finish = ""
        self.status: Optional[int] = None

    def send(self, message: Dict[str, Any]) -> None:
        """Send it a message; one that is dead is noticed by its silence."""
        self.outbox.put(encode(message))

    def signal(self, number: int) -> None:
        """Signal the worker itself."""
        try:
            os.kill(self.pid, number)
        except OSError:
            pass

    def end_group(self) -> None:
        """Kill what it runs."""
        if self.leader:
            try:
                os.killpg(self.leader, 9)
            except OSError:
                pass

    def dismiss(self) -> None:
        """Close its pipes, upon which it ends."""
        os.close(self.reads)
        os.close(self.outbox.descriptor)

    def gone(self) -> bool:
        """Whether it ended."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = status if pid else None
        return self.status is not None

    def await_end(self, seconds: float) -> bool:
        """Whether it ended within so many seconds."""
        deadline = time.monotonic() + seconds
        while not self.gone():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.002)
        return True


def identity(user: Optional[str]) -> Optional[Tuple[str, int, int, str]]:
    """(name, uid, gid, home) of a user, or None where no change of user is needed.

    KeyError for an unknown one, PermissionError where only root could become that user.
    """
    import pwd

    if user is None:
        return None
    entry = pwd.getpwnam(user)
    if entry.pw_uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        raise PermissionError("the agent was not started as root, who alone can become another user")
    return entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir


def hire(user: Optional[str], keep: Iterable[int], work: Work) -> Worker:
    """Fork a worker for a user, who keeps no descriptor but `keep`; raises as `identity`."""
    person = identity(user)
    to_worker, from_worker = os.pipe(), os.pipe()
    gc.freeze()  # what both share stays shared
    pid = os.fork()
    if pid == 0:
        _live(person, to_worker[0], from_worker[1], [*keep], work)
    os.close(to_worker[0])
    os.close(from_worker[1])
    return Worker(user, person[1] if person else os.geteuid(), pid, from_worker[0], to_worker[1])


def _live(person: Optional[Tuple[str, int, int, str]], reads: int, writes: int, keep: List[int], work: Work) -> None:
    """In the child; never returns."""
    code = 1
    try:
        _close_all_but([0, 1, 2, reads, writes, *keep])
        os.dup2(0, 2)  # nothing, as 0 and 1 already are
        if person is not None:
            name, uid, gid, home = person
            os.initgroups(name, gid)
            os.setgid(gid)
            os.setuid(uid)
            os.environ["HOME"] = home
        os.chdir("/")
        gc.enable()
        work(reads, writes)
        code = 0
    finally:
        os._exit(code)


def _close_all_but(kept: List[int]) -> None:
    for entry in os.listdir("/proc/self/fd"):
        descriptor = int(entry)
        if descriptor not in kept:
            try:
                os.close(descriptor)
            except OSError:
                pass  # the one that listed the folder
