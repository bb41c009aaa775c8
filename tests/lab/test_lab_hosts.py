"""Hosts of a lab are real hosts: what they are, what can be done to them, and that they leave nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from provision.errors import ProvisionError
from provision.lab import rootfs
from provision.lab.fleet import Lab
from provision.lab.hosts import Host
from provision.lab.processes import Identity
from provision.lab.state import Record, State, locked

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def plain_host(lab: Lab) -> Host:
    lab.up({"plain": 1})
    return lab.host("plain-01")


@pytest.fixture
def short() -> Iterator[Lab]:
    """A lab that one test brings up and takes down."""
    own = Lab(f"test-{os.getpid()}-short")
    yield own
    own.down()


def ssh(lab: Lab, host: str, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["ssh", "-F", lab.state.ssh_config, host, *argv],
        capture_output=True,
        text=True,
        timeout=20,
        stdin=subprocess.DEVNULL,
    )


def until(true: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def traces(name: str) -> list[str]:
    """Everything on this machine that belongs to the lab `name`."""
    found = [
        line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines() if f"/labs/{name}/" in line
    ]
    spaces = Path("/run/netns")
    found += [str(path) for path in spaces.glob(f"plab.{name}*")] if spaces.exists() else []
    found += [top for top, _, _ in os.walk("/sys/fs/cgroup") if top.endswith(f"/provision-lab/{name}")]
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = process.read_bytes()
        except OSError:
            continue
        if f"/labs/{name}/".encode() in words:
            found.append(words.replace(b"\0", b" ").decode())
    found += [str(State.named(name).directory)] if State.named(name).directory.exists() else []
    return found


def test_each_host_is_a_machine_of_its_own(lab: Lab) -> None:
    hosts = lab.hosts
    assert len({host.address for host in hosts}) == len(hosts)
    assert len({host.public_key() for host in hosts}) == len(hosts)
    assert len({host.run(["cat", "/etc/machine-id"]).stdout for host in hosts}) == len(hosts)
    for host in hosts:
        assert host.run(["cat", "/proc/sys/kernel/hostname"]).stdout.strip() == host.name


def test_ssh_by_the_lab_s_own_configuration(lab: Lab) -> None:
    done = ssh(lab, "gpu-02", "hostname; systemctl is-system-running; python3 -V")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["gpu-02", "running"]
    assert done.stdout.split("\n")[2].startswith("Python 3.11")


def test_the_log_of_sshd_counts_connections_and_channels(lab: Lab) -> None:
    host = lab.host("gpu-03")
    connections, channels = host.connections(), host.channels()
    assert ssh(lab, host.name, "true").returncode == 0
    assert until(lambda: host.channels() == channels + 1)
    assert host.connections() == connections + 1


def test_data_is_a_mount_with_something_in_it(lab: Lab) -> None:
    host = lab.host("gpu-01")
    assert host.run(["mountpoint", "/data"]).returncode == 0
    assert (host.data / "shared-assets/sample.txt").exists()
    assert host.run(["cat", "/data/shared-assets/sample.txt"]).stdout


def test_the_gpus_are_simulated_and_can_be_changed(lab: Lab) -> None:
    host = lab.host("gpu-01")
    ask = ["nvidia-smi", "--query-gpu=driver_version,index", "--format=csv,noheader"]
    assert host.run(ask).stdout.splitlines()[0] == "535.104.05, 0"
    host.set_gpus(host.gpus().with_driver("440.33.01", "10.2"))
    try:
        assert host.run(ask).stdout.splitlines()[0] == "440.33.01, 0"
    finally:
        host.set_gpus(host.gpus())
    assert "provision-lab-simulated" in host.run(["cat", "/usr/bin/nvidia-smi"]).stdout


def test_a_killed_host_is_gone_and_starts_again_with_what_it_had(lab: Lab) -> None:
    host = lab.host("gpu-03")
    host.run(["sh", "-c", "echo kept > /root/kept"])
    machine, key = host.run(["cat", "/etc/machine-id"]).stdout, host.public_key()
    host.kill()
    assert not host.up
    assert [status.name for status in lab.status() if not status.up] == ["gpu-03"]
    with pytest.raises(ProvisionError, match="is not running"):
        host.run(["true"])
    host.start()
    assert host.up
    assert (host.run(["cat", "/root/kept", "/etc/machine-id"]).stdout, host.public_key()) == (f"kept\n{machine}", key)


def test_a_cut_cable_is_silence_and_is_mended(lab: Lab) -> None:
    host = lab.host("gpu-02")
    host.cut()
    try:
        with pytest.raises(TimeoutError):
            socket.create_connection((host.address, 22), 0.5)
    finally:
        host.mend()
    assert until(lambda: host.up)


def test_hosts_reach_each_other_and_nothing_else(lab: Lab) -> None:
    host, other = lab.host("gpu-01"), lab.host("gpu-02")
    connect = "import socket,sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)"
    assert host.run(["python3", "-c", connect, other.address, "22"]).returncode == 0
    assert host.run(["python3", "-c", connect, "198.51.100.1", "80"], check=False).returncode == 1


def test_the_apps_sources_are_cloned_over_http(lab: Lab) -> None:
    host, gateway = lab.host("gpu-01"), lab.record.gateway
    host.run(["git", "clone", "-q", f"http://{gateway}:8765/git/img2video.git", "/root/clone"])
    assert "app.py" in host.run(["ls", "/root/clone"]).stdout
    commit = lab.commit("img2video", {"NEWS.md": "a second commit\n"})
    host.run(["git", "-C", "/root/clone", "pull", "-q"])
    assert host.run(["git", "-C", "/root/clone", "rev-parse", "HEAD"]).stdout.strip() == commit


def test_a_plain_host_has_sshd_and_no_systemd(lab: Lab, plain_host: Host) -> None:
    done = ssh(lab, plain_host.name, "cat /proc/1/comm /etc/hostname; test -d /run/systemd/system || echo no systemd")
    assert done.stdout.splitlines() == ["sshd", plain_host.name, "no systemd"]
    assert plain_host.run(["mountpoint", "/data"]).returncode == 0
    assert "plain-01" in lab.inventory.read_text()


def test_bringing_up_again_leaves_hosts_as_they_are(lab: Lab) -> None:
    before = {host.name: host.pid for host in lab.hosts}
    lab.up({"gpu": 2})
    assert {host.name: host.pid for host in lab.hosts} == before


def test_idle_hosts_cost_nearly_nothing(lab: Lab) -> None:
    hosts = lab.hosts
    before, begun = sum(host.cpu_seconds() for host in hosts), time.monotonic()
    time.sleep(3)
    used = (sum(host.cpu_seconds() for host in hosts) - before) / (time.monotonic() - begun)
    assert before > 0, "the kernel keeps an account"
    assert used < 0.02, f"{100 * used:.1f} % of a core"


def test_taking_down_leaves_nothing(short: Lab) -> None:
    short.up({"gpu": 1, "plain": 1})
    device = short.record.device
    assert len(traces(short.name)) > 5
    assert short.down()
    assert until(lambda: not traces(short.name)), traces(short.name)
    assert not Path("/sys/class/net", device).exists()
    assert not short.down()


@pytest.mark.parametrize("seconds", [0.12, 0.2, 0.3])
def test_taking_down_leaves_nothing_of_a_start_that_was_killed(short: Lab, seconds: float) -> None:
    script = f"from provision.lab.fleet import Lab; Lab({short.name!r}).up({{'gpu': 1, 'plain': 1}})"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert until(lambda: short.state.read() is not None)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()
    device = short.record.device
    assert short.down()
    assert until(lambda: not traces(short.name)), traces(short.name)
    assert not Path("/sys/class/net", device).exists()


def test_bringing_up_mends_a_start_that_was_killed(short: Lab) -> None:
    script = f"from provision.lab.fleet import Lab; Lab({short.name!r}).up({{'gpu': 1}})"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert until(lambda: short.state.read() is not None)
    time.sleep(0.05)
    process.kill()
    process.wait()
    short.up({"gpu": 1})
    assert [status.up for status in short.status()] == [True]
    assert ssh(short, "gpu-01", "true").returncode == 0


@pytest.mark.slow
def test_a_bullseye_host_has_python_3_9(lab: Lab) -> None:
    lab.up({"bullseye": 1})
    done = ssh(lab, "bullseye-01", "python3 -V; systemctl is-system-running")
    assert done.stdout.split() == ["Python", done.stdout.split()[1], "running"]
    assert done.stdout.startswith("Python 3.9")


BOOTSTRAP_THAT_HANGS = """\
#!/bin/sh
mkdir -p "$LAST" && mount -t tmpfs tmpfs "$LAST"
sleep 300
"""


def test_a_killed_start_takes_the_making_of_a_root_file_system_with_it(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "debootstrap").write_text(BOOTSTRAP_THAT_HANGS.replace("$LAST", str(tmp_path / "target")))
    (programs / "debootstrap").chmod(0o755)
    script = (
        "from provision.lab import rootfs\n"
        f"rootfs.PATH = {str(programs)!r} + ':' + rootfs.PATH\n"
        "rootfs.prepare('bookworm', print)\n"
    )
    environment = {**os.environ, "PROVISION_LAB_CACHE": str(tmp_path / "cache")}
    process = subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.DEVNULL)
    assert until((tmp_path / "target").exists)
    assert _processes_of(str(programs))
    process.kill()
    process.wait()
    assert until(lambda: not _processes_of(str(programs)))
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def test_a_root_file_system_that_cannot_be_made_is_told_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVISION_LAB_CACHE", str(tmp_path))
    (tmp_path / "debootstrap").write_text("#!/bin/sh\necho 'E: no such mirror' >&2\nexit 1\n")
    (tmp_path / "debootstrap").chmod(0o755)
    monkeypatch.setattr(rootfs, "PATH", f"{tmp_path}:{rootfs.PATH}")
    with pytest.raises(ProvisionError, match="cannot make the root file system of Debian bookworm") as caught:
        rootfs.prepare("bookworm", print)
    assert "E: no such mirror" in caught.value.cause
    assert not rootfs.directory("bookworm").exists()


def _processes_of(text: str) -> list[bytes]:
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = process.read_bytes()
        except OSError:
            continue
        if text.encode() in words and b"rootfs.prepare" not in words:
            found.append(words)
    return found


def boot_id(host: Host) -> str:
    return host.run(["cat", "/proc/sys/kernel/random/boot_id"]).stdout.strip()


def test_a_host_reboots_and_is_the_same_machine(lab: Lab) -> None:
    host = lab.host("gpu-03")
    host.run(["sh", "-c", "echo kept > /root/kept; echo gone > /run/gone"])
    identity = (host.run(["cat", "/etc/machine-id"]).stdout, host.public_key(), host.address)
    before, first = boot_id(host), host.pid
    host.run(["systemctl", "reboot", "--no-block"])
    assert until(lambda: host.pid != first and host.up, 30)
    host.wait()
    assert [status.up for status in lab.status()] == [True] * len(lab.status())
    assert boot_id(host) != before
    assert (host.run(["cat", "/etc/machine-id"]).stdout, host.public_key(), host.address) == identity
    assert host.run(["cat", "/root/kept"]).stdout == "kept\n"
    assert host.run(["test", "-e", "/run/gone"], check=False).returncode == 1
    assert ssh(lab, host.name, "true").returncode == 0
    assert len(lab.host("gpu-03").run(["pgrep", "-x", "sshd"]).stdout.split()) >= 1


def test_taking_down_leaves_nothing_of_a_host_that_reboots(short: Lab) -> None:
    short.up({"gpu": 1})
    (host,) = short.hosts
    before, first = boot_id(host), host.pid
    host.run(["systemctl", "reboot", "--no-block"])
    assert until(lambda: host.pid != first, 30)
    assert [status.up for status in short.status()] == [False], "its sshd does not answer yet"
    short.up({"gpu": 1})
    assert boot_id(host) != before
    host.run(["systemctl", "reboot", "--no-block"])
    time.sleep(0.2)
    assert short.down()
    assert until(lambda: not traces(short.name)), traces(short.name)


def test_a_host_whose_supervisor_is_killed_is_off_and_leaves_nothing(short: Lab) -> None:
    short.up({"gpu": 1})
    (host,) = short.hosts
    supervisor = Identity.recorded(host.directory / "process")
    assert supervisor
    assert any("systemd-nspawn" in trace for trace in traces(short.name))
    supervisor.kill()
    assert until(lambda: not any("systemd-nspawn" in trace for trace in traces(short.name)))
    assert [status.up for status in short.status()] == [False]
    assert short.down()
    assert until(lambda: not traces(short.name)), traces(short.name)


def test_a_host_that_is_switched_off_stays_off(lab: Lab) -> None:
    host = lab.host("gpu-03")
    host.run(["systemctl", "poweroff", "--no-block"])
    assert until(lambda: host.pid is None, 30)
    time.sleep(0.5)
    assert not host.up
    host.start()
    assert host.up


def test_the_lock_of_a_lab_outlives_it(short: Lab) -> None:
    short.state.write(Record(short.name, 199))
    with locked(short.state.lock):
        before = short.state.lock.stat().st_ino
    assert short.down()
    assert short.state.lock.stat().st_ino == before, "whoever waits for it would hold a file that nobody else sees"
