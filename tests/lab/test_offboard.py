"""A host that serves leaves: apps and environments go, data stays, the inventory keeps all else; and it comes again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.lab.fleet import Lab
from provision.lab.hosts import Host

pytestmark = pytest.mark.lab

PROJECT = Path(__file__).resolve().parents[2]
PLAYBOOK = "playbooks/gpu-cluster.yaml"


@pytest.fixture(scope="module")
def fleet() -> Iterator[Lab]:
    """Two hosts for this module alone, one of them without systemd; its tests follow one another."""
    own = Lab(f"test-{os.getpid()}-leave")
    try:
        own.up({"gpu": 1, "plain": 1})
        yield own
    finally:
        own.down()


def provision(lab: Lab, *argv: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "provision", *argv, "-i", str(lab.inventory)],
        cwd=PROJECT, capture_output=True, text=True, timeout=240, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def gone(path: Path) -> bool:
    """Whether a path goes within five seconds: the agent removes its state as it ends."""
    deadline = time.monotonic() + 5
    while path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not path.exists()


def made(host: Host) -> list[str]:
    """What provision left that runs or that something runs from."""
    units = host.run(["sh", "-c", "grep -ls 'Made by provision' /etc/systemd/system/*.service"], check=False).stdout
    envs = host.root / "opt/conda/envs"
    names = [path.name for path in envs.iterdir() if path.name != ".generations"] if envs.is_dir() else []
    stores = list((envs / ".generations").iterdir()) if (envs / ".generations").is_dir() else []
    return [*units.split(), *names, *(path.name for path in stores)]


def test_a_serving_host_leaves_and_comes_again(fleet: Lab) -> None:
    host, inventory = fleet.host("gpu-01"), fleet.inventory
    commented = inventory.read_text().replace("            plain-01:\n", "            # stays\n            plain-01:\n")
    inventory.write_text(commented)
    known = fleet.state.known_hosts.read_text()
    provision(fleet, "apply", PLAYBOOK, "-y", "-t", "nvidia,conda,data,img2video")
    assert len(made(host)) == 3
    done = provision(fleet, "offboard", "gpu-01", "-y")
    assert made(host) == []
    assert gone(host.root / "var/lib/provision")
    assert host.run(["pgrep", "-f", "app.py"], check=False).stdout == ""
    assert not (host.root / "root/Image-to-Video/bin/start_img2video.sh").exists()
    for path in ("root/Image-to-Video/app.py", "etc/img2video/config.json", "root/Image-to-Video/assets"):
        assert os.path.lexists(host.root / path)
    assert (host.data / "shared-assets/sample.txt").is_file()
    for line in ("git /root/Image-to-Video", "link /root/Image-to-Video/assets", "file /etc/img2video/config.json"):
        assert f"  {line}\n" in done.stderr
    lines = commented.splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if line.strip() == "gpu-01:")
    assert inventory.read_text() == "".join(lines[:at] + lines[at + 2 :])
    assert "gpu-01" not in fleet.state.known_hosts.read_text()
    assert "there is no host `gpu-01`" in provision(fleet, "offboard", "gpu-01", "-y", code=1).stderr
    inventory.write_text(commented)
    fleet.state.known_hosts.write_text(known)
    again = provision(fleet, "offboard", "gpu-01", "-y")
    assert "stays on gpu-01:\n  cache /opt/conda/pkgs\n" in again.stderr
    assert gone(host.root / "var/lib/provision")
    inventory.write_text(commented)
    fleet.state.known_hosts.write_text(known)
    provision(fleet, "apply", PLAYBOOK, "-y", "-l", "gpu-01", "-t", "nvidia,conda,data,img2video")
    assert len(made(host)) == 3


def answered(lab: Lab, answer: str, *argv: str) -> tuple[int, str]:
    """The exit code and everything that was said, with a terminal on which somebody types the answer."""
    ours, theirs = os.openpty()
    argv = ("-m", "provision", *argv, "-i", str(lab.inventory))
    with subprocess.Popen([sys.executable, *argv], cwd=PROJECT, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        os.write(ours, f"{answer}\n".encode())
        said = b""
        try:
            while data := os.read(ours, 65536):
                said += data
        except OSError:  # nobody has the other end any more
            pass
        code = process.wait(60)
    os.close(ours)
    return code, said.decode(errors="replace").replace("\r\n", "\n")


def test_on_a_terminal_it_shows_everything_first_and_takes_no_for_an_answer(fleet: Lab) -> None:
    host, before = fleet.host("gpu-01"), fleet.inventory.read_text()
    code, said = answered(fleet, "n", "offboard", "gpu-01")
    assert code == 1, said
    for text in ("process of img2video", "directory /root/Image-to-Video", "\n-            gpu-01:\n"):
        assert text in said, said
    assert (len(made(host)), fleet.inventory.read_text()) == (3, before)


def test_without_systemd_supervisor_goes_too(fleet: Lab) -> None:
    host = fleet.host("plain-01")
    assert host.run(["pgrep", "-f", "supervisord"]).stdout
    said = provision(fleet, "offboard", "plain-01", "-y").stderr
    assert "  logs /var/log/provision\n" in said
    assert made(host) == []
    assert gone(host.root / "var/lib/provision")
    assert not (host.root / "opt/provision").exists()
    assert not (host.root / "etc/profile.d/provision-apps.sh").exists()
    assert host.run(["pgrep", "-f", "supervisord|app.py"], check=False).stdout == ""


def test_a_host_that_is_away_keeps_its_entry_until_it_is_forgotten(fleet: Lab) -> None:
    host, inventory = fleet.host("gpu-01"), fleet.inventory
    before = inventory.read_text()
    host.kill()
    away = provision(fleet, "offboard", "gpu-01", "-y", "-T", "3", code=4)
    assert "provision offboard gpu-01 --forget" in away.stderr
    assert fleet.inventory.read_text() == before
    provision(fleet, "offboard", "gpu-01", "--forget", "-y")
    assert "gpu-01" not in fleet.inventory.read_text()
