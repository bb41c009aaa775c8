"""Hosts that vanish: before they are connected to, and in the middle of a step. Both waits run side by side."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from provision.lab.fleet import Lab
from provision.lab.hosts import Host
from provision.lab.processes import run

pytestmark = pytest.mark.lab

PLAY = "- hosts: systemd\n  tasks:\n    - command: sleep {{ 60 if inventory_hostname == 'gpu-02' else 1 }}\n"


class Vanished:
    """A host whose cable is cut, while this machine still knows where to send packets: nothing ever answers."""

    def __init__(self, lab: Lab, host: Host) -> None:
        hardware = f"02:77:{lab.record.subnet:02x}:00:00:{host.host.octet:02x}"
        where = ["dev", lab.record.device]
        run(["ip", "neigh", "replace", host.address, "lladdr", hardware, "nud", "permanent", *where])
        self._forget = ["ip", "neigh", "del", host.address, *where]
        self._host = host
        host.cut()

    def back(self) -> None:
        self._host.mend()
        run(self._forget)


def test_each_lost_host_is_noticed_in_time_and_costs_its_own_row(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "play.yaml").write_text(PLAY)
    argv = ["apply", str(tmp_path / "play.yaml"), "-y", "-i", str(lab.inventory), "-o", "jsonl"]
    never, middle = lab.host("gpu-03"), lab.host("gpu-02")
    vanished = [Vanished(lab, never)]
    seen: dict[tuple[str, str], tuple[float, dict[str, Any]]] = {}
    cut = 0.0
    try:
        with subprocess.Popen([sys.executable, "-m", "provision", *argv], stdout=subprocess.PIPE, text=True) as running:
            assert running.stdout
            for line in running.stdout:
                event = json.loads(line)
                seen[event["event"], event.get("host", "")] = (time.monotonic(), event)
                if (event["event"], event.get("host")) == ("StepStarted", "gpu-02"):
                    vanished.append(Vanished(lab, middle))
                    cut = time.monotonic()
            code = running.wait(10)
    finally:
        for one in vanished:
            one.back()
    begun, _ = seen["RunStarted", ""]
    refused, error = seen["HostUnreachable", "gpu-03"]
    lost, other = seen["HostUnreachable", "gpu-02"]
    ended, _ = seen["HostEnded", "gpu-01"]
    assert code == 4
    assert refused - begun <= 12
    assert "within 10 s" in error["error"]["summary"] + error["error"]["cause"]
    assert lost - cut <= 30
    assert "gpu-02" in other["error"]["summary"]
    assert ended < refused, "the host that is well waits for nobody"
    assert ("HostUnreachable", "gpu-01") not in seen
    assert not [key for key in seen if key[0] == "HostFailed"]
    print(f"lost after {lost - cut:.1f} s, unconnected after {refused - begun:.1f} s")
    let_go(middle)


def let_go(host: Host) -> None:
    """The agent there ends too, once packets flow again; other tests would find the host locked until then."""
    deadline = time.monotonic() + 45
    lock = ["flock", "--nonblock", "/var/lib/provision/lock", "true"]
    while host.run(lock, check=False).returncode:
        assert time.monotonic() < deadline
        time.sleep(0.2)
