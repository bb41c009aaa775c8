"""Looks at the fabric manager of a host with NVSwitches: without it no program there gets a CUDA context."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional

from .. import units
from ..resource import Refusal
from ..system import System
from .finding import Finding, failed, ok

__all__ = ["judge", "look", "version"]

UNIT = "nvidia-fabricmanager"
_DEADLINE = 10.0


def look(system: System, root: str, report: Dict[str, Any], switches: int) -> List[Finding]:
    """The service's state, and its version against the driver's."""
    try:
        shown = units.show(system, [UNIT])[UNIT]
    except Refusal as refusal:
        shown = {"LoadState": "unknown", "ActiveState": refusal.cause}
    driver = report.get("driver")
    return judge(shown, _version(system, root), driver, switches, report["gpus"])


def judge(
    shown: Dict[str, str],
    own: Optional[str],
    driver: Optional[str],
    switches: int,
    gpus: List[Dict[str, Any]],
) -> List[Finding]:
    """The finding; pure."""
    if shown.get("LoadState") == "not-found":
        mend = "install the package `nvidia-fabricmanager-%s`" % (driver or "VERSION").partition(".")[0]
        return [failed("driver.fabric", "%d NVSwitches, and no fabric manager is installed" % switches, mend=mend)]
    if shown.get("ActiveState") != "active":
        summary = "the fabric manager does not run (%s)" % shown.get("ActiveState", "unknown")
        return [failed("driver.fabric", summary, mend="`sudo systemctl enable --now %s`" % UNIT)]
    if own and driver and own != driver:
        summary = "the fabric manager is of %s, the driver of %s" % (own, driver)
        mend = "install `nvidia-fabricmanager` of version %s and hold both (role `nvidia`)" % driver
        return [failed("driver.fabric", summary, mend=mend, fabric_manager=own, driver=driver)]
    lone = [gpu["index"] for gpu in gpus if _alone(gpu)]
    if lone:
        summary = "GPUs %s did not join the NVLink fabric" % ", ".join(map(str, lone))
        return [failed("driver.fabric", summary, mend="`sudo systemctl restart %s`, else reboot" % UNIT)]
    return [ok("driver.fabric", "the fabric manager%s runs for %d NVSwitches" % (" " + own if own else "", switches))]


def version(text: str) -> Optional[str]:
    """The version in what `nv-fabricmanager --version` prints; None where there is none."""
    return next((word for word in reversed(text.split()) if word[0].isdigit() and "." in word), None)


def _alone(gpu: Dict[str, Any]) -> bool:
    """Whether a GPU is not in the fabric that it belongs to; those before Hopper say N/A."""
    refused = gpu["fabric"] == "Completed" and gpu["fabric_status"] not in ("Success", "N/A", "")
    return refused or gpu["fabric"] in ("Not Started", "In Progress")


def _version(system: System, root: str) -> Optional[str]:
    program = root + "/usr/bin/nv-fabricmanager"
    if not os.access(program, os.X_OK):
        return None
    try:
        done = system.run([program, "--version"], timeout=_DEADLINE)
    except OSError:
        return None
    return version(done.stdout)
