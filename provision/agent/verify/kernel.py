"""The kernel's side of the driver: modules that are loaded, modules that could be, and what the kernel logged.

Looks below a root, so that a made-up tree can stand for a host. Must not judge.
"""

from __future__ import annotations

import os
from typing import Dict, List, NamedTuple, Optional, Set

from ..system import System

__all__ = ["Xid", "has_module", "library_version", "loaded", "module_version", "next_kernel", "parse_xids", "xids"]

_LIBRARIES = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib")
_LIMIT = 16 << 20


class Xid(NamedTuple):
    """An error that the driver logged: where, which, when (seconds since the epoch, if known), in which words."""

    address: str
    number: int
    time: Optional[float]
    text: str


def module_version(root: str = "") -> Optional[str]:
    """The version of the nvidia module that is loaded; None where none is."""
    version = _text(root + "/sys/module/nvidia/version").strip()
    if version:
        return version
    words = _text(root + "/proc/driver/nvidia/version").partition("\n")[0].split()
    return next((word for word in words if word[0].isdigit() and "." in word), None)


def loaded(name: str, root: str = "") -> bool:
    """Whether a module is loaded."""
    return os.path.isdir("%s/sys/module/%s" % (root, name))


def library_version(root: str = "") -> Optional[str]:
    """The version of the driver's user-space library by its file name; None where there is none, or several."""
    versions: Set[str] = set()
    for folder in _LIBRARIES:
        for prefix in ("libnvidia-ml.so.", "libcuda.so."):
            found = (name[len(prefix) :] for name in _names(root + folder) if name.startswith(prefix))
            versions.update(version for version in found if version.count(".") >= 1)
    return versions.pop() if len(versions) == 1 else None


def has_module(kernel: str, root: str = "") -> Optional[bool]:
    """Whether a kernel has an nvidia module to load; None where its list of modules cannot be read."""
    folder = "%s/lib/modules/%s" % (root, kernel)
    text = _text(folder + "/modules.dep")
    if not text:
        return None
    return "/nvidia.ko" in text or text.startswith("nvidia.ko")


def next_kernel(root: str = "") -> Optional[str]:
    """The kernel that boots next: what /vmlinuz leads to, else the newest in /boot; None where none is seen."""
    for link in ("/vmlinuz", "/boot/vmlinuz"):
        try:
            return os.path.basename(os.readlink(root + link)).partition("vmlinuz-")[2] or None
        except OSError:
            continue
    names = [name[len("vmlinuz-") :] for name in _names(root + "/boot") if name.startswith("vmlinuz-")]
    names = [name for name in names if "rescue" not in name]
    return max(names, key=_order, default=None)


def xids(system: System, root: str, deadline: float, deep: bool) -> List[Xid]:
    """The driver's errors that the kernel logged since the boot; `deep` asks the journal, which forgets less.

    Empty where nobody may read the log.
    """
    if root:
        return parse_xids(_text(root + "/kernel.log"), _boot_time())
    journal = ["journalctl", "--dmesg", "--boot", "--no-pager", "--output=short-unix", "--grep=NVRM: Xid"]
    for argv in [journal, ["dmesg"]] if deep else [["dmesg"]]:
        try:
            done = system.run(argv, timeout=deadline, limit=_LIMIT)
        except OSError:
            continue
        if done.returncode == 0:
            return parse_xids(done.stdout, _boot_time())
    return []


def parse_xids(text: str, boot: float) -> List[Xid]:
    """Errors in lines like `[ 12.5] NVRM: Xid (PCI:0000:07:00): 79, pid=1, ...`; the last of each kind and device."""
    found: Dict[object, Xid] = {}
    for line in text.splitlines():
        before, marked, rest = line.partition("NVRM: Xid (PCI:")
        address, closed, rest = rest.partition("):")
        number = rest.strip().partition(",")[0].split(" ")[0]
        if marked and closed and number.isdigit():
            found[address, number] = Xid(address.lower(), int(number), _time(before, boot), rest.strip())
    return list(found.values())


def _time(before: str, boot: float) -> Optional[float]:
    """dmesg gives seconds since the boot in brackets, the journal seconds since the epoch."""
    word = before.strip().strip("[]").split()[:1]
    try:
        seconds = float(word[0].rstrip("]")) if word else None
    except ValueError:
        return None
    return seconds if seconds is None or "[" not in before else boot + seconds


def _boot_time() -> float:
    import time

    return time.time() - float((_text("/proc/uptime") or "0").split()[0])


def _order(version: str) -> List[object]:
    """Numbers by their value: 6.1.0-18 is above 6.1.0-9."""
    words = version.replace("-", ".").replace("_", ".").replace("+", ".").split(".")
    return [(1, int(word), "") if word.isdigit() else (0, 0, word) for word in words]


def _names(folder: str) -> List[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(_LIMIT).decode("utf-8", "replace")
    except OSError:
        return ""
