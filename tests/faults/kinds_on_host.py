"""Faults of disks, packages, apps, logins and clocks: what is wrong on the host, or in what it is given."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fault_kinds import Trial, kind
from fault_site import APP, BUILT, ENVIRONMENT, ENVS, HIT, PLAYBOOK, PORT

from provision.lab.processes import Identity, end

STORE = f"/{ENVS}/.generations/{ENVIRONMENT}"
HANGING = """
import ctypes, os, stat, sys
if not os.path.exists("/dev/fuse"):
    os.mknod("/dev/fuse", 0o666 | stat.S_IFCHR, os.makedev(10, 229))
os.makedirs("/mnt/hanging", exist_ok=True)
server = os.open("/dev/fuse", os.O_RDWR)
options = "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other" % server
if ctypes.CDLL(None).mount(b"nobody:/answers", b"/mnt/hanging", b"fuse", 0, options.encode()):
    sys.exit("cannot mount")
print("begun", flush=True)
sys.stdin.read()
"""
TAKING = f"""
import socket, sys
taken = socket.create_server(("0.0.0.0", {PORT}))
print("begun", flush=True)
sys.stdin.read()
"""
BUSY = """
import fcntl, sys
held = [open("/var/lib/dpkg/" + name, "a") for name in ("lock-frontend", "lock")]
for one in held:
    fcntl.lockf(one, fcntl.LOCK_EX)
print("begun", flush=True)
sys.stdin.read()
"""
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
FULL = "no space left|not enough disk|disk (is )?full|ENOSPC"
DAMAGED = "sha256|hash (of|mismatch)|checksum|truncated|damaged|invalid zip|unexpected end"


@contextmanager
def _process(trial: Trial, text: str) -> Iterator[None]:
    """A process on the host that is hit, until the end of the block."""
    space = ["nsenter", f"--target={trial.site.hit.pid}", "--mount", "--net", "--pid", "--ipc", "--uts", "--"]
    running = subprocess.Popen(
        [*space, "python3", "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert running.stdout and running.stdout.readline()
    try:
        yield
    finally:
        running.communicate("", timeout=20)


@kind("disk full in the prefix, from the start", "before", {2: FULL}, undoes=True)
def full_prefix(trial: Trial) -> Iterator[None]:
    trial.shell(f"mkdir -p {STORE}; mount -t tmpfs -o size=8m tmpfs {STORE}")
    yield
    trial.shell(f"umount -l {STORE}")


@kind("disk full in the prefix, on the way", "during", {2: FULL, 0: ""}, undoes=True, moment="prepared")
def filled_prefix(trial: Trial) -> Iterator[None]:
    trial.shell(f"mkdir -p {STORE}; mount -t tmpfs -o size=3g tmpfs {STORE}")
    trial.strike = lambda: trial.shell(f"mount -o remount,size=1m {STORE} || fallocate -l 3g {STORE}/x", check=False)
    yield
    trial.shell(
        f"systemctl stop {APP}; umount -l {STORE}; rm -f /{ENVS}/{ENVIRONMENT} /etc/systemd/system/{APP}.service; "
        "systemctl daemon-reload"
    )


@kind("disk full in the package cache", "before", {2: FULL})
def full_cache(trial: Trial) -> Iterator[None]:
    trial.shell("mkdir -p /srv/pkgs; mount -t tmpfs -o size=256k tmpfs /opt/conda/pkgs")
    yield
    trial.shell("umount -l /opt/conda/pkgs")


@kind("disk full in /tmp", "before", {0: "", 2: FULL})
def full_tmp(trial: Trial) -> Iterator[None]:
    trial.shell("mount -t tmpfs -o size=64k tmpfs /tmp; head -c 1M /dev/zero >/tmp/filling 2>/dev/null || true")
    yield
    trial.shell("umount -l /tmp")


@kind("read-only file system", "before", {2: "read-only"})
def read_only(trial: Trial) -> Iterator[None]:
    trial.shell("mount --bind /opt/conda /opt/conda; mount -o remount,ro,bind /opt/conda")
    yield
    trial.shell("umount -l /opt/conda")


@kind("/tmp noexec", "before", {0: ""})
def noexec(trial: Trial) -> Iterator[None]:
    trial.shell("mount -t tmpfs -o noexec tmpfs /tmp")
    yield
    trial.shell("umount -l /tmp")


@contextmanager
def _archive(trial: Trial, changed: Callable[[bytes], bytes]) -> Iterator[None]:
    """Another archive in the channel in place of a package that the host must fetch."""
    archive = Path(trial.site.forget_packages(trial.rng))
    original = archive.with_name(f".{archive.name}.kept")  # the lab's cache has the same file: it is not written to
    data = archive.read_bytes()
    archive.rename(original)
    try:
        archive.write_bytes(changed(data))
        yield
    finally:
        archive.unlink()
        original.rename(archive)


@kind("package truncated", "before", {2: DAMAGED})
def truncated(trial: Trial) -> Iterator[None]:
    with _archive(trial, lambda data: data[: trial.rng.randrange(1, len(data))]):
        yield


@kind("package swapped for one of equal size", "before", {2: DAMAGED})
def swapped(trial: Trial) -> Iterator[None]:
    """Whole and readable: only a time in the archive's first header is another, so that nothing but its hash tells."""
    with _archive(trial, lambda data: data[:10] + bytes([data[10] ^ 1]) + data[11:]):
        yield


@kind("index down", "before", {2: "refused|cannot (be )?(fetch|download|reach)"})
def index_down(trial: Trial) -> Iterator[None]:
    trial.site.forget_packages(trial.rng)
    server = Identity.recorded(trial.site.lab.state.directory / "server")
    assert server
    end(server)
    yield
    trial.site.lab.up({"gpu": 2})


@kind("lock edited", "before", {1: "lock", 2: "lock"})
def lock_edited(trial: Trial) -> Iterator[None]:
    trial.inventory = trial.site.inventory()
    locks = trial.inventory.parent / "locks"
    edited = trial.rng.choice(sorted(path for path in locks.iterdir() if ENVIRONMENT in path.name))
    hashes = [found.start() for found in re.finditer(r"[0-9a-f]{64}", edited.read_text())]
    place = trial.rng.choice(hashes)
    text = edited.read_text()
    edited.write_text(text[:place] + ("0" if text[place] != "0" else "1") + text[place + 1 :])
    yield


@kind("port taken between check and start", "during", {2: f"{PORT}"}, moment=BUILT)
def port_taken(trial: Trial) -> Iterator[None]:
    with _process(trial, TAKING):
        yield


def _crash_loop(name: str, seconds: float) -> None:
    @kind(name, "before", {2: r"exit|crash|ended|restart|died|does not stay"}, rebuild=False, undoes=True)
    def crashing(trial: Trial) -> Iterator[None]:
        git = ["git", f"--git-dir={trial.site.lab.state.www}/git/{APP}.git"]
        pin = re.search(r"llama_version: '(\w+)'", trial.site.lab.inventory.read_text())
        assert pin
        source = subprocess.run([*git, "show", f"{pin[1]}:server.py"], capture_output=True, text=True, check=True)
        head, _, rest = source.stdout.partition("from __future__ import annotations\n")
        dying = f"import os, threading\nthreading.Timer({seconds}, os._exit, [7]).start()\n"
        text = f"{head}from __future__ import annotations\n{dying}{rest}" if rest else dying + head
        commit = trial.site.lab.commit(APP, {"server.py": f"{text}# {trial.rng.random()}\n"})
        # as on hosts of others: the lab's own apps are watched for a second only
        trial.inventory = trial.site.inventory({"llama_version": commit, "app_settle": 15})
        yield


for _name, _seconds in (("0.1 s", 0.1), ("3 s", 3.0), ("12 s", 12.0)):
    _crash_loop(f"crash loop at {_name}", _seconds)


@kind("a mount that never answers", "before", {0: ""})
def hanging_mount(trial: Trial) -> Iterator[None]:
    with _process(trial, HANGING):
        yield
    trial.shell("umount -l /mnt/hanging; rmdir /mnt/hanging; rm -f /dev/fuse", check=False)


@kind("sudo with a wrong password", "before", {4: f"sudo password of `ops` on {HIT} is wrong"}, rebuild=False)
def wrong_password(trial: Trial) -> Iterator[None]:
    trial.shell(
        "useradd --create-home --shell /bin/bash ops; echo ops:right | chpasswd; install -d -o ops -m 700 ~ops/.ssh;"
        "install -o ops -m 600 ~root/.ssh/authorized_keys ~ops/.ssh/; echo 'ops ALL=(ALL) ALL' >/etc/sudoers.d/ops"
    )
    trial.inventory = trial.site.inventory({"ansible_user": "ops", "ansible_become_password": "not-the-right-one"})
    yield
    trial.shell("userdel -r ops; rm -f /etc/sudoers.d/ops", check=False)


@kind("noisy .bashrc and motd, Latin-1, LANG=C", "before", {0: ""})
def noisy_login(trial: Trial) -> Iterator[None]:
    kept = trial.site.hit.root / "root/.bashrc"
    before = kept.read_bytes() if kept.exists() else b""
    kept.write_bytes(b"echo 'Willkommen \xfc\xe9\x1b[31m'; echo caf\xe9 >&2; seq 1 200\nexport LANG=C LC_ALL=C\n")
    (trial.site.hit.root / "etc/motd").write_bytes(b"caf\xe9 \x1b]0;x\x07\n" * 50)
    yield
    kept.write_bytes(before)


@kind("login scripts that write without end", "before", {4: "without end"}, rebuild=False)
def endless_login(trial: Trial) -> Iterator[None]:
    kept = trial.site.hit.root / "root/.bashrc"
    before = kept.read_bytes() if kept.exists() else b""
    kept.write_text("yes noise\n")
    yield
    kept.write_bytes(before)


def _with_a_play(trial: Trial, tasks: str) -> None:
    """The playbook with a play behind it that only the host that is hit has."""
    text = (trial.site.project / PLAYBOOK).read_text() + f"- hosts: {HIT}\n  tasks:\n{tasks}"
    trial.playbook = "playbooks/more.yaml"
    (trial.site.project / trial.playbook).write_text(text)


@kind("1 GB of output", "before", {0: ""})
def much_output(trial: Trial) -> Iterator[None]:
    _with_a_play(trial, "    - shell: head -c 1000000000 /dev/zero | tr '\\\\0' x; echo end >&2\n      tags: always\n")
    yield


@kind("package manager busy", "before", {2: "dpkg|package manager|lock"})
def busy_packages(trial: Trial) -> Iterator[None]:
    _with_a_play(trial, "    - package: {name: not-there-at-all, lock_timeout: 3}\n      tags: always\n")
    with _process(trial, BUSY):
        yield


@kind("clock of the agent off by 400 days (simulated)", "before", {0: ""})
def clock_off(trial: Trial) -> Iterator[None]:
    if not Path(FAKETIME).exists():
        pytest.skip("libfaketime is not installed")
    root, off = trial.site.hit.root, trial.rng.choice(["+400d", "-400d"])
    shutil.copy(FAKETIME, root / "usr/local/lib/libfaketime.so.1")
    python = root / "usr/local/bin/python-elsewhen"  # not all of the host: sshd's sandbox forbids what the library does
    preloaded = "LD_PRELOAD=/usr/local/lib/libfaketime.so.1"
    python.write_text(f'#!/bin/sh\nexec env {preloaded} FAKETIME={off} /usr/bin/python3 "$@"\n')
    python.chmod(0o755)
    trial.inventory = trial.site.inventory({"ansible_python_interpreter": "/usr/local/bin/python-elsewhen"})
    yield
    python.unlink()


@kind("python missing", "before", {4: "has no `python3`"}, rebuild=False)
def python_missing(trial: Trial) -> Iterator[None]:
    trial.shell("mv /usr/bin/python3 /usr/bin/kept-python3")
    yield
    trial.shell("mv /usr/bin/kept-python3 /usr/bin/python3")


@kind("python too old (a stand-in that says 3.6)", "before", {4: "3\\.6|too old|3\\.8"}, rebuild=False)
def python_old(trial: Trial) -> Iterator[None]:
    path = trial.site.hit.root / "usr/local/bin/python3.6"
    path.write_text(OLD_PYTHON)
    path.chmod(0o755)
    trial.inventory = trial.site.inventory({"ansible_python_interpreter": "/usr/local/bin/python3.6"})
    yield
    path.unlink()


OLD_PYTHON = """#!/bin/sh
while [ "$#" -gt 0 ]; do case "$1" in -c) shift; break ;; *) shift ;; esac; done
text="$1"; shift
exec /usr/bin/python3 -IS -c "import sys; sys.version_info = (3, 6, 9, 'final', 0); exec(sys.argv.pop(1))" "$text" "$@"
"""
