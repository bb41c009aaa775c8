"""What a host shows of GPUs without their driver, and why they give no answer in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from provision.agent import gpus
from provision.agent.gpu_absence import explain, reboot_reason
from provision.agent.gpu_host import Seen, look
from provision.agent.resources import gpu
from provision.agent.system import System

KERNEL = "6.1.0-18-amd64"


def put(root: Path, files: dict[str, str | bytes]) -> str:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(root)


def test_an_empty_host_shows_nothing(tmp_path: Path) -> None:
    assert look(str(tmp_path), KERNEL) == Seen(kernel=KERNEL)


def test_gpus_and_switches_are_read_off_the_bus(tmp_path: Path) -> None:
    devices = {
        "0000:07:00.0": ("0x10de", "0x030200"),
        "0000:07:00.1": ("0x10de", "0x040300"),
        "0000:0f:00.0": ("0x10de", "0x030000"),
        "0000:c1:00.0": ("0x10de", "0x068000"),
        "0000:00:02.0": ("0x8086", "0x030000"),
    }
    for address, (vendor, kind) in devices.items():
        put(tmp_path / "sys/bus/pci/devices" / address, {"vendor": f"{vendor}\n", "class": f"{kind}\n"})
    seen = look(str(tmp_path), KERNEL)
    assert (seen.bus, seen.nvswitches) == (["0000:07:00.0", "0000:0f:00.0"], 1)


def test_modules_libraries_headers_and_secure_boot_are_read(tmp_path: Path) -> None:
    version = (
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC version: 12\n"
    )
    root = put(
        tmp_path,
        {
            "proc/driver/nvidia/version": version,
            "usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1": "",
            "usr/lib/x86_64-linux-gnu/libnvidia-ml.so.535.129.03": "",
            f"lib/modules/{KERNEL}/build/Makefile": "",
            "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c": b"\x06\0\0\0\x01",
            "dev/nvidiactl": "",
            "run/systemd/container": "lxc\n",
            "sys/module/nouveau/version": "",
        },
    )
    assert look(root, KERNEL) == Seen(
        loaded="535.104.05",
        module=True,
        library="535.129.03",
        device_node=True,
        container="lxc",
        secure_boot=True,
        nouveau=True,
        kernel=KERNEL,
        kernel_headers=True,
    )


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({".dockerenv": ""}, "docker"),
        ({"run/.containerenv": ""}, "podman"),
        ({"proc/1/environ": "PATH=/bin\0container=oci\0"}, "oci"),
    ],
)
def test_kinds_of_containers_are_told_apart(tmp_path: Path, files: dict[str, str | bytes], kind: str) -> None:
    assert look(put(tmp_path, files), KERNEL).container == kind


def test_a_module_that_is_not_loaded_is_found_among_those_of_the_kernel(tmp_path: Path) -> None:
    dep = f"lib/modules/{KERNEL}/modules.dep"
    assert not look(put(tmp_path, {dep: "kernel/drivers/i2c/i2c-nvidia-gpu.ko.xz:\n"}), KERNEL).module
    assert look(put(tmp_path, {dep: "updates/dkms/nvidia.ko.xz: kernel/drivers/drm.ko\n"}), KERNEL).module


BUS = ["0000:07:00.0", "0000:0f:00.0"]
MISMATCH = "Failed to initialize NVML: Driver/library version mismatch"
SILENT = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."
HOSTS = {
    "no GPU": (Seen(), ""),
    "no GPU, but its driver": (Seen(tool=True, library="535.104.05"), SILENT),
    "no driver": (Seen(bus=BUS), ""),
    "no driver and nouveau": (Seen(bus=BUS[:1], nouveau=True), ""),
    "nouveau in place of nvidia": (Seen(bus=BUS, nouveau=True, library="535.104.05"), ""),
    "nouveau until the next boot": (Seen(bus=BUS, nouveau=True, library="535.104.05", tool=True), SILENT),
    "no module for this kernel": (Seen(bus=BUS, tool=True, library="535.104.05", kernel=KERNEL), SILENT),
    "no module, headers are there": (
        Seen(bus=BUS, tool=True, library="535.104.05", kernel=KERNEL, kernel_headers=True),
        SILENT,
    ),
    "not loaded": (Seen(bus=BUS, tool=True, library="535.104.05", module=True), SILENT),
    "not signed": (Seen(bus=BUS, tool=True, library="535.104.05", module=True, secure_boot=True), SILENT),
    "another version loaded": (Seen(bus=BUS, tool=True, library="535.129.03", loaded="535.104.05"), MISMATCH),
    "no tools": (Seen(bus=BUS, loaded="535.104.05"), ""),
    "fell off the bus": (Seen(bus=BUS, loaded="535.104.05", library="535.104.05", tool=True), "No devices were found"),
    "container without mounts": (Seen(bus=BUS, loaded="535.104.05", container="docker"), ""),
    "container on a machine without driver": (Seen(bus=BUS[:1], tool=True, container="podman"), SILENT),
    "container without GPUs": (Seen(container="docker"), ""),
}


@pytest.mark.parametrize("host", HOSTS)
def test_what_is_missing_is_told(host: str, snapshot: SnapshotAssertion) -> None:
    cause, hint = explain(*HOSTS[host])
    assert f"cause: {cause}\nhint: {hint}" == snapshot


def test_only_a_mismatch_and_nouveau_need_a_reboot() -> None:
    reasons = {host: reboot_reason(*told) for host, told in HOSTS.items()}
    assert {host for host, reason in reasons.items() if reason} == {
        "nouveau until the next boot",
        "another version loaded",
    }


DEVICE = {"index": 0, "uuid": "GPU-a", "name": "NVIDIA A10", "memory_mb": 23028, "compute_capability": "8.6"}
ANSWER = {"driver": "535.104.05", "cuda": "12.2", "devices": [DEVICE], "simulated": False}


@pytest.mark.parametrize(
    ("facts", "notes", "asked"),
    [
        (ANSWER, {}, 0),
        (ANSWER, {"packages_changed": True}, 1),
        ({"driver": None, "devices": []}, {}, 1),
        ({"driver": None, "devices": [], "error": "nvidia-smi gave no answer within 10 s"}, {}, 0),
    ],
    ids=["right", "packages changed", "none", "hangs"],
)
def test_nvidia_smi_is_asked_again_only_where_its_answer_may_be_another(
    monkeypatch: pytest.MonkeyPatch, facts: dict[str, Any], notes: dict[str, Any], asked: int
) -> None:
    times: list[int] = []

    def ask() -> dict[str, Any]:
        times.append(1)
        return ANSWER

    monkeypatch.setattr(gpus, "ask", ask)
    system = System(blob=str, facts={"gpu": facts}, notes=notes)
    state = gpu.observe(gpu.Spec(count=1), system)
    assert len(times) == asked
    assert bool(state.devices) == (asked == 1 or facts is ANSWER)
    assert system.facts["gpu"] == (ANSWER if asked else facts)
