"""What must finish survives the end of the session that began it, and shared data keeps off the disk below a mount."""

from __future__ import annotations

from pathlib import Path

import pytest
from on_host import OnHost
from test_agent_on_hosts import started, wait_for

from provision.agent.protocol import Ready, Step
from provision.lab.fleet import Lab
from provision.lab.hosts import Host
from provision.transport import Unreachable

pytestmark = pytest.mark.lab

SLOW_APT = """#!/bin/sh
cat /proc/self/cgroup > /srv/cgroup
for n in 1 2 3 4 5 6 7 8; do echo unpacking $n; sleep 0.5; done
echo done > /srv/installed
"""


@pytest.fixture(scope="module")
def host(lab: Lab) -> Host:
    return lab.host("gpu-02")


def test_a_package_run_survives_the_kill_of_all_that_ssh_began(lab: Lab, host: Host) -> None:
    apt = Path(f"{host.root}/usr/local/sbin/apt-get")
    apt.write_text(SLOW_APT)
    apt.chmod(0o755)
    with started(lab, host.name) as (_, link):
        assert isinstance(link.receive(30), Ready)
        link.run(1, [Step(1, "package", {"name": "not-there"})])
        wait_for(lambda: Path(f"{host.root}/srv/cgroup").exists(), 20)
        host.run(["systemctl", "kill", "--kill-who=all", "--signal=KILL", "ssh.service"], timeout=20)
        with pytest.raises(Unreachable):
            while True:
                link.receive(10)
    assert not Path(f"{host.root}/srv/installed").exists()
    host.run(["systemctl", "restart", "ssh.service"], timeout=20)
    with started(lab, host.name) as (_, link):
        locked = link.receive(30)
        assert "install not-there" in str(locked)
    wait_for(lambda: Path(f"{host.root}/srv/installed").exists(), 20)
    assert "/system.slice/provision-" in Path(f"{host.root}/srv/cgroup").read_text()
    wait_for(lambda: not host.run(["systemctl", "list-units", "--no-legend", "provision-*"], timeout=20).stdout, 10)
    apt.unlink()


def test_nothing_is_made_below_a_mount_that_is_missing(host: Host) -> None:
    agent = OnHost(host)
    wanted = ("mounted", {"path": "/srv/shared", "type": "tmpfs", "source": "tmpfs"})
    Path(f"{host.root}/srv/shared").mkdir()
    (refused,) = agent.converge(wanted)
    assert refused.error and refused.error["cause"] == "it is a plain directory of the disk above it"
    host.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", "/srv/shared"], timeout=20)
    (read_only,) = agent.converge(wanted)
    assert read_only.error and read_only.error["summary"] == "`/srv/shared` is mounted read-only"
    host.run(["mount", "-o", "remount,rw", "/srv/shared"], timeout=20)
    right, made, again = agent.converge(wanted, ("file", {"path": "/srv/shared/in", "state": "directory"}), wanted)
    assert (right.error, right.done, again.done) == (None, [], [])
    assert made.done == ["create /srv/shared/in"]
    host.run(["umount", "/srv/shared"], timeout=20)
    assert not list(Path(f"{host.root}/srv/shared").iterdir())
