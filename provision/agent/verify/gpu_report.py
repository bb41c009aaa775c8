"""What `nvidia-smi -q -x` says of every GPU, asked once a run and kept for the steps behind.

Knows where a host's GPUs are looked at: below / or, where nvidia-smi is the lab's, below the tree that it simulates.
Must not judge.
"""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional

from ..gpu_host import SIMULATED
from ..gpus import is_simulated
from ..spawn import CLEAN_PATH, find_program
from ..system import System

__all__ = ["address", "ask", "known", "parse"]

_NOTE = "verify: gpus"
_LIMIT = 8 << 20
_NUMBERS = ("sram_uncorrectable", "sram_uncorrectable_parity", "sram_uncorrectable_secded", "dram_uncorrectable")
_REASONS = ("hw_slowdown", "hw_thermal_slowdown", "hw_power_brake_slowdown", "sw_thermal_slowdown")


def known(system: System) -> Dict[str, Any]:
    """What `ask` found in this run; empty where it was not asked yet."""
    found: Dict[str, Any] = system.notes.get(_NOTE) or {}
    return found


def ask(system: System, deadline: float, root: str = "") -> Dict[str, Any]:
    """`program` (None: there is no nvidia-smi), `simulated`, `root`, `error`, `driver`, `cuda`, `gpus`."""
    if known(system):
        return known(system)
    program = _program(root)
    simulated = program is not None and is_simulated(program)
    found: Dict[str, Any] = {"program": program, "simulated": simulated, "error": "", "gpus": []}
    found["root"] = root or (SIMULATED if simulated and os.path.isdir(SIMULATED) else "")
    if program:
        done = system.run([program, "-q", "-x"], timeout=deadline, limit=_LIMIT)
        if done.timed_out:
            found["error"] = "no answer within %g s" % deadline
        else:
            found.update(_read(done.stdout, done.stderr))
    system.notes[_NOTE] = found
    return found


def parse(text: str) -> Dict[str, Any]:
    """`driver`, `cuda` and `gpus` of the report; ValueError where it is none."""
    from xml.etree import ElementTree

    try:
        top = ElementTree.fromstring(text)  # noqa: S314 - the host's own driver wrote it
    except ElementTree.ParseError as error:
        raise ValueError(str(error)) from None
    gpus = [_gpu(node, index) for index, node in enumerate(top.iterfind("gpu"))]
    return {"driver": _text(top, "driver_version"), "cuda": _text(top, "cuda_version"), "gpus": gpus}


def _program(root: str) -> Optional[str]:
    try:
        return find_program(root + "/usr/bin/nvidia-smi" if root else "nvidia-smi", CLEAN_PATH)
    except OSError:
        return None


def _read(output: str, errors: str) -> Dict[str, Any]:
    try:
        return parse(output)
    except ValueError:
        # what it cannot say as XML it says in words, on either stream
        return {"error": " ".join((output + " " + errors).split())[:500] or "it said nothing"}


def _gpu(node: Any, index: int) -> Dict[str, Any]:
    return {
        "index": index,
        "uuid": _text(node, "uuid"),
        "name": _text(node, "product_name"),
        "address": address(_text(node, "pci/pci_bus_id") or str(node.get("id") or "")),
        "persistence": _text(node, "persistence_mode"),
        "mig": _text(node, "mig_mode/current_mig"),
        "mig_pending": _text(node, "mig_mode/pending_mig"),
        "mig_devices": len(node.findall("mig_devices/mig_device")),
        "mode": _text(node, "compute_mode"),
        "ecc": _uncorrected(node),
        "remap_failed": _text(node, "remapped_rows/remapped_row_failure") == "Yes",
        "remap_pending": "Yes"
        in (
            _text(node, "remapped_rows/remapped_row_pending"),
            _text(node, "retired_pages/pending_retirement"),
            _text(node, "retired_pages/pending_blacklist"),
        ),
        "throttling": _throttling(node),
        "fabric": _text(node, "fabric/state"),
        "fabric_status": _text(node, "fabric/status"),
        "total_mb": _number(_text(node, "fb_memory_usage/total")),
        "used_mb": _number(_text(node, "fb_memory_usage/used")),
        "free_mb": _number(_text(node, "fb_memory_usage/free")),
        "processes": _processes(node),
    }


def address(text: str) -> str:
    """A PCI address as sysfs names it: 00000000:07:00.0 is 0000:07:00.0."""
    domain, _, rest = text.lower().partition(":")
    return "%s:%s" % (domain[-4:].rjust(4, "0"), rest) if rest else text.lower()


def _uncorrected(node: Any) -> int:
    """Errors since the driver was loaded that ECC could not correct; older drivers count them by device memory."""
    counts = node.find("ecc_errors/volatile")
    if counts is None:
        return 0
    old = _number(_text(counts, "double_bit/total"))
    return (old or 0) + sum(_number(_text(counts, name)) or 0 for name in _NUMBERS)


def _throttling(node: Any) -> List[str]:
    """Reasons that slow the GPU down and are no good sign; drivers before 535 call the list otherwise."""
    found = []
    for kind in ("event", "throttle"):
        for reason in _REASONS:
            if _text(node, "clocks_%s_reasons/clocks_%s_reason_%s" % (kind, kind, reason)) == "Active":
                found.append(reason.replace("_", " "))
    return found


def _processes(node: Any) -> List[Dict[str, Any]]:
    return [
        {
            "pid": _number(_text(process, "pid")),
            "kind": _text(process, "type"),
            "name": _text(process, "process_name"),
            "memory_mb": _number(_text(process, "used_memory")),
        }
        for process in node.iterfind("processes/process_info")
    ]


def _text(node: Any, path: str) -> str:
    return (node.findtext(path) or "").strip()


def _number(text: str) -> Optional[int]:
    word = text.split(" ")[0]
    return int(word) if word.isdigit() else None
