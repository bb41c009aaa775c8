"""A real sshd on this machine, with its own keys, configuration and port, for one test."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from provision.transport import Target

SSHD = "/usr/sbin/sshd"
PRIVATE = """
mkdir -p "$1/layer" && mount -t tmpfs none "$1/layer" && mkdir "$1/layer/upper" "$1/layer/work"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$1/layer/upper,workdir=$1/layer/work" /etc
mount -t tmpfs none /home
install -m 644 "$1/authorized_keys" /home/authorized_keys
"""


def available() -> bool:
    """Whether sshd can be started here."""
    return os.geteuid() == 0 and Path(SSHD).exists() and shutil.which("ssh-keygen") is not None


def keygen(path: Path, kind: str = "ed25519", passphrase: str = "", *more: str) -> Path:
    """A new key pair at `path`."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", str(path), "-C", path.name, *more], check=True
    )
    return path


class Sshd:
    """One sshd: `folder` holds its configuration, keys and log; `key` is a client key that may log in.

    `setup` is shell text that makes users and sudoers; it and sshd see copies of /etc and /home that nobody else sees.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str],
        host_keys: tuple[str, ...] = ("ed25519",),
        setup: str = "",
    ) -> None:
        self.folder = folder
        self.setup = setup
        folder.mkdir(parents=True, exist_ok=True)
        self.port = _free_port()
        self.key = keygen(folder / "client")
        self.authorized = folder / "authorized_keys"
        self.authorized.write_text((folder / "client.pub").read_text())
        self.host_keys = [keygen(folder / f"host_{kind}", kind) for kind in host_keys]
        self.known_hosts = folder / "known_hosts"
        self.know()
        self.log = folder / "log"
        lines = {
            "ListenAddress": f"127.0.0.1:{self.port}",
            "PidFile": "none",
            "AuthorizedKeysFile": "/home/authorized_keys" if setup else str(self.authorized),
            "PermitRootLogin": "yes",
            "StrictModes": "no",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "LogLevel": "VERBOSE",
            "PrintMotd": "no",
            **settings,
        }
        text = [f"{name} {value}" for name, value in lines.items()] + [f"HostKey {key}" for key in self.host_keys]
        (folder / "sshd_config").write_text("\n".join(text) + "\n")

    def know(self) -> None:
        """Write a known_hosts file that is right."""
        keys = [path.with_suffix(".pub").read_text().split()[:2] for path in self.host_keys]
        self.known_hosts.write_text("".join(f"[127.0.0.1]:{self.port} {kind} {key}\n" for kind, key in keys))

    @contextlib.contextmanager
    def running(self) -> Iterator[Sshd]:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd keeps nothing, and does not start without
        with self.log.open("w") as log:
            process = subprocess.Popen(self._argv(), stderr=log, start_new_session=True)
        self._process = process
        try:
            _wait(self.port, process)
            yield self
        finally:
            for number in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(3)
                    break

    def _argv(self) -> list[str]:
        argv = [SSHD, "-D", "-e", "-f", str(self.folder / "sshd_config")]
        if not self.setup:
            return argv
        script = f"{PRIVATE}\n{self.setup}\nexec {shlex.join(argv)}"
        return ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sh", str(self.folder)]

    def reload(self) -> None:
        """Have it read its configuration and keys again."""
        self._process.send_signal(signal.SIGHUP)
        time.sleep(0.1)
        _wait(self.port, self._process)

    def target(self, **changes: object) -> Target:
        """How to reach it as root with its key and its known_hosts."""
        values: dict[str, object] = {
            "name": "gpu-01",
            "address": "127.0.0.1",
            "port": self.port,
            "user": "root",
            "private_key_file": str(self.key),
            "known_hosts": (str(self.known_hosts),),
            "ssh_arguments": ("-F", "none"),
            **changes,
        }
        return Target(**values)  # type: ignore[arg-type]

    def says(self, text: str, seconds: float = 3) -> bool:
        """Whether its log has a text by then: a login by PAM is let in before that is written."""
        deadline = time.monotonic() + seconds
        while not self.count(text):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def count(self, text: str) -> int:
        """How often its log has a text."""
        return self.log.read_text().count(text)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert process.poll() is None, "sshd ended"
        time.sleep(0.01)
    raise AssertionError("sshd did not start")
