"""The lab's simulated GPUs: what a host's nvidia-smi, /proc and /sys say of them, read as a host's agent reads it."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from provision.agent.verify import gpu_report, kernel, pci
from provision.lab import gpus
from provision.lab.gpus import Gpus, Process


@pytest.fixture
def usual() -> Gpus:
    return gpus.of_host("unit", "gpu-01", 0, count=3)


def ask(folder: Path, wanted: Gpus, *argv: str) -> str:
    (folder / "gpus").write_text(wanted.text())
    program = folder / "nvidia-smi"
    program.write_text(gpus.nvidia_smi().replace("/etc/provision-lab/gpus", str(folder / "gpus")))
    done = subprocess.run(["sh", program, *argv], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_its_report_is_read_and_says_that_it_is_simulated(tmp_path: Path, usual: Gpus) -> None:
    text = ask(tmp_path, usual, "-q", "-x")
    assert gpus.MARK in text
    found = gpu_report.parse(text)
    assert (found["driver"], found["cuda"], len(found["gpus"])) == ("535.104.05", "12.2", 3)
    last = found["gpus"][2]
    assert (last["uuid"], last["name"]) == (usual.devices[2][0], "NVIDIA A100-SXM4-80GB")
    assert (last["address"], last["persistence"], last["mode"]) == ("0000:17:00.0", "Enabled", "Default")
    assert (last["ecc"], last["throttling"], last["processes"], last["mig"]) == (0, [], [], "N/A")
    assert (last["total_mb"], last["used_mb"], last["free_mb"]) == (81920, 0, 81920)


def test_states_and_processes_are_shown(tmp_path: Path, usual: Gpus) -> None:
    first, second, third = [identifier for identifier, _ in usual.devices]
    changed = replace(
        usual,
        lost=frozenset([second]),
        states={first: {"persistence": "Disabled", "ecc": "4", "throttling": "hw_slowdown", "mode": "Prohibited"}},
        processes=[Process(third, 4711, "python app.py", 2048), Process(third, 4712, "Xorg", 20, "G")],
    )
    one, other = gpu_report.parse(ask(tmp_path, changed, "-q", "-x"))["gpus"]
    assert (one["persistence"], one["ecc"], one["throttling"], one["mode"]) == (
        *("Disabled", 4, ["hw slowdown"], "Prohibited"),
    )
    assert (other["uuid"], other["index"], other["used_mb"]) == (third, 1, 2068)
    assert [tuple(process.values()) for process in other["processes"]] == [
        (4711, "C", "python app.py", 2048),
        (4712, "G", "Xorg", 20),
    ]
    apps = ask(tmp_path, changed, "--query-compute-apps=gpu_uuid,pid,name,used_memory", "--format=csv,noheader")
    assert apps.splitlines() == [f"{third}, 4711, python app.py, 2048 MiB", f"{third}, 4712, Xorg, 20 MiB"]
    memory = ask(tmp_path, changed, "--query-gpu=index,memory.used,compute_mode", "--format=csv,noheader,nounits")
    assert memory.splitlines() == ["0, 0, Prohibited", "1, 2068, Default"]


def test_the_rest_of_the_hardware_is_a_tree_that_says_so(tmp_path: Path, usual: Gpus) -> None:
    (tmp_path / "etc/provision-lab").mkdir(parents=True)
    changed = replace(usual, module="535.54.03", nouveau=True, switches=2, built=False, xids=[("00000000:0F:00.0", 79)])
    gpus.install(tmp_path, usual)
    gpus.install(tmp_path, changed)
    tree = str(tmp_path / "etc/provision-lab/tree")
    assert gpus.MARK in Path(tree, "SIMULATED").read_text()
    assert "simulated" in Path(tree, "proc/driver/nvidia/version").read_text()
    assert (kernel.module_version(tree), kernel.library_version(tree)) == ("535.54.03", "535.104.05")
    assert kernel.loaded("nouveau", tree)
    (running,) = [path.name for path in Path(tree, "lib/modules").iterdir()]
    assert kernel.has_module(running, tree) is False
    assert pci.devices(tree) == (
        ["0000:07:00.0", "0000:0f:00.0", "0000:17:00.0"],
        ["0000:c4:00.0", "0000:c5:00.0"],
    )
    (xid,) = kernel.parse_xids(Path(tree, "kernel.log").read_text(), 100.0)
    assert (xid.address, xid.number, xid.time) == ("0000:0f:00", 79, 105.0)
    gpus.install(tmp_path, usual)
    assert not kernel.loaded("nouveau", tree) and kernel.has_module(running, tree)
