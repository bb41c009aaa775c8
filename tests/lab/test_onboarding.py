"""A bare host with a password joins a fleet with one command, again without a change, leaves, and joins again."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from provision.lab.fleet import Lab
from provision.lab.hosts import Host

pytestmark = pytest.mark.lab

PROJECT = Path(__file__).resolve().parents[2]
PLAY = """
- name: One app
  hosts: gpu
  become: true
  vars: {img2video_start_timeout: 20}
  roles: [nvidia, conda, shared-data, img2video]
"""
PASSWORD = "correct horse"


class Project:
    """A project whose inventory knows the first of two hosts only; the second takes nothing but a password."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.folder, self.bare = folder, lab.host("gpu-02")
        self.inventory, self.known = folder / "inventory.yaml", folder / "known_hosts"
        first, self.entry = (
            f"            {host.name}:\n              ansible_host: {host.address}\n" for host in lab.hosts
        )
        commented = first.replace(":\n", ":   # the old one\n", 1)
        text = lab.inventory.read_text()
        assert first + self.entry in text
        self.text = text.replace(first + self.entry, commented) + "# the end\n"
        self.joined = self.text.replace(commented, commented + self.entry)
        self.inventory.write_text(self.text)
        lines = lab.state.known_hosts.read_text().splitlines(keepends=True)
        self.known.write_text("".join(line for line in lines if self.bare.address not in line))
        self.alone = self.known.read_text()

    def run(self, *argv: str, typed: Sequence[str] = (), code: int = 0) -> str:
        """Everything that was said, with a terminal on which these lines are typed, each when something is asked."""
        ours, theirs = os.openpty()
        words = [sys.executable, "-m", "provision", *argv, "-i", str(self.inventory)]
        with subprocess.Popen(words, cwd=self.folder, stdin=theirs, stdout=theirs, stderr=theirs) as process:
            os.close(theirs)
            text = _conversation(ours, list(typed))
            process.kill()
        os.close(ours)
        assert process.returncode == code, f"exit code {process.returncode}\n{text}"
        return text

    def onboard(self, *more: str, typed: Sequence[str] = (), code: int = 0) -> str:
        named = ("--name", "gpu-02", "--group", "systemd")
        return self.run("onboard", f"root@{self.bare.address}", *named, *more, typed=typed, code=code)


def _conversation(terminal: int, answers: list[str]) -> str:
    """What is said until the other end is closed; an answer is typed behind each question."""
    said, asked, deadline = b"", 0, time.monotonic() + 120
    while time.monotonic() < deadline:
        if answers and said[asked:].endswith((b"[y/N] ", b": ")):
            os.write(terminal, f"{answers.pop(0)}\n".encode())
            asked = len(said)
        try:
            said += os.read(terminal, 65536) if select.select([terminal], [], [], 1)[0] else b""
        except OSError:  # nobody has the other end any more
            break
    return said.decode(errors="replace").replace("\r\n", "\n")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(PROJECT / "roles", folder / "roles")
    (folder / "playbooks").mkdir()
    (folder / "playbooks/one-app.yaml").write_text(PLAY)
    lab = Lab(f"test-{os.getpid()}-join")
    try:
        lab.up({"gpu": 2})
        own = Project(lab, folder)
        only_by_password(own.bare)
        yield own
    finally:
        lab.down()


def only_by_password(host: Host) -> None:
    """The host as a provider hands it over: no key of ours, and a password for root."""
    shutil.rmtree(host.root / "root/.ssh")
    host.run(["chpasswd"], stdin=f"root:{PASSWORD}\n")
    settings = host.root / "etc/ssh/sshd_config.d/lab.conf"
    text = settings.read_text().replace("PermitRootLogin prohibit-password", "PermitRootLogin yes")
    settings.write_text(text + "PasswordAuthentication yes\n")
    host.run(["systemctl", "restart", "ssh"])


def fingerprint(host: Host) -> str:
    said = subprocess.run(["ssh-keygen", "-lf", "-"], input=host.public_key(), capture_output=True, text=True)
    return said.stdout.split()[1]


def serves(host: Host) -> bool:
    script = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:7860/health', timeout=5).status)"
    return host.run(["python3", "-c", script], check=False).stdout.strip() == "200"


def state(host: Host) -> dict[str, tuple[int, int, str]]:
    """Mode, time and content of what an onboarding makes, but for the agent's own state."""
    paths = ["root/.ssh/authorized_keys", "etc/systemd/system/img2video.service", "etc/img2video/config.json"]
    found = {path: host.root / path for path in paths}
    return {
        name: (path.stat().st_mode & 0o777, path.stat().st_mtime_ns, path.read_text()) for name, path in found.items()
    }


def test_what_nobody_confirms_leaves_all_as_it_was(project: Project) -> None:
    said = project.onboard(typed=["n"], code=4)
    assert fingerprint(project.bare) in said
    assert "left of this run for gpu-02: nothing\nits place in the inventory is as it was\n" in said
    assert (project.inventory.read_text(), project.known.read_text()) == (project.text, project.alone)
    assert not (project.bare.root / "root/.ssh").exists()


def test_a_bare_host_serves_after_one_command(project: Project) -> None:
    said = project.onboard(typed=["y", PASSWORD, "y"])
    assert PASSWORD not in said
    assert "fits: environment img2video-torch20-cu118" in said
    assert "(simulated)" in said
    assert f"+              ansible_host: {project.bare.address}\n" in said
    assert serves(project.bare)
    assert project.inventory.read_text() == project.joined
    assert project.known.read_text() == f"{project.alone}{project.bare.address} {project.bare.public_key()}\n"
    keys = project.bare.root / "root/.ssh/authorized_keys"
    assert (keys.stat().st_mode & 0o777, keys.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert len(keys.read_text().splitlines()) == 1


def test_repeated_it_changes_nothing(project: Project) -> None:
    before = state(project.bare)
    pid = project.bare.run(["systemctl", "show", "-p", "MainPID", "img2video"]).stdout
    said = project.onboard("-y")
    assert "wrote" not in said
    assert (project.inventory.read_text(), state(project.bare)) == (project.joined, before)
    assert project.bare.run(["systemctl", "show", "-p", "MainPID", "img2video"]).stdout == pid


def test_it_leaves_and_joins_again(project: Project) -> None:
    project.run("offboard", "gpu-02", "-y")
    assert (project.inventory.read_text(), project.known.read_text()) == (project.text, project.alone)
    assert not serves(project.bare)
    # our key is still accepted there: nobody is asked for a password
    project.onboard("-y", "--fingerprint", fingerprint(project.bare))
    assert serves(project.bare)
    assert project.inventory.read_text() == project.joined
