"""The directives that confine an app, and the numbers of the GPUs that it may open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from provision.agent import hardening
from provision.agent.hardening import Confinement, lines, minors

DEVICES = [{"index": 0, "uuid": "GPU-a"}, {"index": 1, "uuid": "GPU-b"}]


def of(**given: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in lines(Confinement(**{"user": "root", "paths": ["/srv/web"], **given})):
        key, _, value = line.partition("=")
        found.setdefault(key, []).append(value)
    return found


def test_an_app_without_gpus_opens_no_device_of_nvidia() -> None:
    made = of()
    assert made["DevicePolicy"] == ["closed"]
    assert "DeviceAllow" not in made
    assert "ExecStartPre" not in made


def test_an_app_opens_its_own_gpus_and_the_control_nodes() -> None:
    made = of(minors=[1], count=8)
    nodes = ["/dev/nvidia1", "/dev/nvidiactl", "/dev/nvidia-modeset"]
    groups = ["char-nvidia-uvm", "char-nvidia-caps*", "char-nvidia-nvswitch*"]
    assert made["DeviceAllow"] == [f"{device} rw" for device in (*nodes, *groups)]
    (command,) = made["ExecStartPre"]
    assert command.startswith("+-/bin/sh -c ") and "nvidia-modprobe -u -c=1;" in command


def test_an_app_of_all_gpus_opens_all_devices_of_nvidia() -> None:
    made = of(minors=None, count=2)
    assert made["DeviceAllow"] == ["char-nvidia* rw"]
    assert "-c=0 -c=1;" in made["ExecStartPre"][0]


@pytest.mark.parametrize(
    ("relaxed", "key", "value"),
    [
        ({"writable": ["/a b"]}, "ReadWritePaths", '-/srv/web "-/a b"'),
        ({"shared_tmp": True}, "ReadWritePaths", "-/srv/web -/tmp -/var/tmp"),
        ({"shared_tmp": True}, "PrivateTmp", None),
        ({"devices": ["char-infiniband*"]}, "DeviceAllow", "char-infiniband* rw"),
        ({"address_families": ["AF_VSOCK"]}, "RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_VSOCK"),
        ({"namespaces": True}, "RestrictNamespaces", None),
        ({"namespaces": True}, "SystemCallFilter", "~@clock @cpu-emulation @module @obsolete @raw-io @reboot @swap"),
        ({"system_calls": True}, "SystemCallFilter", None),
        ({"new_privileges": True}, "NoNewPrivileges", None),
        ({"unconfined": True}, "ProtectSystem", None),
    ],
)
def test_each_relaxation_changes_one_thing(relaxed: dict[str, Any], key: str, value: str | None) -> None:
    assert of(relaxed=relaxed).get(key) == (None if value is None else [value])


def test_root_keeps_few_capabilities_and_others_none() -> None:
    assert "CAP_DAC_OVERRIDE" in of()["CapabilityBoundingSet"][0]
    assert "CAP_SYS_ADMIN" not in of()["CapabilityBoundingSet"][0]
    assert of(user="app")["CapabilityBoundingSet"] == [""]
    assert of(user="app", relaxed={"capabilities": ["CAP_SYS_NICE"]})["CapabilityBoundingSet"] == ["CAP_SYS_NICE"]


@pytest.mark.parametrize(
    "relaxed",
    [
        {"privileged": True},
        {"writable": "/scratch"},
        {"writable": ["scratch"]},
        {"shared_tmp": []},
        {"devices": ["/etc/passwd"]},
        {"devices": ["/dev/null rw\nExecStart=/bin/sh"]},
        {"capabilities": ["SYS_ADMIN"]},
        {"address_families": ["AF_INET AF_PACKET"]},
    ],
)
def test_what_is_no_relaxation_is_refused(relaxed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="hardening: "):
        hardening.check(relaxed)


def test_a_gpu_is_found_by_what_the_driver_says_of_it(tmp_path: Path) -> None:
    # by PCI address the second GPU may have the first node
    for name, uuid, minor in (("0000:01:00.0", "GPU-a", 1), ("0000:02:00.0", "GPU-b", 0)):
        (tmp_path / name).mkdir()
        text = f"Model: \t\t NVIDIA A100\nGPU UUID: \t {uuid}\nDevice Minor: \t {minor}\n"
        (tmp_path / name / "information").write_text(text)
    folder = str(tmp_path)
    assert minors(["0"], DEVICES, folder) == minors(["GPU-a"], DEVICES, folder) == [1]
    assert minors([1, 0], DEVICES, folder) == [0, 1]
    assert minors([], DEVICES, folder) == []
    assert minors(["MIG-x"], DEVICES, folder) is None
    assert minors(["0"], DEVICES, str(tmp_path / "missing")) is None
