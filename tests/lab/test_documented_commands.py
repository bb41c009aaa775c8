"""The commands of README and guide, run for real and in their order against a lab, from a copy of the project."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.lab.fleet import Lab

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
_ASKING = ("apply", "offboard", "onboard", "rollback")
_OWN_SERVERS = re.compile(r"^## Your own servers\n+```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CONSOLE = re.compile(r"^ *```console\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def project(lab: Lab, tmp_path: Path) -> Iterator[Path]:
    """What a user has: inventory, playbooks and roles; locks beside the lab's inventory are its own."""
    for name in ("playbooks", "roles"):
        shutil.copytree(ROOT / name, tmp_path / name)
    inventory = lab.inventory.read_text(encoding="utf-8")
    inventory = inventory.replace("locks_directory: locks", f"locks_directory: {tmp_path / 'locks'}")
    (tmp_path / "inventory.yaml").write_text(inventory, encoding="utf-8")
    shutil.copy(lab.inventory.with_name("known_hosts"), tmp_path / "known_hosts")
    yield tmp_path


def commands(*texts: str) -> list[list[str]]:
    """The words of each command line of the tool."""
    lines = (line.strip().removeprefix("$ ") for text in texts for line in text.splitlines())
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("provision ")]


def run(project: Path, words: list[str]) -> None:
    """Run one command as a user without a terminal would; the exit code must be 0."""
    options = ["-y"] if words[0] in _ASKING and "-y" not in words else []
    argv = [sys.executable, "-m", "provision", words[0], *options, *words[1:]]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        argv, cwd=project, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def change_environment(project: Path) -> None:
    """So that there is a generation to go back to."""
    path = project / "roles/img2video/environment.yml"
    path.write_text(path.read_text(encoding="utf-8") + "variables:\n  HF_HOME: /data/models\n", encoding="utf-8")
    run(project, ["lock"])
    run(project, ["apply", "playbooks/gpu-cluster.yaml"])


def test_commands_of_the_documents_work(project: Path) -> None:
    found = _OWN_SERVERS.search((ROOT / "README.md").read_text(encoding="utf-8"))
    assert found, "README.md has a block of commands under `Your own servers`"
    guide = _CONSOLE.findall((ROOT / "docs/guide.md").read_text(encoding="utf-8"))
    own, later = commands(found[1]), commands(*guide)
    assert own
    assert later
    for words in own:
        if words[0] == "rollback":
            change_environment(project)
        run(project, words)
    # the lock that a rollback left is held; what the guide shows is not about that
    run(project, ["apply", "playbooks/gpu-cluster.yaml", "--forward"])
    for words in later:
        run(project, words)
