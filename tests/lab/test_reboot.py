"""A play that reboots its hosts and goes on; and hosts that do not come back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provision.lab.fleet import Lab
from provision.lab.hosts import Host

pytestmark = pytest.mark.lab

PLAY = """\
- hosts: all
  tasks:
    - copy: {dest: /run/before, content: "1"}
    - reboot: {msg: A test, reboot_timeout: 60, test_command: systemctl is-active ssh}
      register: rebooted
    - stat: {path: /run/before}
      register: before
    - command: "echo {{ rebooted.elapsed }} {{ before.stat.exists }} {{ facts.boot_id }}"
      register: said
    - copy: {dest: /root/after, content: "{{ said.stdout }}"}
"""


@pytest.fixture(scope="module")
def fleet() -> Iterator[Lab]:
    own = Lab(f"test-{os.getpid()}-boot")
    try:
        own.up({"gpu": 2, "plain": 1})
        yield own
    finally:
        own.down()


def boot_id(host: Host) -> str:
    return host.run(["cat", "/proc/sys/kernel/random/boot_id"]).stdout.strip()


def command(lab: Lab, folder: Path, text: str, *argv: str, verb: str = "apply") -> list[str]:
    (folder / "play.yaml").write_text(text)
    more = ["-y"] if verb == "apply" else []
    play = str(folder / "play.yaml")
    return [sys.executable, "-m", "provision", verb, play, "-i", str(lab.inventory), "-o", "json", *more, *argv]


def provision(lab: Lab, folder: Path, text: str, *argv: str, code: int = 0, verb: str = "apply") -> dict[str, Any]:
    done = subprocess.run(
        command(lab, folder, text, *argv, verb=verb), capture_output=True, text=True, timeout=150, cwd=folder
    )
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def asked(host: Host) -> bool:
    """Whether a reboot was asked for that nobody has seen the end of."""
    return (host.root / "var/lib/provision/journal/reboot.json").exists()


def test_a_play_reboots_its_hosts_and_goes_on(fleet: Lab, tmp_path: Path) -> None:
    hosts = [fleet.host(name) for name in ("gpu-01", "gpu-02")]
    boots = [boot_id(host) for host in hosts]
    planned = provision(fleet, tmp_path, PLAY, "-l", "systemd", verb="plan")
    assert [change["actions"][0]["verb"] for change in planned["changes"] if "reboot" in change["task"]] == [
        "reboot"
    ] * 2
    assert [boot_id(host) for host in hosts] == boots
    connections = [host.connections() for host in hosts]
    result = provision(fleet, tmp_path, PLAY, "-l", "systemd")
    assert {name: host["failed"] + host["unreachable"] for name, host in result["hosts"].items()} == {
        "gpu-01": 0,
        "gpu-02": 0,
    }
    for host, before, count in zip(hosts, boots, connections, strict=True):
        elapsed, kept, boot = (host.root / "root/after").read_text().split()
        assert 3 <= int(elapsed) <= 60
        assert kept == "False", "/run is empty after a reboot"
        assert boot_id(host) == boot != before
        assert not asked(host)
        assert host.connections() >= count + 2
    (change,) = [each for each in result["changes"] if each["host"] == "gpu-01" and "reboot" in each["task"]]
    assert change["actions"] == [{"verb": "reboot", "target": "gpu-01", "before": None, "after": None}]
    assert change["seconds"] >= 3


def test_hosts_that_cannot_or_do_not_come_back(fleet: Lab, tmp_path: Path) -> None:
    host = fleet.host("gpu-02")
    text = "- hosts: all\n  tasks:\n    - reboot: {reboot_timeout: 20}\n    - command: 'true'\n"
    running = subprocess.Popen(
        command(fleet, tmp_path, text, "-l", "gpu-02:plain-01", "-T", "3"), stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 30
    while not asked(host):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    host.cut()
    try:
        said, _ = running.communicate(timeout=60)
    finally:
        host.mend()
    result = json.loads(said)
    assert running.returncode == 6
    gone, refused = result["hosts"]["gpu-02"], result["hosts"]["plain-01"]
    assert gone["unreachable"]
    assert gone["failed"] == 0
    # on a busy machine the host may be gone before it said that it goes
    lost, late = "lost the connection to gpu-02", "`gpu-02` did not come back within 20 s of its reboot"
    assert gone["error"]["summary"] in (lost, late)
    assert gone["error"]["summary"] == lost or "the last try: " in gone["error"]["cause"]
    assert refused["failed"] == 1
    (failure,) = result["failures"]
    assert failure["error"]["summary"] == "this host cannot be rebooted from inside"


def test_a_reboot_whose_run_was_killed_is_not_done_again(fleet: Lab, tmp_path: Path) -> None:
    host = fleet.host("gpu-01")
    text = "- hosts: all\n  tasks:\n    - reboot: {reboot_timeout: 60}\n    - command: 'true'\n"
    before, first = boot_id(host), host.pid
    running = subprocess.Popen(command(fleet, tmp_path, text, "-l", "gpu-01"), stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not asked(host):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.5)
    running.send_signal(signal.SIGKILL)
    running.wait(10)
    while host.pid == first:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    host.wait()
    boot = boot_id(host)
    assert boot != before
    result = provision(fleet, tmp_path, text, "-l", "gpu-01")
    assert boot_id(host) == boot, "it did not reboot again"
    (change,) = [each for each in result["changes"] if "reboot" in each["task"]]
    assert "whose run did not see its end" in change["actions"][0]["target"]
    assert not asked(host)
    provision(fleet, tmp_path, text, "-l", "gpu-01")
    assert boot_id(host) != boot, "the next one is a reboot of its own"


def test_an_interrupted_wait_ends_at_once(fleet: Lab, tmp_path: Path) -> None:
    host = fleet.host("gpu-01")
    text = "- hosts: all\n  tasks:\n    - reboot: {reboot_timeout: 60}\n"
    running = subprocess.Popen(command(fleet, tmp_path, text, "-l", "gpu-01"), stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not asked(host):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1)
    begun = time.monotonic()
    running.send_signal(signal.SIGINT)
    said, _ = running.communicate(timeout=20)
    assert time.monotonic() - begun < 3
    assert json.loads(said)["interrupted"]
