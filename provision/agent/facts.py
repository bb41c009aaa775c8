"""Facts of the host that everybody may want; cheap to gather: small files and system calls, no process but nvidia-smi.

Must not fail: what cannot be read is None or "".
"""

from __future__ import annotations

import os
import sys
from typing import Any, Dict, Iterable

__all__ = ["gather", "parse_release"]


def gather(groups: Iterable[str] = ()) -> Dict[str, Any]:
    """All facts but those of GPUs, which take longer (`gpus.py`); `groups` are those that are asked for by name."""
    facts = _of_everyone()
    for group in groups:
        from .facts_asked import gather_group

        facts[group] = gather_group(group)
    return facts


def _of_everyone() -> Dict[str, Any]:
    system = os.uname()
    return {
        "hostname": system.nodename,
        "fqdn": _full_name(system.nodename),
        "kernel_version": system.version,
        "machine_id": _line("/etc/machine-id"),
        "boot_id": _line("/proc/sys/kernel/random/boot_id"),
        "kernel": system.release,
        "architecture": system.machine,
        "os": _release(),
        "glibc": _glibc(),
        "python": "%d.%d.%d" % sys.version_info[:3],
        "python_path": sys.executable,
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mb": _memory(),
        "init": "systemd" if os.path.isdir("/run/systemd/system") else "none",
        "selinux": _line("/sys/fs/selinux/enforce") == "1",
        "default_ipv4": _address(),
        **_user(),
    }


def _release() -> Dict[str, str]:
    told = parse_release(_text("/etc/os-release") or _text("/usr/lib/os-release"))
    if told["id"] == "debian":  # os-release knows the release, this file the point release
        full = _line("/etc/debian_version")
        if full[:1].isdigit():
            told["full_version"] = full
    return told


def _full_name(name: str) -> str:
    """The name with its domain, as /etc/hosts has it: a question to a name server might wait for long."""
    if "." in name:
        return name
    for line in _text("/etc/hosts").splitlines():
        words = line.partition("#")[0].split()[1:]
        if name in words:
            return next((word for word in words if "." in word), name)
    return name


def parse_release(text: str) -> Dict[str, str]:
    """`id`, `version`, `name` and `codename` from the text of os-release(5)."""
    values = {}
    for line in text.splitlines():
        key, sign, value = line.partition("=")
        if sign:
            values[key.strip()] = value.strip().strip("\"'")
    return {
        "id": values.get("ID", ""),
        "version": values.get("VERSION_ID", ""),
        "name": values.get("PRETTY_NAME", ""),
        "codename": values.get("VERSION_CODENAME", ""),
    }


def _user() -> Dict[str, Any]:
    import pwd

    uid = os.geteuid()
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return {"user": str(uid), "uid": uid, "gid": os.getegid(), "home": "/"}
    who = {"user": entry.pw_name, "uid": uid, "gid": entry.pw_gid, "home": entry.pw_dir}
    return {**who, "shell": entry.pw_shell, "gecos": entry.pw_gecos}


def _glibc() -> str:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").rpartition(" ")[2]
    except (OSError, ValueError):
        return ""


def _memory() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    except (OSError, ValueError):
        return 0


def _address() -> str:
    """The address that the default route leaves from; connecting a datagram socket sends nothing."""
    # the C module: `socket` costs milliseconds of imports
    import _socket

    try:
        probe = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    except OSError:
        return ""
    try:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])
    except OSError:
        return ""
    finally:
        probe.close()


def _line(path: str) -> str:
    return _text(path).strip()


def _text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(65536).decode("utf-8", "replace")
    except OSError:
        return ""
