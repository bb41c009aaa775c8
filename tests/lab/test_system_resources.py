"""Settings of a host and files from elsewhere, by a play on a real one: done once, seen by a check, and undone."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from provision.lab.fleet import Lab

pytestmark = pytest.mark.lab

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1xuGqbS0tQhM8Z0jhBDS1mNoXAk5RrYlQ7kTsm2cXs"
PLAY = """
- hosts: gpu-02
  vars:
    index: "{{ index_mirrors['https://pypi.org/simple'] }}"
    gone: false
    state: "{{ gone | ternary('absent', 'present') }}"
  tasks:
    - name: folders
      file: {path: "{{ item }}", state: directory}
      loop: [/opt/lib, /opt/own, /srv/source]
      when: not gone
    - name: a file system in memory
      ansible.posix.mount:
        path: /srv/scratch
        src: tmpfs
        fstype: tmpfs
        opts: size=1m
        state: "{{ gone | ternary('absent', 'mounted') }}"
    - name: a folder at another place
      mount:
        path: /srv/bound
        src: /srv/source
        fstype: none
        opts: bind
        state: "{{ gone | ternary('unmounted', 'ephemeral') }}"
    - name: a parameter of the kernel
      ansible.posix.sysctl:
        name: vm.swappiness
        value: 10
        sysctl_file: /etc/sysctl.d/60-own.conf
        reload: false
        state: "{{ state }}"
    - name: a job
      cron: {name: tidy, minute: "*/5", job: "true", user: root, cron_file: own-tidy, state: "{{ state }}"}
    - name: a key
      ansible.posix.authorized_key:
        user: games
        path: /srv/source/keys
        manage_dir: false
        key: "KEY a@b"
        state: "{{ state }}"
    - {name: a name, hostname: {name: "{{ gone | ternary('gpu-02', 'renamed') }}"}}
    - name: a wheel
      get_url: {url: "{{ index }}/zipp/WHEEL", dest: /srv/source, checksum: "sha256:SHA"}
      when: not gone
    - name: an index
      get_url: {url: "{{ index }}/", dest: /srv/source/index.html, mode: "0600"}
      when: not gone
    - name: the wheel unpacked
      unarchive: {src: /srv/source/WHEEL, remote_src: true, dest: /opt/lib, exclude: ["*.dist-info"], owner: games}
      when: not gone
    - {name: an archive from here, unarchive: {src: own.tar.gz, dest: /opt/own}, when: not gone}
    - name: a line
      lineinfile: {path: /srv/source/conf, regexp: "^#?Port ", line: Port 2222, create: true, validate: "grep Port %s"}
      when: not gone
    - name: an index that answers
      uri: {url: "{{ index }}/zipp/", return_content: true}
      register: answer
    - name: what it answers
      assert: {that: "'zipp' in answer.content and answer.status == 200"}
    - name: a port that listens
      wait_for: {port: 22, search_regex: "OpenSSH_(\\\\S+)", timeout: 30}
"""


GONE = ("-y", "-e", '{"gone": true}')
MADE = [
    *("a file system in memory", "a folder at another place", "a job", "a key", "a line", "a name"),
    *("a parameter of the kernel", "a wheel", "an archive from here", "an index"),
    *("folders (/opt/lib)", "folders (/opt/own)", "folders (/srv/source)", "the wheel unpacked"),
]
UNDONE = [
    *("a file system in memory", "a folder at another place", "a job", "a key", "a name"),
    "a parameter of the kernel",
]


@pytest.fixture(scope="module")
def folder(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the play and an archive beside it."""
    place = tmp_path_factory.mktemp("settings")
    (wheel,) = (lab.state.www / "simple/zipp").glob("*.whl")
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    play = PLAY.replace("WHEEL", wheel.name).replace("SHA", sha256).replace("KEY", KEY)
    (place / "play.yaml").write_text(play)
    (place / "large").write_bytes(bytes(range(256)) * 1024)
    with tarfile.open(place / "own.tar.gz", "w:gz") as archive:
        archive.add(place / "large", "share/large")
    return place


def _changed(lab: Lab, folder: Path, command: str, *words: str) -> list[str]:
    """The tasks that change something, or would."""
    argv = [sys.executable, "-m", "provision", command, "play.yaml", "-i", str(lab.inventory), "-o", "json", *words]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return sorted(change["task"] for change in json.loads(done.stdout)["changes"])


def test_a_play_sets_a_host_up_once_and_takes_it_back(lab: Lab, folder: Path) -> None:
    host = lab.host("gpu-02")
    fstab = host.run(["cat", "/etc/fstab"]).stdout
    assert _changed(lab, folder, "plan") == MADE
    assert host.run(["cat", "/etc/fstab"]).stdout == fstab
    assert _changed(lab, folder, "apply", "-y") == MADE
    seen = "hostname; cat /etc/hostname /etc/cron.d/own-tidy /etc/sysctl.d/60-own.conf /srv/bound/keys /srv/bound/conf"
    assert host.run(["sh", "-c", seen]).stdout.splitlines() == [
        *("renamed", "renamed", "#Ansible: tidy", "*/5 * * * * root true", "vm.swappiness=10"),
        *(f"{KEY} a@b", "Port 2222"),
    ]
    shown = "findmnt -no FSTYPE,TARGET /srv/scratch; stat -c '%U %a' /opt/lib/zipp/__init__.py /srv/source/index.html"
    assert host.run(["sh", "-c", shown]).stdout.split() == ["tmpfs", "/srv/scratch", "games", "644", "root", "600"]
    assert (
        host.run(["sha256sum", "/opt/own/share/large"]).stdout.split()[0]
        == hashlib.sha256((folder / "large").read_bytes()).hexdigest()
    )
    assert _changed(lab, folder, "plan") == []
    assert _changed(lab, folder, "apply", "-y") == []
    assert _changed(lab, folder, "apply", *GONE) == UNDONE
    assert host.run(["cat", "/etc/fstab", "/etc/hostname"]).stdout == f"{fstab}gpu-02\n"
    assert host.run(["sh", "-c", "ls -d /srv/scratch /etc/cron.d/own-tidy; true"]).stdout == ""
    assert _changed(lab, folder, "plan", *GONE[1:]) == []
