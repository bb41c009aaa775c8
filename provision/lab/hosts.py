"""One host of a lab: its file system, its first process, its cable, and ways for tests to look at it and to hurt it.

A host is an overlay over a cached root file system and a systemd-nspawn, or for a plain host an unshare, of it. What
a host is called and where it lives comes from the lab's record; nothing here decides which hosts there are.
"""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from provision.errors import ProvisionError
from provision.lab import cgroups, filesystem, gpus, network, processes, rootfs
from provision.lab.processes import Identity, wait_for
from provision.lab.state import HostRecord, Record, State, locked

__all__ = ["Host"]

BOOT_SECONDS = 60
SUPERVISOR = 'while "$@"; [ $? -eq 133 ]; do :; done'
"""Starts a host again when it reboots, which systemd-nspawn says with this exit code; every other end is its end."""


class Host:
    """A host of a lab, running or not."""

    def __init__(self, state: State, record: Record, host: HostRecord) -> None:
        self.state = state
        self.record = record
        self.host = host
        self.directory = state.host_directory(host.name)

    def __repr__(self) -> str:
        return f"<host {self.name} at {self.address}>"

    @property
    def name(self) -> str:
        return self.host.name

    @property
    def address(self) -> str:
        return self.record.address(self.host.octet)

    @property
    def root(self) -> Path:
        """The host's file system as this machine sees it, also while the host is off; without the host's mounts."""
        return self.directory / "root"

    @property
    def data(self) -> Path:
        """What the host has mounted at /data."""
        return self.directory / "data"

    @property
    def pid(self) -> int | None:
        """The host's first process as this machine counts; None while the host is off."""
        outer = Identity.recorded(self.directory / "process")
        return _first_process(outer.pid) if outer else None

    @property
    def up(self) -> bool:
        """Whether the host has a first process and its sshd answers."""
        return self.pid is not None and _answers(self.address)

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: str = "",
        timeout: float = 60,
        check: bool = True,
        environment: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root on the host, not through sshd; raises ProvisionError when it fails and `check`."""
        pid = self.pid
        if pid is None:
            raise ProvisionError(
                f"the lab's host `{self.name}` is not running", hint="start it with `provision lab up`"
            )
        done = subprocess.run(
            ["nsenter", f"--target={pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--", *argv],
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env={"PATH": processes.PATH, "LANG": "C.UTF-8", "HOME": "/root", **(environment or {})},
        )
        if check and done.returncode:
            raise ProvisionError(
                f"`{' '.join(argv)}` failed on the lab's host `{self.name}`", cause=done.stderr or done.stdout
            )
        return done

    def kill(self) -> None:
        """Take the host away as a crash would: every process of it dies at once."""
        outer = Identity.recorded(self.directory / "process")
        if outer:
            self._kill(outer)
        cgroups.kill(self._groups)

    def _kill(self, outer: Identity) -> None:
        first = _first_process(outer.pid)
        identity = Identity.of(first) if first else None
        if identity:
            identity.kill()
        try:
            wait_for(lambda: not outer.alive(), 3, f"the end of `{self.name}`")
        except ProvisionError:  # it had no first process yet, is just being started again, or does not notice
            processes.end(outer)

    def start(self) -> None:
        """Boot the host where it is off, with the file system that it has, and wait until its sshd answers."""
        with locked(self.state.lock) as lock:
            self.boot(lock)
        self.wait()

    def boot(self, lock: int) -> None:
        """Start the host where it is off; the lab's lock is held, the network is there."""
        if self.pid is not None:
            return
        self.kill()
        filesystem.mount(self.directory, rootfs.directory(self.host.suite), lock)
        filesystem.furnish(self.directory, self._identity(), lock)
        network.connect(self.record, self.host, lock)
        cgroups.make(self._groups)
        log = self.directory / "console.log"
        processes.launch(self._argv(), record=self.directory / "process", log=log, lock=lock, cgroups=self._groups)

    def wait(self) -> None:
        """Wait until the host can be used; raises ProvisionError with the end of its console when it cannot in time."""
        log = self.directory / "console.log"
        wait_for(lambda: self.up, BOOT_SECONDS, f"sshd of the host `{self.name}`", log)
        if self.host.systemd:
            self.run(["systemctl", "is-system-running", "--wait"], check=False, timeout=BOOT_SECONDS)

    def discard(self) -> None:
        """Stop the host and take away its mounts; its directory stays."""
        self.kill()
        filesystem.unmount_below(self.directory)
        cgroups.remove(self._groups)

    def cut(self) -> None:
        """Cut the host's cable: packets vanish and nobody is told."""
        network.cut(self.record, self.host)

    def mend(self) -> None:
        """Mend the cable."""
        network.mend(self.record, self.host)

    def log(self) -> str:
        """What the host's sshd has logged."""
        try:
            return (self.root / "var/log/sshd.log").read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def connections(self) -> int:
        """How many authenticated connections the host's sshd has logged."""
        return len(re.findall(r"^Accepted \S+ for ", self.log(), re.MULTILINE))

    def channels(self) -> int:
        """How many commands, shells and subsystems the host's sshd has logged the start of."""
        return len(re.findall(r"^Starting session:", self.log(), re.MULTILINE))

    def set_gpus(self, wanted: gpus.Gpus) -> None:
        """Give the host other simulated GPUs or another driver."""
        gpus.install(self.root, wanted)

    def gpus(self) -> gpus.Gpus:
        """The simulated GPUs that the lab gives this host."""
        return gpus.of_host(self.record.name, self.name, self.host.number)

    def public_key(self) -> str:
        """The host's public key as known_hosts has it: type and key."""
        return " ".join((self.root / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[:2])

    def cpu_seconds(self) -> float:
        """The processor time that the host has used since it was made; 0 where the kernel keeps no such account."""
        return cgroups.cpu_seconds(self._groups)

    @property
    def _groups(self) -> list[Path]:
        return cgroups.paths(self.record.name, self.name)

    def _identity(self) -> filesystem.Identity:
        key = self.state.key.with_suffix(".pub")
        return filesystem.Identity(self.record.name, self.name, self.address, key, self.gpus())

    def _argv(self) -> list[str]:
        space = f"/run/netns/{self.record.namespace(self.host)}"
        if self.host.systemd:
            return [
                *("sh", "-c", SUPERVISOR, "lab", "setpriv", "--pdeathsig", "KILL"),
                *("systemd-nspawn", "--quiet", "--keep-unit", "--register=no", "--boot", "--console=pipe"),
                *("--resolv-conf=off", "--timezone=off", "--link-journal=no"),
                *(f"--directory={self.root}", f"--machine={self.record.name}-{self.name}", f"--hostname={self.name}"),
                *(f"--network-namespace-path={space}", f"--bind={self.data}:/data"),
            ]
        script = str(resources.files("provision.lab").joinpath("plain-host.sh"))
        isolated = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"]
        return ["nsenter", f"--net={space}", *isolated, "sh", script, str(self.root), self.name, str(self.data)]


def _first_process(outer: int) -> int | None:
    """The child or grandchild of a host's outer process that counts itself as process 1 of a namespace."""
    children = _children(outer)
    for child in [*children, *(grandchild for each in children for grandchild in _children(each))]:
        found = re.search(r"^NSpid:\t(.*)$", _read(Path(f"/proc/{child}/status")), re.MULTILINE)
        if found and len(found[1].split()) > 1 and found[1].split()[-1] == "1":
            return child
    return None


def _children(pid: int) -> list[int]:
    return [int(child) for child in _read(Path(f"/proc/{pid}/task/{pid}/children")).split()]


def _answers(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), 1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
