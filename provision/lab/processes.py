"""The lab's processes: started so that they are always known by id and start time, ended only by these.

A process writes its own identity before it becomes what it is for, holding the lab's lock until then, so that no kill
of the starting command leaves a process that nobody knows.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from provision.errors import ProvisionError

__all__ = ["Identity", "end", "launch", "run", "wait_for"]

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LAUNCHER = """
record=$1; lock=$2; groups=$3; shift 3
for group in $groups; do echo $$ > "$group/cgroup.procs" || exit 70; done
read -r line < /proc/$$/stat && printf '%s\\n' "$line" > "$record" || exit 71
exec {lock}>&-
exec "$@"
"""
"""Runs as `bash -c LAUNCHER lab RECORD LOCK-DESCRIPTOR CGROUPS ARGV...`; exec keeps both id and start time.

Not dash: it cannot close descriptors above 9."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A process that is or was: ids are used again, the pair with the start time is not."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """The identity of a running process; None when it is none or only waits to be reaped."""
        try:
            return cls.parse(Path(f"/proc/{pid}/stat").read_text())
        except OSError:
            return None

    @classmethod
    def parse(cls, stat: str) -> Identity | None:
        """The identity in a line of /proc/PID/stat; None for an empty line and for a zombie."""
        head, found, tail = stat.rpartition(")")
        fields = tail.split()
        if not found or fields[0] in "ZX":
            return None
        return cls(int(head.split()[0]), int(fields[19]))

    @classmethod
    def recorded(cls, record: Path) -> Identity | None:
        """The identity that a launched process wrote, when that process still runs."""
        try:
            written = cls.parse(record.read_text())
        except OSError:
            return None
        return written if written and cls.of(written.pid) == written else None

    def alive(self) -> bool:
        return Identity.of(self.pid) == self

    def kill(self) -> None:
        """SIGKILL, through a descriptor of the process so that no other one of the same id can be hit."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self.alive():
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        except ProcessLookupError:
            pass
        finally:
            os.close(descriptor)


def launch(
    argv: Sequence[str],
    *,
    record: Path,
    log: Path,
    lock: int,
    cgroups: Sequence[Path] = (),
    environment: Mapping[str, str] | None = None,
) -> None:
    """Start a process that outlives this one; it writes its identity to `record`, its output goes to `log`."""
    record.unlink(missing_ok=True)
    head = ["setsid", "--fork", "bash", "-c", LAUNCHER, "lab", str(record), str(lock), " ".join(map(str, cgroups))]
    with log.open("ab") as output:
        subprocess.run(
            [*head, *argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(lock,),
            cwd="/",
            env={"PATH": PATH, "LANG": "C.UTF-8", **(environment or {})},
            timeout=10,
            check=True,
        )
    wait_for(lambda: record.exists() and record.read_text().endswith("\n"), 10, f"the start of `{argv[0]}`", log)


def end(identity: Identity, seconds: float = 5) -> None:
    """Kill a process and wait until it is gone; raises ProvisionError when it is not by then."""
    identity.kill()
    wait_for(lambda: not identity.alive(), seconds, f"the end of process {identity.pid}")


def wait_for(true: Callable[[], bool], seconds: float, what: str, log: Path | None = None) -> None:
    """Ask until `true()`; raises ProvisionError with the end of `log` when it is not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise ProvisionError(f"the lab waited {seconds:g} s for {what} in vain", cause=_tail(log))
        time.sleep(0.02)


def _tail(log: Path | None, size: int = 1500) -> str:
    try:
        return log.read_bytes()[-size:].decode(errors="replace") if log else ""
    except OSError:
        return ""


def run(
    argv: Sequence[str],
    *,
    timeout: float = 30,
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
    lock: int | None = None,
) -> str:
    """The standard output of a command of the lab; raises ProvisionError when it fails or takes over `timeout` s.

    With `lock` the command keeps that lock even when this process dies while it runs.
    """
    try:
        done = subprocess.run(
            list(argv),
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env={"PATH": PATH, "LANG": "C.UTF-8", "HOME": "/root", **(environment or {})},
            pass_fds=() if lock is None else (lock,),
        )
    except subprocess.TimeoutExpired:
        raise ProvisionError(f"`{' '.join(argv)}` did not end within {timeout:g} s") from None
    if done.returncode:
        cause = (done.stderr.strip() or done.stdout.strip())[-2000:] or f"exit code {done.returncode}"
        raise ProvisionError(f"`{' '.join(argv)}` failed", cause=cause)
    return done.stdout
