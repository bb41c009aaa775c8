"""A fleet that takes signed locks only: from `lock --sign` to what serves on a real host, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.lab.fleet import Lab

pytestmark = pytest.mark.lab

ENVIRONMENT = "name: tool\nchannels: [nvidia, conda-forge, nodefaults]\ndependencies: [{}]\n"
PLAY = "- hosts: gpu\n  become: true\n  environments: [{file: environment.yml}]\n"


class Project:
    """A project, the key of one who may sign, and a lab of one host."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.folder, self.key = lab, folder, folder / "ann"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)], check=True)
        (folder / "allowed_signers").write_text(f"ann@example.com {self.key.with_suffix('.pub').read_text()}")
        (folder / "play.yaml").write_text(PLAY)
        self.ask("python=3.11")

    def ask(self, *packages: str) -> None:
        (self.folder / "environment.yml").write_text(ENVIRONMENT.format(", ".join(packages)))

    def run(self, *argv: str, code: int = 0) -> str:
        signers = f"allowed_signers={self.folder / 'allowed_signers'}"
        extra = ["-i", str(self.lab.inventory), "-e", "require_signed_locks=true", "-e", signers]
        done = subprocess.run(
            [sys.executable, "-m", "provision", *argv, *extra, "-e", f"locks_directory={self.folder}"],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=300,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + (done.stderr if code else "")

    def apply(self, *more: str, code: int = 0) -> str:
        return self.run("apply", "play.yaml", "-y", "-o", "json", *more, code=code)

    def serves(self) -> str:
        prefix = (self.lab.hosts[0].root / "opt/conda/envs/tool").resolve()
        return str(json.loads((prefix / ".provision/seal.json").read_text())["lock"])

    def lock_files(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in self.folder.iterdir() if "lock" in path.name}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    own = Lab(f"test-{os.getpid()}-signed")
    try:
        own.up({"gpu": 1})
        yield Project(own, tmp_path_factory.mktemp("signed"))
    finally:
        own.down()


def test_only_what_is_signed_is_installed_and_nothing_older(project: Project) -> None:
    assert "has no lock" in project.apply(code=1)
    assert "locked" in project.run("lock", "environment.yml")
    connections = project.lab.hosts[0].connections()
    refused = project.apply(code=1)
    assert "is not signed by somebody who may\n  --> environment.yml:1:1" in refused
    assert "unsigned" in project.run("lock", "--check", "environment.yml", code=1)
    assert project.lab.hosts[0].connections() == connections, "no host was asked"

    project.run("lock", "--sign", str(project.key), "environment.yml")
    assert "current" in project.run("lock", "--check", "environment.yml")
    assert json.loads(project.apply())["ok"]
    assert json.loads(project.apply())["changes"] == []
    first, old = project.serves(), project.lock_files()

    project.ask("python=3.11", "cuda-version=11.8")
    old_environment = ENVIRONMENT.format("python=3.11")
    project.run("lock", "--sign", str(project.key), "environment.yml")
    new = project.lock_files()
    for path in new:
        if path.name.endswith(".sig"):
            path.write_bytes(old[path])
    assert "is not one of this lock" in project.apply(code=1), "the signature of another lock"
    for path, content in new.items():
        path.write_bytes(content)
    assert json.loads(project.apply())["ok"]
    second = project.serves()
    assert first != second

    for path, content in old.items():
        path.write_bytes(content)
    (project.folder / "environment.yml").write_text(old_environment)
    replayed = json.loads(project.apply(code=2))
    assert "would go back to an older lock" in json.dumps(replayed)
    assert project.serves() == second
    assert json.loads(project.apply("-e", "allow_older_locks=true"))["ok"]
    assert project.serves() == first
