"""Looks at the host itself: clock, disks, memory, mounts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Dict, List, Optional

from ..forked import within_all
from ..mounts import Mount, is_kind, mounts, on_network, under
from ..system import System
from .finding import Finding, failed, ok, warning

if TYPE_CHECKING:
    from ..resources.verify_system import Spec

__all__ = ["clock", "look", "memory", "size", "space"]


def look(spec: Spec, system: System, now: float) -> List[Finding]:
    """Every finding of the rung; `now` is this host's time when the step began."""
    known = mounts()
    system.watch.flush()
    return [
        *clock(spec.time, now, spec.skew),
        *_disks(spec, known),
        *memory(system.read("/proc/meminfo").decode("ascii", "replace"), spec.memory_mb),
        *_mounts(spec, known),
    ]


def clock(control: float, now: float, skew: float) -> List[Finding]:
    """The host's clock against the control node's; pure."""
    if not control:
        return []
    off = now - control
    if abs(off) <= skew:
        return [ok("system.clock", "the clock is right", off=round(off, 1))]
    summary = "the clock is %d s %s" % (round(abs(off)), "ahead" if off > 0 else "behind")
    mend = "`sudo timedatectl set-ntp true`, and see `timedatectl timesync-status`"
    return [failed("system.clock", summary, mend=mend, off=round(off, 1))]


def memory(text: str, least: int) -> List[Finding]:
    """What /proc/meminfo says is available, in MiB, against the least; pure."""
    lines = (line.split() for line in text.splitlines())
    numbers = {words[0].rstrip(":"): int(words[1]) >> 10 for words in lines if len(words) > 1 and words[1].isdigit()}
    available, total = numbers.get("MemAvailable"), numbers.get("MemTotal", 0)
    if available is None or available >= least:
        return [ok("system.memory", "memory is available", available_mb=available, total_mb=total)]
    summary = "%d MiB of memory are available, %d at least are wanted" % (available, least)
    mend = "see what takes it: `ps -eo rss,pid,comm --sort=-rss | head`"
    return [failed("system.memory", summary, mend=mend, available_mb=available, total_mb=total)]


def space(path: str, status: os.statvfs_result, least: int, check: str) -> Finding:
    """Free bytes and inodes of a file system against the least; pure."""
    free = status.f_bavail * status.f_frsize
    detail: Dict[str, Any] = {"free": free, "total": status.f_blocks * status.f_frsize}
    if free < least:
        summary = "%s are free at `%s`, %s at least are wanted" % (size(free), path, size(least))
        return failed(check, summary, path, "see what takes it: `sudo du -xh -d2 %s | sort -h | tail`" % path, **detail)
    if status.f_files and not status.f_favail:
        summary = "no file can be made at `%s`: its file system has no inode left" % path
        return failed(check, summary, path, "see what takes them: `sudo du --inodes -x -d2 %s`" % path, **detail)
    return ok(check, "space is free at `%s`" % path, path, **detail)


def size(count: int) -> str:
    """Bytes in words."""
    if count >= 1 << 30:
        return "%.1f GiB" % (count / (1 << 30))
    return "%d MiB" % (count >> 20)


def _disks(spec: Spec, known: List[Mount]) -> List[Finding]:
    """Each path's file system; those on a network are asked by a child."""
    paths = {path: _existing(path, known) for path in spec.disks}
    far = {path: at for path, at in paths.items() if on_network(at, known)}
    answers = within_all(spec.deadline, {path: _statvfs(at) for path, at in far.items()})
    answers.update({path: _asked(at) for path, at in paths.items() if path not in far})
    return [_disk(path, answers[path], spec, under(paths[path], known)) for path in spec.disks]


def _disk(path: str, answer: Any, spec: Spec, mount: Optional[Mount]) -> Finding:
    if isinstance(answer, Exception):
        return failed("system.disk", "`%s` cannot be looked at: %s" % (path, _why(answer, spec)), path, _see(mount))
    found = space(path, answer, spec.disks[path], "system.disk")
    if found["status"] == "ok" and answer.f_flag & os.ST_RDONLY:
        mend = "see `sudo dmesg` for errors of the disk, then `sudo mount -o remount,rw %s`"
        return failed("system.disk", "`%s` is mounted read-only" % path, path, mend % (mount.point if mount else path))
    return found


def _existing(path: str, known: List[Mount]) -> str:
    """The path, or what is above it as far as it exists; what is on a network is taken as it is."""
    while path != "/" and not on_network(path, known) and not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def _mounts(spec: Spec, known: List[Mount]) -> List[Finding]:
    """Mounts that are expected, and all that a server or a process answers for, all asked at once."""
    # of several mounts at one point only the last can be seen
    there = {mount.point: mount for mount in known}
    found = [_missing(point, kind, there.get(point)) for point, kind in spec.mounts.items()]
    problems = [one for one in found if one is not None]
    wrong = {one["subject"] for one in problems}
    asked = [
        mount
        for point, mount in there.items()
        if (mount.network and mount.kind != "autofs") or (point in spec.mounts and point not in wrong)
    ]
    answers = within_all(spec.deadline, {mount.point: _statvfs(mount.point) for mount in asked})
    return problems + [_answered(mount, answers[mount.point], spec) for mount in asked]


def _missing(point: str, kind: str, mount: Optional[Mount]) -> Optional[Finding]:
    if mount is None:
        mend = "`sudo mount %s`, and see that /etc/fstab has it" % point
        return failed("system.mount", "nothing is mounted at `%s`" % point, point, mend)
    if not is_kind(mount.kind, kind):
        summary = "`%s` is of kind %s, meant is %s" % (point, mount.kind, kind)
        return failed("system.mount", summary, point, "see `findmnt %s` and /etc/fstab" % point, source=mount.source)
    return None


def _answered(mount: Mount, answer: Any, spec: Spec) -> Finding:
    detail: Dict[str, Any] = {"source": mount.source, "kind": mount.kind}
    # a user's own mount need not let root in, and its end is the user's affair; but one that hangs is everybody's
    private = mount.point not in spec.mounts and not isinstance(answer, TimeoutError)
    if isinstance(answer, PermissionError) and private:
        return ok("system.mount", "`%s` answers, though not to us" % mount.point, mount.point, **detail)
    if isinstance(answer, Exception):
        summary = "the mount `%s` of %s: %s" % (mount.point, mount.source, _why(answer, spec))
        tell = warning if private else failed
        return tell("system.mount", summary, mount.point, _see(mount), **detail)
    return ok("system.mount", "`%s` answers" % mount.point, mount.point, source=mount.source, kind=mount.kind)


def _statvfs(path: str) -> Any:
    return lambda: os.statvfs(path)


def _asked(path: str) -> Any:
    try:
        return os.statvfs(path)
    except OSError as error:
        return error


def _why(error: Exception, spec: Spec) -> str:
    if isinstance(error, TimeoutError):
        return "no answer within %g s" % spec.deadline
    return str(getattr(error, "strerror", None) or error)


def _see(mount: Optional[Mount]) -> str:
    if mount is None:
        return ""
    server = "its process" if mount.kind.startswith("fuse") else "its server %s" % mount.source.partition(":")[0]
    return "see %s; `sudo umount -l %s && sudo mount %s` once that answers" % (server, mount.point, mount.point)
