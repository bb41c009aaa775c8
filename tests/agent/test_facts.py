"""Facts of hosts, and of GPUs as several nvidia-smi tell them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from provision.agent import gpus
from provision.agent.facts import gather, parse_release
from provision.agent.gpus import Question, parse_devices, parse_table

TABLE = """
+---------------------------------------------------------------------------------------+
| NVIDIA-SMI 535.104.05             Driver Version: 535.104.05   CUDA Version: 12.2     |
"""
OLD_TABLE = "| NVIDIA-SMI 440.64.00    Driver Version: 440.64.00    CUDA Version: 10.2     |"
DEVICES = "0, GPU-a, NVIDIA A100-SXM4-80GB, 81920, 8.0\n1, GPU-b, NVIDIA A100-SXM4-80GB, 81920, 8.0\n"


def nvidia_smi(folder: Path, table: str, query: str) -> str:
    program = folder / "nvidia-smi"
    program.write_text(f'#!/bin/sh\ncase "$*" in\n"") {table};;\n*) {query};;\nesac\n')
    program.chmod(0o755)
    return str(program)


def answer(program: str) -> dict[str, Any]:
    import select

    question = Question(program)
    while question.descriptors() and time.monotonic() < question.deadline:
        for descriptor in select.select(question.descriptors(), [], [], 0.05)[0]:
            question.take(descriptor)
    return question.answer()


def test_driver_cuda_and_devices(tmp_path: Path) -> None:
    found = answer(nvidia_smi(tmp_path, f"echo '{TABLE}'", f"printf '{DEVICES}'"))
    device = {"name": "NVIDIA A100-SXM4-80GB", "memory_mb": 81920, "compute_capability": "8.0"}
    assert found == {
        "driver": "535.104.05",
        "cuda": "12.2",
        "devices": [{"index": 0, "uuid": "GPU-a", **device}, {"index": 1, "uuid": "GPU-b", **device}],
        "simulated": False,
    }


def test_a_driver_that_does_not_know_compute_capabilities(tmp_path: Path) -> None:
    query = 'case "$*" in *compute_cap*) echo \'Field "compute_cap" is not a valid field to query.\'; exit 2;; esac\n'
    query += "echo '0, GPU-a, Tesla V100, 16160'"
    found = answer(nvidia_smi(tmp_path, f"echo '{OLD_TABLE}'", query))
    assert (found["driver"], found["cuda"]) == ("440.64.00", "10.2")
    assert found["devices"][0]["name"] == "Tesla V100" and found["devices"][0]["compute_capability"] is None


def test_why_nvidia_smi_fails_is_told(tmp_path: Path) -> None:
    words = "Failed to initialize NVML: Driver/library version mismatch"
    found = answer(nvidia_smi(tmp_path, f"echo '{words}'; exit 18", f"echo '{words}'; exit 18"))
    assert (found["devices"], found["error"]) == ([], words)


def test_an_nvidia_smi_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "DEADLINE", 0.3)
    began = time.monotonic()
    found = answer(nvidia_smi(tmp_path, f"echo '{TABLE}'", "sleep 30"))
    assert time.monotonic() - began < 2
    assert found["driver"] == "535.104.05" and found["devices"] == []
    assert found["error"] == "nvidia-smi gave no answer within 0 s"


def test_the_labs_nvidia_smi_is_known(tmp_path: Path) -> None:
    program = nvidia_smi(tmp_path, "true", "true")
    assert not gpus.is_simulated(program)
    Path(program).write_text("#!/bin/sh\n# provision-lab-simulated\n")
    assert gpus.is_simulated(program)


@pytest.mark.parametrize("text", ["", "No devices were found", "| Driver Version: N/A   CUDA Version: N/A |"])
def test_tables_without_versions(text: str) -> None:
    assert parse_table(text) == (None, None)


def test_lines_that_are_no_devices_are_left_out() -> None:
    assert parse_devices("No devices were found\n\nUnable to determine: x, y\n") == []
    assert parse_devices("3, GPU-c, GH200, [N/A], 9.0")[0]["memory_mb"] is None


def test_release() -> None:
    text = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n# x\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n'
    name = "Debian GNU/Linux 12 (bookworm)"
    assert parse_release(text) == {"id": "debian", "version": "12", "name": name, "codename": "bookworm"}
    assert parse_release("") == {"id": "", "version": "", "name": "", "codename": ""}


def test_facts_of_this_host() -> None:
    began = time.process_time()
    facts = gather()
    assert time.process_time() - began < 0.05
    assert facts["cpus"] >= 1 and facts["memory_mb"] > 100 and facts["uid"] == os.geteuid()
    assert facts["kernel"] == os.uname().release and facts["boot_id"] and facts["glibc"].startswith("2.")
    assert facts["init"] in ("systemd", "none")
