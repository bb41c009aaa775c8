"""Whether cloud-init still sets up this host: it installs packages too, and not only while it holds their lock.

Reads small files; must not run `cloud-init`, which costs a second.
"""

from __future__ import annotations

import json
import os
from typing import Any

from . import processes

__all__ = ["at_work"]


def at_work(root: str = "/", own_unit: str = "") -> str:
    """What cloud-init is doing, in words; "" where it is not there, switched off or done, or started us itself."""
    folder = os.path.join(root, "run/cloud-init")
    try:
        with open(os.path.join(folder, "status.json"), "rb") as file:
            status = json.loads(file.read(1 << 20).decode("utf-8", "replace"))
    except (OSError, ValueError):
        return ""
    if any(os.path.exists(os.path.join(folder, name)) for name in ("result.json", "disabled")):
        return ""
    unit = own_unit or processes.unit_of(os.getpid()) or ""
    if unit.startswith(("cloud-final", "cloud-config", "cloud-init")):
        return ""
    pid = _process(root)
    stage = _stage(status)
    return "cloud-init%s%s" % (" in stage %s" % stage if stage else "", " (pid %d)" % pid if pid else "")


def _stage(status: Any) -> str:
    first = status.get("v1") if isinstance(status, dict) else None
    return str(first.get("stage") or "") if isinstance(first, dict) else ""


def _process(root: str) -> int:
    """The process of cloud-init; 0 between its stages."""
    for entry in os.listdir(os.path.join(root, "proc")):
        if not entry.isdigit():
            continue
        try:
            with open(os.path.join(root, "proc", entry, "cmdline"), "rb") as file:
                words = file.read(4096).split(b"\0")[:3]
        except OSError:
            continue
        if any(word.rpartition(b"/")[2] == b"cloud-init" for word in words):
            return int(entry)
    return 0
