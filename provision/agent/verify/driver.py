"""Looks at a host's GPUs and driver as a whole; gpu_health.py judges each GPU, fabric.py what joins them.

Must not run anything on a GPU.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional

from .. import floor, gpu_host
from ..resource import Refusal
from ..system import System
from . import fabric, gpu_health, gpu_report, kernel, pci
from .finding import Finding, failed, ok, skipped, warning

if TYPE_CHECKING:
    from ..resources.verify_driver import Spec

__all__ = ["Seen", "judge", "look"]

_REBOOT = "reboot the host: `sudo systemctl reboot`"
_INSTALL = "install the driver: role `nvidia` with `nvidia_driver: install`"


class Seen(NamedTuple):
    """What there is, before it is judged. `contained`: the bus shows devices that this host need not have."""

    report: Dict[str, Any]
    devices: pci.Devices
    module: Optional[str]
    library: Optional[str]
    nouveau: bool
    modules: Dict[str, Optional[bool]]
    running: str
    following: Optional[str]
    xids: List[kernel.Xid]
    contained: bool
    dkms: bool
    glibc: str


def look(spec: Spec, system: System) -> List[Finding]:
    """Every finding of the rung."""
    report = gpu_report.ask(system, spec.deadline, spec.root)
    seen = _see(spec, system, report)
    found = judge(spec, seen)
    if seen.devices.switches and not seen.contained:
        found += fabric.look(system, report["root"], report, len(seen.devices.switches))
    return found


def judge(spec: Spec, seen: Seen) -> List[Finding]:
    """The findings; pure."""
    floors = _floors(spec, seen)
    if not _anything(spec, seen):
        return [*floors, skipped("driver.present", "no GPU is expected, and none is there")]
    answer = _answer(seen)
    # where the driver does not answer for devices that are there, their number is no news
    silent = bool(seen.devices.gpus) and any(one["status"] == "failed" for one in answer)
    gpus = [] if silent else [*_count(spec, seen), *gpu_health.judge(seen.report["gpus"], spec.mig)]
    return [*floors, *_nouveau(seen), *answer, *_module(seen), *gpus, *_xids(seen)]


def _see(spec: Spec, system: System, report: Dict[str, Any]) -> Seen:
    root = report["root"]
    devices = pci.devices(root)
    running, following = os.uname().release, kernel.next_kernel(root)
    there = bool(devices.gpus or report["program"] or kernel.loaded("nvidia", root))
    kernels = [name for name in (running, following) if name] if there else []
    return Seen(
        report,
        devices,
        kernel.module_version(root),
        kernel.library_version(root),
        kernel.loaded("nouveau", root),
        {name: kernel.has_module(name, root) for name in kernels},
        running,
        following,
        kernel.xids(system, root, spec.deadline, spec.deep) if devices.gpus else [],
        not root and bool(gpu_host.look().container),
        bool(_entries(root + "/var/lib/dkms", "nvidia")),
        str(system.facts.get("glibc") or ""),
    )


def _anything(spec: Spec, seen: Seen) -> bool:
    """Whether there is something to look at: devices, a driver, or an inventory that says that there are."""
    here = bool(seen.devices.gpus) and not seen.contained
    return bool(spec.count or spec.kind or here or seen.report["gpus"] or seen.module)


def _floors(spec: Spec, seen: Seen) -> List[Finding]:
    driver = seen.report.get("driver") or seen.module
    facts = {"glibc": seen.glibc, "gpu": {"driver": driver}}
    found = []
    for name, wanted in sorted(spec.floors.items()):
        try:
            floor.check(name, wanted, facts)
        except Refusal as refusal:
            found.append(_below(name, refusal, driver, wanted))
            continue
        if wanted.get("driver") and wanted.get("cuda"):
            notice = floor.notice(wanted, facts)
            summary = "driver %s, `%s` needs %s" % (driver, name, wanted["driver"])
            found.append(ok("driver.floor", notice or summary, name, driver=driver, floor=wanted["driver"]))
    return found


def _below(name: str, refusal: Refusal, driver: Optional[str], wanted: Dict[str, Optional[str]]) -> Finding:
    check = "driver.glibc" if "glibc" in refusal.summary else "driver.floor"
    return failed(check, refusal.summary, name, refusal.hint, driver=driver, wanted=wanted, cause=refusal.cause)


def _nouveau(seen: Seen) -> List[Finding]:
    if not seen.nouveau:
        return [ok("driver.nouveau", "`nouveau` is not loaded")]
    mend = "keep it out with role `nvidia`, or `blacklist nouveau` in /etc/modprobe.d, then reboot"
    if seen.module:
        return [warning("driver.nouveau", "the module `nouveau` is loaded beside `nvidia`", mend=mend)]
    return [failed("driver.nouveau", "the module `nouveau` is loaded and holds the GPUs", mend=mend)]


def _answer(seen: Seen) -> List[Finding]:
    """Whether module, library and nvidia-smi are one driver that answers."""
    report, module = seen.report, seen.module
    library = seen.library or report.get("driver")
    if module and library and module != library:
        summary = "the kernel runs driver module %s, the libraries are of %s" % (module, library)
        return [failed("driver.library", summary, mend=_REBOOT, module=module, library=library)]
    if report["program"] is None:
        what = "the kernel module %s is loaded, but there is no `nvidia-smi`" % module if module else "there is none"
        return [failed("driver.answer", "no NVIDIA driver answers: %s" % what, mend=_INSTALL)]
    if report["error"]:
        mend = _REBOOT if "mismatch" in report["error"] else "" if module else _not_loaded(seen)
        check = "driver.library" if "mismatch" in report["error"] else "driver.answer"
        summary = "`nvidia-smi` fails: %s" % report["error"]
        return [failed(check, summary, mend=mend or "see `sudo dmesg | grep NVRM`, then reboot", module=module)]
    return [
        ok("driver.answer", "driver %s, CUDA %s" % (report["driver"], report["cuda"]), driver=report["driver"]),
        ok("driver.library", "module and libraries are both %s" % library, module=module),
    ]


def _not_loaded(seen: Seen) -> str:
    if seen.modules.get(seen.running) is False:
        return _build(seen, seen.running)
    return "load the module: `sudo modprobe nvidia`, and see `sudo dmesg` where it does not load"


def _module(seen: Seen) -> List[Finding]:
    """Whether this kernel, and the one that boots next, have a module to load."""
    known = {name: has for name, has in seen.modules.items() if has is not None}
    if not known:
        return [skipped("driver.module", "this host has no list of kernel modules")]
    found = []
    for name, has in known.items():
        when = "running" if name == seen.running else "next"
        if has:
            found.append(ok("driver.module", "the %s kernel `%s` has an NVIDIA module" % (when, name), name))
            continue
        summary = "the %s kernel `%s` has no NVIDIA module" % (when, name)
        if name == seen.running and not seen.module:
            found.append(failed("driver.module", summary, name, _build(seen, name)))
        else:
            found.append(
                warning("driver.module", summary + ": after a reboot no GPU is there", name, _build(seen, name))
            )
    return found


def _build(seen: Seen, name: str) -> str:
    if seen.dkms:
        return "install `linux-headers-%s`, then `sudo dkms autoinstall -k %s`" % (name, name)
    return "install the driver's module package for kernel `%s`" % name


def _count(spec: Spec, seen: Seen) -> List[Finding]:
    """GPUs that answer against the inventory's, or where it says nothing against those on the bus."""
    gpus, found = seen.report["gpus"], []
    answering = {gpu["address"] for gpu in gpus}
    silent = [] if seen.contained else [address for address in seen.devices.gpus if address not in answering]
    wanted = spec.count if spec.count is not None else len(gpus) + len(silent)
    if len(gpus) < wanted:
        found.append(_lacking(len(gpus), wanted, silent))
    elif silent:
        found.append(_lacking(len(gpus), len(gpus) + len(silent), silent))
    elif len(gpus) > wanted:
        summary = "%d GPUs answer, the inventory says %d" % (len(gpus), wanted)
        found.append(failed("driver.count", summary, mend="correct `gpus: {count: %d}` in the inventory" % len(gpus)))
    else:
        names = ", ".join(sorted({gpu["name"] for gpu in gpus})) or "none"
        found.append(ok("driver.count", "%d GPUs: %s" % (len(gpus), names), count=len(gpus)))
    return found + _kind(spec, gpus)


def _lacking(there: int, wanted: int, silent: List[str]) -> Finding:
    where = "; no answer from %s" % ", ".join("`%s`" % address for address in silent) if silent else ""
    summary = "%d of %d GPUs answer%s" % (there, wanted, where)
    mend = (
        "see `sudo dmesg | grep -i xid`; then drain the host and power-cycle it"
        if silent
        else "the bus does not show it either: power-cycle the host, then have the hardware looked at"
    )
    return failed("driver.count", summary, mend=mend, there=there, wanted=wanted, silent=silent)


def _kind(spec: Spec, gpus: List[Dict[str, Any]]) -> List[Finding]:
    if not spec.kind or not gpus:
        return []
    others = [gpu for gpu in gpus if spec.kind.lower() not in gpu["name"].lower()]
    if not others:
        return [ok("driver.kind", "every GPU is of kind %s" % spec.kind)]
    told = ", ".join("%d: %s" % (gpu["index"], gpu["name"]) for gpu in others)
    mend = "correct `gpus: {kind: ...}` in the inventory"
    return [failed("driver.kind", "GPUs of another kind than %s: %s" % (spec.kind, told), mend=mend)]


def _xids(seen: Seen) -> List[Finding]:
    # a container reads the log of its machine, which has other GPUs too
    own = [gpu["address"].rpartition(".")[0] for gpu in seen.report["gpus"]]
    found = [gpu_health.judge_xid(xid) for xid in seen.xids if not seen.contained or xid.address in own]
    if not found and seen.devices.gpus:
        return [ok("driver.xid", "the kernel logged no GPU error since the boot")]
    return found


def _entries(folder: str, prefix: str) -> List[str]:
    try:
        return [name for name in os.listdir(folder) if name.startswith(prefix)]
    except OSError:
        return []
