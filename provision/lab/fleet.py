"""A lab as a whole: brought up, looked at, taken down. The public API of the lab for tests and for its commands.

What is meant to be is written to the lab's record before it is made; bringing up makes what is missing of it, taking
down takes away what the record names, however far bringing it up came.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import provision
from provision.errors import ProvisionError
from provision.lab import apps, channel, debs, inventory, network, processes, pyindex, rootfs
from provision.lab.hosts import Host
from provision.lab.prerequisites import must_be_root, prerequisites
from provision.lab.processes import Identity, run
from provision.lab.state import Kind, Record, State, base_directory, cache_directory, check_counts, locked
from provision.whole_file import write_whole

__all__ = ["HostStatus", "Lab"]

Say = Callable[[str], None]
BOOTS_AT_ONCE = 8
CHANNEL_SUITE = "bookworm"
"""The Debian release whose Python the channel's packages are made of, whatever this machine runs."""


@dataclass(frozen=True, slots=True)
class HostStatus:
    """How one host is."""

    name: str
    address: str
    kind: Kind
    up: bool


class Lab:
    """A lab by its name, up or not."""

    def __init__(self, name: str | None = None) -> None:
        self.state = State.named(name)

    @property
    def name(self) -> str:
        return self.state.name

    @property
    def record(self) -> Record:
        """What the lab is meant to be; raises ProvisionError when it is not up."""
        return self.state.need()

    @property
    def inventory(self) -> Path:
        """The lab's inventory; raises ProvisionError when the lab is not up, or only in part."""
        self.state.need()
        if not self.state.inventory.exists():
            raise ProvisionError(
                f"the lab `{self.name}` has no inventory yet",
                cause="bringing it up has not come to its end",
                hint="run `provision lab up` again",
            )
        return self.state.inventory

    @property
    def hosts(self) -> list[Host]:
        record = self.record
        return [Host(self.state, record, host) for host in record.hosts]

    def host(self, name: str) -> Host:
        """The host of this name; raises ProvisionError naming those that there are."""
        hosts = {host.name: host for host in self.hosts}
        if name not in hosts:
            raise ProvisionError(f"the lab `{self.name}` has no host `{name}`", hint=f"it has {', '.join(hosts)}")
        return hosts[name]

    def status(self) -> list[HostStatus]:
        """How every host is, asked at once."""
        hosts = self.hosts
        with ThreadPoolExecutor(BOOTS_AT_ONCE) as pool:
            ups = list(pool.map(lambda host: host.up, hosts))
        return [HostStatus(host.name, host.address, host.host.kind, up) for host, up in zip(hosts, ups, strict=True)]

    def up(self, counts: Mapping[Kind, int], say: Say = lambda _: None) -> None:
        """Bring up at least so many hosts of each kind, and what they are served; what is already up stays as it is.

        Raises ProvisionError; what was made until then stays for the next `up` or for `down`.
        """
        must_be_root("up")
        wanted: dict[Kind, int] = {kind: counts.get(kind, 0) for kind in ("gpu", "plain", "bullseye")}
        check_counts(wanted)
        prerequisites(say)
        with locked(self.state.lock) as lock:
            record = self._claim(wanted)
            for suite in sorted({CHANNEL_SUITE, *(host.suite for host in record.hosts)}):
                rootfs.prepare(suite, say)
            self._key(lock)
            with self._network():
                network.create(record, lock)
            hosts = self.hosts
            with ThreadPoolExecutor(BOOTS_AT_ONCE) as pool:
                boots = [pool.submit(_boot, host, lock) for host in hosts]
                self._content(say)
                self._serve(record, lock)
                for boot in boots:
                    boot.result()
            self._tell(record, hosts)

    def down(self) -> bool:
        """Take away every process, mount, namespace, device and file of the lab, however complete it is.

        False when there was none.
        """
        must_be_root("down")
        with locked(self.state.lock) as lock:
            record = self.state.read()
            if record is None:
                return False
            hosts = self.hosts
            with ThreadPoolExecutor(BOOTS_AT_ONCE) as pool:
                list(pool.map(Host.discard, hosts))
            server = Identity.recorded(self._server)
            if server:
                processes.end(server)
            with self._network():
                network.remove(record, lock)
            self._forget()
        return True

    def commit(self, app: str, files: Mapping[str, str], message: str = "A change") -> str:
        """Commit files to the repository of one of the lab's applications; gives the commit's id."""
        return apps.commit(self.state.www / "git" / f"{app}.git", files, message)

    def _claim(self, counts: dict[Kind, int]) -> Record:
        """Write down what is meant to be, with a subnet of the lab's own."""
        with locked(base_directory() / "locks" / ".subnets"):
            record = self.state.read()
            if record is None:
                subnet = network.choose_subnet(network.claimed_subnets(), network.used_networks())
                record = Record(self.name, subnet)
            record = record.grown(counts)
            self.state.write(record)
        return record

    def _network(self) -> AbstractContextManager[int]:
        """One lab at a time: a machine's first namespace makes the place for all, the end of the last removes it."""
        return locked(base_directory() / "locks" / ".network")

    def _key(self, lock: int) -> None:
        self.state.directory.chmod(0o755)
        if not self.state.key.with_suffix(".pub").exists():
            self.state.key.unlink(missing_ok=True)
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(self.state.key)], lock=lock)

    def _content(self, say: Say) -> None:
        self.state.www.mkdir(parents=True, exist_ok=True)
        apps.build(self.state.www)
        say("conda channel, package index and driver packages (made once, then kept)")
        channel.build(self.state.www, cache_directory(), rootfs.directory(CHANNEL_SUITE))
        pyindex.build(self.state.www, cache_directory())
        debs.build(self.state.www, cache_directory())

    @property
    def _server(self) -> Path:
        return self.state.directory / "server"

    def _serve(self, record: Record, lock: int) -> None:
        if Identity.recorded(self._server):
            return
        argv = [sys.executable, "-m", "provision.lab.serve", str(self.state.www), record.gateway, str(inventory.PORT)]
        found = {"PYTHONPATH": str(Path(provision.__file__).parent.parent)}  # also when it was never installed
        log = self.state.directory / "server.log"
        processes.launch(argv, record=self._server, log=log, lock=lock, environment=found)

    def _tell(self, record: Record, hosts: list[Host]) -> None:
        keys = {host.name: host.public_key() for host in hosts}
        write_whole(self.state.known_hosts, inventory.known_hosts(record, keys), durable=False)
        write_whole(self.state.ssh_config, inventory.ssh_config(self.state, record), durable=False)
        write_whole(
            self.state.inventory, inventory.inventory(self.state, record, apps.commits(self.state.www)), durable=False
        )

    def _forget(self) -> None:
        mounts = Path("/proc/self/mountinfo").read_text()
        if f" {self.state.directory}/" in mounts:
            raise ProvisionError(
                f"the lab `{self.name}` still has mounts below {self.state.directory}",
                hint="unmount them, then run `provision lab down` again",
            )
        shutil.rmtree(self.state.directory)


def _boot(host: Host, lock: int) -> None:
    host.boot(lock)
    host.wait()
