"""Where a lab keeps what it is: names, directories, the record of its hosts and the lock of whoever changes it.

Every name that a lab will create (namespace, device, directory) follows from the record, and the record is written
before the thing is made, so that taking a lab down never depends on how far bringing it up came. Starts nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from provision.errors import ProvisionError
from provision.whole_file import write_whole

__all__ = [
    "FIRST_OCTET",
    "HostRecord",
    "Kind",
    "Record",
    "State",
    "base_directory",
    "cache_directory",
    "lab_name",
    "locked",
]

Kind = Literal["gpu", "bullseye", "plain"]
FIRST_OCTET: dict[Kind, int] = {"gpu": 11, "plain": 151, "bullseye": 201}
"""The last byte of the address of the first host of a kind; kinds are at most 50 apart, gpu 140."""
LOCK_SECONDS = 1200.0
"""Longer than the longest that one command holds a lock: a root file system and a channel made from nothing."""
MOST: dict[Kind, int] = {"gpu": 140, "plain": 50, "bullseye": 50}


def base_directory() -> Path:
    """The directory of all labs of this machine: `$PROVISION_LAB_DIR`, else /var/lib/provision-lab."""
    return Path(os.environ.get("PROVISION_LAB_DIR") or "/var/lib/provision-lab").absolute()


def cache_directory() -> Path:
    """The directory of what all labs share: `$PROVISION_LAB_CACHE`, else /var/cache/provision-lab."""
    return Path(os.environ.get("PROVISION_LAB_CACHE") or "/var/cache/provision-lab").absolute()


def lab_name() -> str:
    """The lab that is meant: `$PROVISION_LAB`, else `lab`; raises ProvisionError for a name that cannot be one."""
    name = os.environ.get("PROVISION_LAB") or "lab"
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,19}", name):
        raise ProvisionError(
            f"`{name}` cannot be the name of a lab",
            cause="namespaces are called after the lab: a small letter, then up to 19 of a-z, 0-9 and -",
            hint="set PROVISION_LAB to another name, or leave it unset",
        )
    return name


@dataclass(frozen=True, slots=True)
class HostRecord:
    """One host of a lab, as it is meant to be."""

    name: str
    kind: Kind
    octet: int

    @property
    def suite(self) -> str:
        """The Debian release whose root file system the host has."""
        return "bullseye" if self.kind == "bullseye" else "bookworm"

    @property
    def systemd(self) -> bool:
        return self.kind != "plain"

    @property
    def number(self) -> int:
        """Counts the hosts of a kind from 0."""
        return self.octet - FIRST_OCTET[self.kind]


@dataclass(frozen=True, slots=True)
class Record:
    """A lab, as it is meant to be: its name, its subnet 10.77.SUBNET.0/24 and its hosts."""

    name: str
    subnet: int
    hosts: tuple[HostRecord, ...] = ()

    @property
    def gateway(self) -> str:
        return self.address(1)

    @property
    def bridge_namespace(self) -> str:
        return f"plab.{self.name}"

    @property
    def device(self) -> str:
        """The end of the lab's cable that this machine holds."""
        return f"plab{self.subnet}"

    def address(self, octet: int) -> str:
        return f"10.77.{self.subnet}.{octet}"

    def namespace(self, host: HostRecord) -> str:
        return f"plab.{self.name}.{host.name}"

    def grown(self, counts: dict[Kind, int]) -> Record:
        """The record with at least so many hosts of each kind; none is taken away."""
        known = {host.name for host in self.hosts}
        wanted = [_host(kind, number) for kind, count in counts.items() for number in range(count)]
        return replace(self, hosts=(*self.hosts, *(host for host in wanted if host.name not in known)))


def _host(kind: Kind, number: int) -> HostRecord:
    return HostRecord(f"{kind}-{number + 1:02d}", kind, FIRST_OCTET[kind] + number)


def check_counts(counts: dict[Kind, int]) -> None:
    """Raises ProvisionError for a number of hosts that a lab cannot have."""
    for kind, count in counts.items():
        if not 0 <= count <= MOST[kind]:
            raise ProvisionError(
                f"a lab cannot have {count} {kind} hosts",
                cause=f"each lab has one subnet with room for 0 to {MOST[kind]} of them",
            )
    if not any(counts.values()):
        raise ProvisionError("a lab needs a host", hint="ask for at least one, as in `provision lab up --hosts 1`")


@dataclass(frozen=True, slots=True)
class State:
    """The directory of one lab and what lies where in it."""

    name: str
    directory: Path

    @classmethod
    def named(cls, name: str | None = None) -> State:
        """The state of the lab `name`, of the one that the environment means when None."""
        name = name or lab_name()
        return cls(name, base_directory() / "labs" / name)

    @property
    def www(self) -> Path:
        """What the lab serves over HTTP."""
        return self.directory / "www"

    @property
    def key(self) -> Path:
        """The private key that opens the hosts."""
        return self.directory / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        return self.directory / "known_hosts"

    @property
    def inventory(self) -> Path:
        return self.directory / "inventory.yaml"

    @property
    def ssh_config(self) -> Path:
        return self.directory / "ssh_config"

    @property
    def lock(self) -> Path:
        return base_directory() / "locks" / self.name

    def host_directory(self, host: str) -> Path:
        return self.directory / "hosts" / host

    def read(self) -> Record | None:
        """What the lab is meant to be; None when there is none of this name."""
        try:
            found: dict[str, Any] = json.loads((self.directory / "lab.json").read_text())
        except FileNotFoundError:
            return None
        return Record(found["name"], found["subnet"], tuple(HostRecord(**host) for host in found["hosts"]))

    def write(self, record: Record) -> None:
        """Keep what the lab is meant to be, atomically."""
        self.directory.mkdir(parents=True, exist_ok=True)
        write_whole(self.directory / "lab.json", json.dumps(asdict(record), indent=1) + "\n", durable=False)

    def need(self) -> Record:
        """What the lab is meant to be; raises ProvisionError when it is not up."""
        record = self.read()
        if record is None:
            raise ProvisionError(f"the lab `{self.name}` is not up", hint="bring it up with `provision lab up`")
        return record


@contextmanager
def locked(path: Path, seconds: float = LOCK_SECONDS) -> Iterator[int]:
    """Hold the lock file `path`; gives its descriptor, to be handed to what must finish under it.

    A process that inherits the descriptor keeps the lock when the holder dies, so nobody acts on a half-told state.
    Raises ProvisionError when another holds it for `seconds`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor, path, time.monotonic() + seconds)
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise ProvisionError(
                    f"another command is still changing the lab `{path.name}`",
                    cause=f"it holds the lock {path}",
                    hint="wait for it or end it, then run the command again",
                ) from None
            time.sleep(0.05)
