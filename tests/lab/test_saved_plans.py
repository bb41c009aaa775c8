"""Saved plans and orphans on real hosts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.lab.fleet import Lab
from provision.lab.hosts import Host

pytestmark = pytest.mark.lab

PLAY = """
- hosts: all
  tasks:
    - {name: Folder, file: {path: /opt/planned, state: directory}}
    - {name: Inside, copy: {dest: /opt/planned/a, content: "a\\n"}}
    - {name: Motd, copy: {dest: /etc/planned-motd, content: "{{ inventory_hostname }}\\n"}, notify: Tell}
    - {name: Run, command: {argv: [/bin/echo, hi]}, register: said}
    - {name: Depends, copy: {dest: /opt/planned/said, content: "{{ said.stdout }}\\n"}}
  handlers:
    - {name: Tell, file: {path: /opt/planned/told, state: touch}}
"""
SMALLER = """
- hosts: all
  tasks:
    - {name: Motd, copy: {dest: /etc/planned-motd, content: "{{ inventory_hostname }}\\n"}}
"""


@pytest.fixture
def hosts(lab: Lab) -> Iterator[list[Host]]:
    """Two hosts of the shared lab, given back without what the plays make."""
    chosen = lab.hosts[:2]
    yield chosen
    for host in chosen:
        host.run(["rm", "-rf", "/opt/planned", "/etc/planned-motd"])


def provision(lab: Lab, folder: Path, *argv: str, code: int = 0) -> str:
    """A command's whole output."""
    done = subprocess.run(
        [sys.executable, "-m", "provision", *argv],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def test_a_host_changed_by_hand_is_refused_with_what_moved_and_the_others_are_done(
    lab: Lab, hosts: list[Host], tmp_path: Path
) -> None:
    names = ",".join(host.name for host in hosts)
    (tmp_path / "site.yaml").write_text(PLAY)
    args = ("site.yaml", "-i", str(lab.inventory), "-l", names)
    said = provision(lab, tmp_path, "plan", *args, "-o", "site.plan")
    assert "known after apply: Depends" in said
    refused = provision(lab, tmp_path, "apply", "site.plan", code=1)
    assert "known after apply" in refused and "--allow-unknown" in refused
    moved, other = hosts
    (moved.root / "etc/planned-motd").write_text("by hand\n")
    said = provision(lab, tmp_path, "apply", "site.plan", "--allow-unknown", code=2)
    assert f"`{moved.name}` has moved since the plan was made" in said
    assert "/etc/planned-motd" in said and "+by hand" in said
    assert (moved.root / "etc/planned-motd").read_text() == "by hand\n"
    assert not (moved.root / "opt/planned").exists()
    assert (other.root / "etc/planned-motd").read_text() == f"{other.name}\n"
    assert (other.root / "opt/planned/said").read_text() == "hi\n"
    assert (other.root / "opt/planned/told").exists()
    (tmp_path / "site.yaml").write_text(PLAY + "\n")
    assert "site.yaml` has changed since" in provision(lab, tmp_path, "apply", "site.plan", "--allow-unknown", code=1)


def test_what_the_playbook_no_longer_names_is_shown_and_pruned(lab: Lab, hosts: list[Host], tmp_path: Path) -> None:
    host = hosts[0]
    book = tmp_path / "pruned.yaml"
    args = (book.name, "-i", str(lab.inventory), "-l", host.name)
    book.write_text(PLAY)
    provision(lab, tmp_path, "apply", *args, "-y")
    assert "orphan: file /opt/planned" not in provision(lab, tmp_path, "plan", *args)
    book.write_text(SMALLER)
    (host.root / "opt/planned/a").write_text("by hand\n")
    said = provision(lab, tmp_path, "plan", *args)
    assert 'orphan: file /opt/planned/said, made by "Depends"' in said and "orphan: directory /opt/planned" in said
    document = json.loads(provision(lab, tmp_path, "plan", *args, "-o", "json").partition("\norphan: ")[0])
    (told,) = [each for each in document["hosts"][host.name]["orphans"] if each["what"] == "/opt/planned/said"]
    assert told == {"kind": "file", "what": "/opt/planned/said", "made_by": "Depends", "stays": ""}
    assert "orphans are not judged" in provision(lab, tmp_path, "plan", *args, "-t", "some")
    said = provision(lab, tmp_path, "apply", *args, "--prune", "-y")
    assert "remove /opt/planned/said" in said
    assert "stays: /opt/planned/a: somebody changed its content since" in said
    assert sorted(path.name for path in (host.root / "opt/planned").iterdir()) == ["a", "told"]
    assert (host.root / "etc/planned-motd").exists()
