"""Packages from a real apt repository, and the role `nvidia` from no driver to one in use. GPUs and driver are
simulated: packages, holds, locks and reboots are not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from on_host import OnHost

from provision.lab import debs, inventory
from provision.lab.fleet import Lab
from provision.lab.hosts import Host

pytestmark = pytest.mark.lab

OLD, NEW = debs.VERSIONS
PLAY = """
- name: Driver
  hosts: all
  become: true
  vars:
    nvidia_driver: install
    nvidia_fabricmanager: true
    nvidia_lock_timeout: 30
    nvidia_apt_source: "{source}"
  roles: [nvidia]
"""


@pytest.fixture(scope="module")
def fleet() -> Iterator[Lab]:
    """One host for this module alone, without a driver; its tests follow one another."""
    own = Lab(f"test-{os.getpid()}-driver")
    try:
        own.up({"gpu": 1})
        take_driver_away(own.hosts[0])
        yield own
    finally:
        own.down()


@pytest.fixture(scope="module")
def host(fleet: Lab) -> Host:
    return fleet.hosts[0]


def source(lab: Lab) -> str:
    return debs.source(inventory.url(lab.record, "apt/"))


def take_driver_away(host: Host) -> None:
    """Make it a host as it is rented: GPUs on the bus, nouveau loaded, nothing of NVIDIA's."""
    tree = host.root / "etc/provision-lab/tree"
    for name in ("proc/driver", "sys/module/nvidia", "usr"):
        shutil.rmtree(tree / name)
    (tree / "sys/module/nouveau").mkdir()
    (host.root / "usr/bin/nvidia-smi").unlink()
    (host.root / "etc/apt/sources.list").unlink()  # no host reaches it


def held(host: Host) -> list[str]:
    return host.run(["apt-mark", "showhold"]).stdout.split()


def test_packages_are_installed_pinned_held_and_never_downgraded_unasked(fleet: Lab, host: Host) -> None:
    agent = OnHost(host)
    file = ("file", {"path": "/etc/apt/sources.list.d/lab.sources", "content": source(fleet)})
    spec = {"name": f"libnvidia-compute-535={OLD}*", "update_cache": True}
    _, planned = agent.converge(file, ("package", spec), check=True)
    assert (planned.error, planned.done) == (None, ["install libnvidia-compute-535"])
    _, made = agent.converge(file, ("package", {**spec, "hold": True}))
    assert made.error is None
    assert made.done == ["install libnvidia-compute-535", "change hold of libnvidia-compute-535"]
    assert made.fields["versions"] == {"libnvidia-compute-535": f"{OLD}-0lab1"}
    assert held(host) == ["libnvidia-compute-535"]
    assert agent.converge(("package", {**spec, "hold": True}))[0].actions == []
    newer = {"name": f"libnvidia-compute-535={NEW}-0lab1"}
    refused = agent.converge(("package", newer))[0]
    assert refused.error is not None and refused.error["summary"] == "package `libnvidia-compute-535` is held"
    moved = agent.converge(("package", {**newer, "hold": True}))[0]
    assert (moved.error, moved.fields["versions"]) == (None, {"libnvidia-compute-535": f"{NEW}-0lab1"})
    assert held(host) == ["libnvidia-compute-535"]
    refused = agent.converge(("package", {**spec, "hold": False}))[0]
    assert refused.error is not None
    assert refused.error["summary"] == "package `libnvidia-compute-535` would be downgraded"
    back = agent.converge(("package", {**spec, "hold": False, "allow_downgrade": True}))[0]
    assert back.error is None
    assert back.done == ["change hold of libnvidia-compute-535", "install libnvidia-compute-535"]
    gone = agent.converge(("package", {"name": "libnvidia-compute-535", "state": "absent"}))[0]
    assert (gone.error, gone.done) == (None, ["remove libnvidia-compute-535"])
    assert held(host) == []
    (host.root / "etc/apt/sources.list.d/lab.sources").unlink()


def test_who_holds_the_lock_is_waited_for_and_named(host: Host) -> None:
    agent = OnHost(host)
    script = "import fcntl, time; f = open('/var/lib/dpkg/lock-frontend', 'w'); fcntl.lockf(f, fcntl.LOCK_EX)"
    hold = ["python3", "-c", f"{script}; print('held', flush=True); time.sleep(4)"]
    argv = ["nsenter", f"--target={host.pid}", "--mount", "--pid", "--", *hold]
    spec = {"name": "no-such-package", "lock_timeout": 1}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        late = agent.converge(("package", spec))[0]
        waited = agent.converge(("package", {**spec, "lock_timeout": 60}))[0]
        assert holder.wait(10) == 0
    assert late.error is not None and late.error["summary"] == "the package manager is busy"
    assert late.error["cause"].startswith("`python3` (pid ")
    assert "holds dpkg's lock" in late.error["cause"]
    assert waited.error is not None and waited.error["summary"] == "`apt-get install` failed"


def test_cloud_init_is_waited_for_and_named(host: Host) -> None:
    agent = OnHost(host)
    status = '{"v1": {"stage": "modules-final"}}'
    host.run(["sh", "-c", "mkdir /run/cloud-init; cat > /run/cloud-init/status.json"], stdin=status)
    late = agent.converge(("package", {"name": "no-such-package", "lock_timeout": 1}))[0]
    host.run(["rm", "-r", "/run/cloud-init"])
    assert late.error is not None
    assert late.error["cause"].startswith("cloud-init in stage modules-final sets up this host for over")


def apply(lab: Lab, project: Path, *argv: str, word: str = "apply", code: int = 0) -> dict[str, Any]:
    yes = ["-y"] if word == "apply" else []
    argv = ("-m", "provision", word, "driver.yaml", "-i", str(lab.inventory), "-o", "json", *yes, *argv)
    done = subprocess.run(
        [sys.executable, *argv], cwd=project, capture_output=True, text=True, timeout=240, stdin=subprocess.DEVNULL
    )
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.fixture
def project(fleet: Lab, tmp_path: Path) -> Path:
    """The shipped role and a play of its own."""
    roles = Path(__file__).resolve().parents[2] / "roles"
    shutil.copytree(roles / "nvidia", tmp_path / "roles/nvidia")
    (tmp_path / "driver.yaml").write_text(PLAY.format(source=source(fleet).replace("\n", "\\n")))
    return tmp_path


def failure(result: dict[str, Any], text: str) -> str:
    """The task that failed, whose summary or cause has this text."""
    (found,) = result["failures"]
    assert text in found["error"]["summary"] + found["error"]["cause"]
    return str(found["task"])


def driver(host: Host) -> str:
    return host.run(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "-i", "0"]).stdout.strip()


def test_what_stands_against_an_installation_is_named_before_it(fleet: Lab, host: Host, project: Path) -> None:
    tree = host.root / "etc/provision-lab/tree"
    variable = tree / "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    variable.parent.mkdir(parents=True)
    variable.write_bytes(b"\x06\0\0\0\x01")
    refused = apply(fleet, project, code=2)
    assert failure(refused, "Secure Boot is on") == "nvidia : Secure Boot takes the driver's module"
    assert refused["changes"] == []
    shutil.rmtree(tree / "sys/firmware")
    refused = apply(fleet, project, "-e", "nvidia_apt_source=", code=2)
    kernel = f"linux-headers-{os.uname().release}"
    assert failure(refused, kernel) == "nvidia : Headers of the running kernel, to build the module with"
    checked = apply(fleet, project, "-e", "nvidia_driver=check", code=2)
    assert failure(checked, "the driver is not installed") == "nvidia : GPUs and driver meet the requirements"
    assert "the kernel module `nouveau` is loaded in place of `nvidia`" in checked["failures"][0]["error"]["cause"]
    assert not (host.root / "usr/bin/nvidia-smi").exists()


def test_from_nouveau_to_a_pinned_driver_and_its_next_version(fleet: Lab, host: Host, project: Path) -> None:
    old, new = ("-e", f"nvidia_version={OLD}"), ("-e", f"nvidia_version={NEW}")
    planned = apply(fleet, project, *old, word="plan")
    assert "nvidia : Driver is installed and held" in {change["task"] for change in planned["changes"]}
    waiting = apply(fleet, project, *old, code=2)
    assert failure(waiting, "`nouveau` is loaded and holds the GPUs") == "nvidia : The driver waits for a reboot"
    assert held(host) == ["nvidia-driver-535", "nvidia-fabricmanager-535"]
    host.kill()
    host.start()
    first = apply(fleet, project, *old)
    assert first["simulated"]
    assert {change["task"] for change in first["changes"]} == {"nvidia : Fabric manager runs"}
    assert driver(host) == OLD
    assert apply(fleet, project, *old)["changes"] == []
    rebooted = apply(fleet, project, *new, "-e", "nvidia_reboot=true")
    assert [change["task"] for change in rebooted["changes"]] == [
        "nvidia : Version of the driver is pinned",
        "nvidia : Driver is installed and held",
        "nvidia : The driver is brought into use by a reboot",
    ]
    assert apply(fleet, project, *new)["changes"] == []
    assert (driver(host), held(host)) == (NEW, ["nvidia-driver-535", "nvidia-fabricmanager-535"])
