"""Judges each GPU by what nvidia-smi and the kernel's log say of it; pure."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from .finding import Finding, failed, ok, warning
from .kernel import Xid

__all__ = ["judge", "judge_xid"]

_HARDWARE = {
    48: "an uncorrectable memory error",
    62: "an internal micro-controller halt",
    64: "a failed row remapping or page retirement",
    74: "an NVLink error",
    79: "it has fallen off the bus",
    95: "an uncontained memory error",
    110: "a security fault",
    119: "its GSP does not answer",
    120: "a GSP error",
    136: "a link training failure",
    140: "an unrecovered memory error",
}
"""Errors that tell of the device, not of a program. Source: NVIDIA's catalogue of Xid errors."""


def judge(gpus: List[Dict[str, Any]], mig: Optional[bool]) -> List[Finding]:
    """Findings of all GPUs; a check that finds nothing on any of them gives one `ok`."""
    found: List[Finding] = []
    checks = {
        "driver.ecc": (_ecc, "no memory error that was not corrected"),
        "driver.throttling": (_throttling, "no GPU is slowed down"),
        "driver.persistence": (_persistence, "persistence mode is on"),
        "driver.mode": (_mode, "compute is allowed"),
        "driver.mig": (lambda gpu: _mig(gpu, mig), _mig_summary(gpus)),
    }
    for check, (look, healthy) in checks.items():
        bad = [one for gpu in gpus for one in look(gpu)]
        found += bad or ([ok(check, healthy)] if gpus else [])
    return found


def judge_xid(xid: Xid) -> Finding:
    """An error of the hardware breaks the rung; one that programs cause is only told."""
    what = _HARDWARE.get(xid.number)
    summary = "Xid %d at `%s`%s: %s" % (xid.number, xid.address, ": " + what if what else "", xid.text[:120])
    detail = {"number": xid.number, "text": xid.text[:300]}
    if what:
        mend = "drain the host and reset the GPU or reboot; where it comes back, have the GPU replaced"
        return failed("driver.xid", summary, xid.address, mend, xid.time, **detail)
    mend = "see what ran there: such an error is mostly a program's"
    return warning("driver.xid", summary, xid.address, mend, xid.time, **detail)


def _ecc(gpu: Dict[str, Any]) -> List[Finding]:
    name, uuid = _name(gpu), gpu["uuid"]
    found = []
    if gpu["remap_failed"]:
        found.append(failed("driver.ecc", "%s could not remap a broken memory row" % name, uuid, "replace the GPU"))
    if gpu["ecc"]:
        summary = "%s had %d uncorrectable memory errors since the driver was loaded" % (name, gpu["ecc"])
        found.append(failed("driver.ecc", summary, uuid, _reset(gpu), errors=gpu["ecc"]))
    if gpu["remap_pending"]:
        summary = "%s has a memory row or page to retire at its next reset" % name
        found.append(warning("driver.ecc", summary, uuid, _reset(gpu)))
    return found


def _throttling(gpu: Dict[str, Any]) -> List[Finding]:
    if not gpu["throttling"]:
        return []
    summary = "%s is slowed down: %s" % (_name(gpu), ", ".join(gpu["throttling"]))
    return [warning("driver.throttling", summary, gpu["uuid"], "see cooling and power of the host")]


def _persistence(gpu: Dict[str, Any]) -> List[Finding]:
    if gpu["persistence"] != "Disabled":
        return []
    mend = "`sudo systemctl enable --now nvidia-persistenced`"
    return [warning("driver.persistence", "%s has persistence mode off" % _name(gpu), gpu["uuid"], mend)]


def _mode(gpu: Dict[str, Any]) -> List[Finding]:
    if gpu["mode"] != "Prohibited":
        return []
    mend = "`sudo nvidia-smi -i %d -c DEFAULT`" % gpu["index"]
    return [failed("driver.mode", "%s has compute mode Prohibited" % _name(gpu), gpu["uuid"], mend)]


def _mig(gpu: Dict[str, Any], wanted: Optional[bool]) -> List[Finding]:
    name, now, later = _name(gpu), gpu["mig"], gpu["mig_pending"]
    switch = "`sudo nvidia-smi -i %d -mig %d`"
    if now in ("Enabled", "Disabled") and later in ("Enabled", "Disabled") and now != later:
        summary = "%s has MIG mode %s, and %s after its next reset" % (name, now, later)
        return [failed("driver.mig", summary, gpu["uuid"], _reset(gpu))]
    if wanted is not None and (now == "Enabled") != wanted:
        summary = "%s has MIG mode %s" % (name, "off" if wanted else "on")
        return [failed("driver.mig", summary, gpu["uuid"], switch % (gpu["index"], int(wanted)))]
    if now == "Enabled" and not gpu["mig_devices"]:
        summary = "%s has MIG mode on and no instance: nothing can run there" % name
        mend = "make instances with `nvidia-smi mig`, or " + switch % (gpu["index"], 0)
        return [failed("driver.mig", summary, gpu["uuid"], mend)]
    return []


def _mig_summary(gpus: List[Dict[str, Any]]) -> str:
    on = sum(gpu["mig"] == "Enabled" for gpu in gpus)
    return "MIG mode is on for %d of %d GPUs" % (on, len(gpus)) if on else "MIG mode is off"


def _reset(gpu: Dict[str, Any]) -> str:
    return "stop what uses it, then `sudo nvidia-smi -i %d --gpu-reset`, or reboot" % gpu["index"]


def _name(gpu: Dict[str, Any]) -> str:
    return "GPU %d (%s)" % (gpu["index"], gpu["name"])
