"""What is said of a new host, and for which of it a host cannot join."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from provision.onboarding.fits import Fit, description, lines, refusal
from provision.onboarding.looking import Looked
from provision.verify.ladder import Finding
from provision.what_if import Verdict

DEVICE = {"index": 0, "name": "NVIDIA A10", "memory_mb": 23028, "compute_capability": "8.6"}
FACTS: dict[str, Any] = {
    "os": {"id": "debian", "name": "Debian GNU/Linux 12 (bookworm)"},
    "architecture": "x86_64",
    "python": "3.11.2",
    "glibc": "2.36",
    "cpus": 16,
    "memory_mb": 64 * 1024,
    "init": "systemd",
    "gpu": {"driver": "440.33.01", "devices": [DEVICE, {**DEVICE, "index": 1}], "simulated": True},
}
DISK = Finding("system", "system.disk", "ok", "space is free at `/`", "/", {"free": 5 << 30})
FULL = Finding("system", "system.disk", "failed", "12 MiB are free at `/`", "/", {"free": 12 << 20}, mend="`sudo du`")
NOUVEAU = Finding("driver", "driver.nouveau", "failed", "nouveau is loaded", mend="the role `nvidia`")
RUNS = Verdict("gpu-09", "img2video", "runs", file=Path("environment.yml"))
OLD = Verdict("gpu-09", "llama", "broken", ("CUDA 12.4 needs driver 525.60.13 or newer, not 440.33.01",))
NO_CODE = Verdict("gpu-09", "llama", "broken", ("CUDA 11.8 has code for 3.5 to 9.0, not for GPU 0 B200 (10.0)",))
DONE = replace(OLD, state="runs", reasons=())


def case(*findings: Finding, fit: Fit) -> tuple[Looked, Fit]:
    return Looked(FACTS, list(findings)), fit


CASES = {
    "all is well": case(DISK, fit=Fit([RUNS], [RUNS], root="logs in as root")),
    "old driver": case(DISK, fit=Fit([RUNS, OLD], [RUNS, DONE])),
    "old driver that is replaced": case(NOUVEAU, fit=Fit([OLD], [DONE], brings_driver=True)),
    "no code for it": case(fit=Fit([NO_CODE], [NO_CODE], brings_driver=True)),
    "full": case(FULL, fit=Fit([RUNS], [RUNS])),
}
STOPPED = {"old driver", "no code for it", "full"}


@pytest.mark.parametrize("name", CASES)
def test_what_is_said(name: str, snapshot: SnapshotAssertion) -> None:
    looked, fit = CASES[name]
    error = refusal("gpu-09", looked, fit)
    assert (error is not None) == (name in STOPPED)
    assert "\n".join([*lines(looked, fit), str(error or "")]) == snapshot


def test_a_host_without_gpus_and_systemd() -> None:
    said = description({**FACTS, "init": "none", "gpu": {"driver": None, "devices": []}})
    assert said.endswith("no GPU answers, no NVIDIA driver, no systemd: apps run under supervisor")


def test_escapes_of_a_host_are_not_shown() -> None:
    assert "\x1b" not in description({**FACTS, "os": {"name": "evil \x1b[31mred"}})
