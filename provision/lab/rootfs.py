"""The root file systems that hosts are overlays of: made once by debootstrap, kept in the lab's cache, never changed.

One is made aside and renamed when it is complete, under a name that tells everything it was made from.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from provision.errors import ProvisionError
from provision.lab.processes import PATH
from provision.lab.state import cache_directory, locked

__all__ = ["directory", "prepare"]

PACKAGES = "systemd,systemd-sysv,dbus,openssh-server,python3,iproute2,git,sudo,ca-certificates,procps,curl,netbase,less"
MIRROR = "http://deb.debian.org/debian"
SECONDS = 900

MASKED = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "dpkg-db-backup.timer",
    "console-getty.service",
    "getty@tty1.service",
    "systemd-networkd.service",
    "systemd-logind.service",
    "systemd-journal-flush.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
    "systemd-update-utmp.service",
    "systemd-update-utmp-runlevel.service",
    "modprobe@.service",
    "motd-news.timer",
)
"""Units that a host in a container has no use for: without them it boots faster and idles at nothing."""

SSHD = """\
HostKey /etc/ssh/ssh_host_ed25519_key
LogLevel VERBOSE
PermitRootLogin prohibit-password
UseDNS no
MaxStartups 200:30:400
"""

JOURNALD = """\
[Journal]
Storage=volatile
RuntimeMaxUse=32M
"""


def directory(suite: str) -> Path:
    """Where the root file system of a Debian release is or will be."""
    made_from = "\n".join((PACKAGES, MIRROR, *MASKED, SSHD, JOURNALD))
    return cache_directory() / f"rootfs-{suite}-{hashlib.sha256(made_from.encode()).hexdigest()[:12]}"


def prepare(suite: str, say: Callable[[str], None]) -> Path:
    """The root file system of a Debian release, made when there is none; raises ProvisionError when that fails."""
    ready = directory(suite)
    if ready.exists():
        return ready
    with locked(cache_directory() / f"rootfs-{suite}.lock"):
        if not ready.exists():
            say(f"making the root file system of Debian {suite} (once, about a minute)")
            _make(suite, ready)
    return ready


def _make(suite: str, ready: Path) -> None:
    for left in ready.parent.glob(f"rootfs-{suite}-*.aside"):
        shutil.rmtree(left)
    aside = ready.with_name(ready.name + ".aside")
    _debootstrap(suite, aside)
    _fit(aside)
    aside.rename(ready)


def _debootstrap(suite: str, target: Path) -> None:
    """Run debootstrap in namespaces of its own, so that its processes and mounts end with this process."""
    log = target.with_name(f"rootfs-{suite}.log")
    isolated = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child"]
    argv = [*isolated, "debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, str(target), MIRROR]
    with log.open("wb") as output:
        try:
            subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=SECONDS,
                check=True,
                env={"PATH": PATH},
            )
        except subprocess.TimeoutExpired:
            raise _failed(suite, f"debootstrap did not end within {SECONDS} s", log) from None
        except subprocess.CalledProcessError as error:
            raise _failed(suite, f"debootstrap ended with exit code {error.returncode}", log) from None


def _failed(suite: str, what: str, log: Path) -> ProvisionError:
    last = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
    return ProvisionError(
        f"cannot make the root file system of Debian {suite}",
        cause=f"{what}; the end of {log} reads:\n{last}",
        hint=f"the mirror {MIRROR} must be reachable, and {log.parent} needs 1 GB free",
    )


def _fit(root: Path) -> None:
    """Make a fresh Debian fit to be the base of many hosts: nothing in it that each must have for itself."""
    for name in MASKED:
        unit = root / "etc/systemd/system" / name
        unit.unlink(missing_ok=True)
        unit.symlink_to("/dev/null")
    for key in root.glob("etc/ssh/ssh_host_*"):
        key.unlink()
    for emptied in ("etc/machine-id", "etc/resolv.conf", "etc/motd"):
        (root / emptied).unlink(missing_ok=True)
        (root / emptied).write_text("")
    shutil.rmtree(root / "var/lib/apt/lists")
    (root / "var/lib/apt/lists/partial").mkdir(parents=True)
    for archive in root.glob("var/cache/apt/archives/*.deb"):
        archive.unlink()
    _write(root / "etc/ssh/sshd_config.d/lab.conf", SSHD)
    _write(root / "etc/default/ssh", 'SSHD_OPTS="-E /var/log/sshd.log"\n')
    _write(root / "etc/systemd/journald.conf.d/lab.conf", JOURNALD)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
