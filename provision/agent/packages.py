"""Debian's packages: asks dpkg, waits for its lock naming who holds it, runs apt-get."""

from __future__ import annotations

import os
import struct
import time
from typing import Callable, Dict, List, Optional, Sequence

from . import first_boot, processes, reached, trust
from .resource import Emit, Refusal
from .system import System
from .wheels import without_credentials

__all__ = [
    "answer",
    "apt",
    "busy",
    "described",
    "holder",
    "installed",
    "list_age",
    "parse",
    "simulated",
    "wait_for_lock",
]

_ASK_DEADLINE = 60.0
_APT_DEADLINE = 3600.0
_LOCKS = ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/apt/lists/lock")
_OPTIONS = ("--yes", "--quiet", "--option=DPkg::Lock::Timeout=120")
_DPKG_OPTIONS = ("force-confdef", "force-confold")


def answer(system: System, names: Sequence[str]) -> Dict[str, str]:
    """The common answer to the question "package": installed version by name, "" where it is not installed."""
    try:
        argv = ["dpkg-query", "--show", "--showformat=${Package}\\t${db:Status-Abbrev}\\t${Version}\\n", "--", *names]
        done = system.run(argv, timeout=_ASK_DEADLINE)
    except FileNotFoundError:
        raise Refusal(
            "packages cannot be installed on this host",
            "there is no `dpkg-query`: only Debian's and Ubuntu's packages are supported",
            "leave this host out, or install the package by another way",
        ) from None
    found = parse(done.stdout)
    return {name: found.get(name, "") for name in names}


def parse(text: str) -> Dict[str, str]:
    """Version by name of what dpkg-query shows as installed ("ii", or held: "hi")."""
    found = {}
    for line in text.splitlines():
        name, status, version = [*line.split("\t"), "", ""][:3]
        if status[1:2] == "i":
            found[name] = version
    return found


def installed(system: System, names: Sequence[str]) -> Dict[str, str]:
    """Installed versions, from the batch's common answers where they are still valid."""
    known = {name: system.answers[("package", name)] for name in names if ("package", name) in system.answers}
    missing = [name for name in names if name not in known]
    return {**known, **answer(system, missing)} if missing else known


def list_age() -> Optional[float]:
    """Seconds since the package lists were fetched; None where there are none."""
    for path in ("/var/lib/apt/periodic/update-success-stamp", "/var/lib/apt/lists"):
        try:
            entries = os.listdir(path) if os.path.isdir(path) else ["itself"]
            if any(entry not in ("lock", "partial", "auxfiles") for entry in entries):
                return max(0.0, time.time() - os.stat(path).st_mtime)
        except OSError:
            continue
    return None


def apt(system: System, words: Sequence[str], emit: Emit, dpkg: Sequence[str] = _DPKG_OPTIONS) -> None:
    """Run apt-get, which waits two minutes for locks itself; Refusal with the end of what it said when it fails.

    `dpkg` are options for dpkg, without dashes.
    """
    told = ["--option=Dpkg::Options::=--" + option for option in dpkg]
    trusted = trust.bundle(system)
    told += ["--option=Acquire::https::CaInfo=" + trusted] if trusted else []
    environment = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"}
    done = system.run(["apt-get", *_OPTIONS, *told, *words], timeout=_APT_DEADLINE, environment=environment, emit=emit)
    if done.returncode != 0:
        why = "it did not end within %g s" % _APT_DEADLINE if done.timed_out else _errors(done.stderr or done.stdout)
        why = without_credentials(why)
        hint = "run it there by hand to see more; `dpkg --configure -a` mends a killed run"
        raise Refusal("`apt-get %s` failed" % words[0], why, reached.hint(why, "", hint))


def simulated(system: System, words: Sequence[str]) -> Dict[str, List[str]]:
    """What apt-get would do: packages by `Inst`, `Remv` and `Del`; Refusal with what it said when it fails."""
    done = system.run(["apt-get", "--simulate", "--quiet", *words], timeout=_ASK_DEADLINE)
    if done.returncode != 0:
        raise Refusal("`apt-get %s` would fail" % words[0], _errors(done.stderr or done.stdout), "")
    found: Dict[str, List[str]] = {"Inst": [], "Remv": [], "Del": []}
    for line in done.stdout.splitlines():
        verb, _, rest = line.partition(" ")
        if verb in found and rest:
            found[verb].append(rest.split()[0])
    return found


def described(system: System, path: str) -> str:
    """`NAME=VERSION` of a package file; Refusal where it is none."""
    done = system.run(["dpkg-deb", "--show", "--showformat=${Package}=${Version}", "--", path], timeout=_ASK_DEADLINE)
    if done.returncode != 0:
        raise Refusal(
            "`%s` is no package" % path, done.stderr.strip(), "bring the file before, with `copy` or `get_url`"
        )
    return done.stdout.strip()


def busy(locks: Sequence[str] = _LOCKS) -> str:
    """Who keeps us from installing, in words: the holder of a lock or cloud-init; "" for nobody."""
    pid = holder(locks)
    return processes.describe(pid) if pid is not None else first_boot.at_work()


def wait_for_lock(
    emit: Emit, seconds: float, clock: Callable[[], float] = time.monotonic, locks: Sequence[str] = _LOCKS
) -> None:
    """Wait until nobody holds dpkg's or apt's locks and cloud-init is done; Refusal that names who when time is up."""
    start = clock()
    while True:
        who = busy(locks)
        if not who:
            return
        waited = clock() - start
        if waited > seconds:
            raise Refusal(
                "the package manager is busy",
                "%s %s for over %d s" % (who, _doing(who), waited),
                "wait for it or end it, then run again; `lock_timeout` sets how long a task waits",
            )
        emit(done=round(waited, 1), total=seconds, unit="s", label="waiting for %s" % who)
        time.sleep(0.5)


def _doing(who: str) -> str:
    return "sets up this host" if who.startswith("cloud-init") else "holds dpkg's lock"


def holder(locks: Sequence[str] = _LOCKS) -> Optional[int]:
    """The process that holds one of the locks, or None."""
    import fcntl

    layout = "hhqqi4x"
    for path in locks:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            asked = struct.pack(layout, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, _, _, _, pid = struct.unpack(layout, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
            if kind != fcntl.F_UNLCK:
                return int(pid)
        finally:
            os.close(descriptor)
    return None


def _errors(text: str) -> str:
    lines: List[str] = [line for line in text.strip().splitlines() if line.startswith(("E:", "W:", "dpkg: error"))]
    return "\n".join(lines[-10:] or text.strip().splitlines()[-10:])
