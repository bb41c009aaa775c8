"""A host's file system: an overlay over a cached root file system, and what makes it one host's own.

Knows directories, not hosts: DIRECTORY/{upper,work,root,data} belong to one host.
"""

from __future__ import annotations

import shutil
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from provision.errors import ProvisionError
from provision.lab import gpus
from provision.lab.processes import run

__all__ = ["Identity", "furnish", "mount", "unmount_below"]

DATA = {
    "shared-assets/sample.txt": "a picture would be here\n",
    "models/i2vgen-xl/config.json": '{"simulated": true}\n',
    "models/llama-2-7b/config.json": '{"simulated": true}\n',
}
"""What the operators of a fleet already have under /data."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells a host from the others: names, address, who may come in, what its GPUs are."""

    lab: str
    name: str
    address: str
    public_key: Path
    gpus: gpus.Gpus


def mount(directory: Path, base: Path, lock: int) -> None:
    """Mount the overlay DIRECTORY/root over `base`, where it is not mounted."""
    for part in ("upper", "work", "root"):
        (directory / part).mkdir(parents=True, exist_ok=True)
    if not (directory / "root").is_mount():
        layers = f"lowerdir={base},upperdir={directory}/upper,workdir={directory}/work"
        run(["mount", "-t", "overlay", "provision-lab", "-o", layers, str(directory / "root")], lock=lock)


def furnish(directory: Path, identity: Identity, lock: int) -> None:
    """Make the mounted overlay one host's own, once: what the host changed afterwards stays as it is."""
    root = directory / "root"
    done = root / "etc/provision-lab/host"
    if done.exists():
        return
    done.parent.mkdir(exist_ok=True)
    (root / "etc/hostname").write_text(f"{identity.name}\n")
    (root / "etc/hosts").write_text(f"127.0.0.1 localhost\n{identity.address} {identity.name}\n")
    (root / "etc/machine-id").write_text(f"{uuid.uuid4().hex}\n")
    _host_key(root / "etc/ssh/ssh_host_ed25519_key", lock)
    _authorize(root / "root/.ssh", identity.public_key)
    gpus.install(root, identity.gpus)
    _program(root / "usr/bin/nvidia-smi", gpus.nvidia_smi())
    (root / "data").mkdir(exist_ok=True)
    _fill(directory / "data")
    done.write_text(f"{identity.lab} {identity.name}\n")


def unmount_below(directory: Path) -> None:
    """Unmount everything in a directory, the innermost first."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in sorted(points, reverse=True):
        if Path(point).is_relative_to(directory):
            _unmount(point)


def _unmount(point: str) -> None:
    """Unmount, waiting a little for the last process in it; then an operator's shell in there does not hold it."""
    for _ in range(5):
        try:
            run(["umount", point])
            return
        except ProvisionError:
            time.sleep(0.1)
    run(["umount", "--lazy", point])


def _host_key(path: Path, lock: int) -> None:
    for left in (path, path.with_suffix(".pub")):
        left.unlink(missing_ok=True)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)], lock=lock)


def _authorize(directory: Path, public_key: Path) -> None:
    directory.mkdir(mode=0o700, exist_ok=True)
    shutil.copyfile(public_key, directory / "authorized_keys")
    (directory / "authorized_keys").chmod(0o600)


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _fill(data: Path) -> None:
    for name, content in DATA.items():
        path = data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
