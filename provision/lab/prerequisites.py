"""What this machine needs to hold a lab, and its installation on Debian."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from provision.errors import ProvisionError
from provision.lab.processes import PATH, run

__all__ = ["missing", "must_be_root", "prerequisites"]

PACKAGES = {
    "systemd-nspawn": "systemd-container",
    "debootstrap": "debootstrap",
    "ip": "iproute2",
    "git": "git",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_INSTANCES = 4096
"""Each host's systemd takes a few."""


def must_be_root(command: str) -> None:
    """Raises ProvisionError unless this process is root's."""
    if os.geteuid() != 0:
        raise ProvisionError(
            f"`provision lab {command}` needs root",
            cause="hosts of a lab are namespaces and mounts of this machine, which only root can make",
            hint=f"run it as root, as in `sudo provision lab {command}`",
        )


def missing() -> list[str]:
    """The Debian packages of the programs that are not here."""
    return sorted({package for program, package in PACKAGES.items() if shutil.which(program, path=PATH) is None})


def prerequisites(say: Callable[[str], None]) -> None:
    """Make this machine fit for a lab: install what is missing, on Debian; raises ProvisionError where it cannot."""
    packages = missing()
    if packages:
        _install(packages, say)
    if int(INOTIFY.read_text()) < INOTIFY_INSTANCES:
        INOTIFY.write_text(str(INOTIFY_INSTANCES))


def _install(packages: list[str], say: Callable[[str], None]) -> None:
    if shutil.which("apt-get", path=PATH) is None:
        raise ProvisionError(
            "the lab misses programs that it cannot install here",
            cause=f"the Debian packages {', '.join(packages)} hold them, and this machine has no apt-get",
            hint="install your distribution's packages of the same programs",
        )
    say(f"installing {', '.join(packages)} with apt-get")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-q"], timeout=300, environment=quiet)
    run(["apt-get", "install", "-q", "-y", "--no-install-recommends", *packages], timeout=600, environment=quiet)
    if missing():
        raise ProvisionError(f"apt-get installed {', '.join(packages)} and yet {', '.join(missing())} is missing")
