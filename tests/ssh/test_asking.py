"""Questions on a real terminal, under the live screen of a run against a real sshd."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .sshd import Sshd, keygen

Serve = Callable[..., Sshd]
PLAY = "- hosts: all\n  tasks:\n    - command: sleep 4\n      check_mode: false\n"
PROMPT = b"Passphrase of the key "


class Typist:
    """Runs a command on a terminal of its own, reads what it shows and types."""

    def __init__(self, argv: list[str], folder: Path) -> None:
        self.terminal, inner = pty.openpty()
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *argv],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            cwd=folder,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"},
        )
        os.close(inner)
        self.shown = b""

    def read(self, seconds: float) -> bytes:
        """What is shown within so many seconds."""
        deadline, before = time.monotonic() + seconds, len(self.shown)
        while (left := deadline - time.monotonic()) > 0 and select.select([self.terminal], [], [], left)[0]:
            try:
                self.shown += os.read(self.terminal, 65536)
            except OSError:  # the other side is closed
                break
        return self.shown[before:]

    def until(self, text: bytes, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown.decode(errors="replace")
            self.read(0.1)

    def type(self, text: bytes) -> None:
        os.write(self.terminal, text)

    def code(self, seconds: float = 30) -> int:
        """The exit code, once it has ended and everything it showed is read."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < deadline:
            self.read(0.1)
        self.read(0.2)
        return self.process.wait(0.1)

    def end(self) -> None:
        """Take it away, however far it came."""
        self.process.kill()
        self.process.wait(10)
        os.close(self.terminal)

    @property
    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self.terminal)[3] & termios.ECHO)


@pytest.fixture
def plan(serve: Serve, tmp_path: Path) -> Iterator[Typist]:
    """`provision plan` of three names of one host: two whose key is encrypted, one that is busy meanwhile."""
    locked = keygen(tmp_path / "locked", passphrase="sesame")
    private = f"mount -t tmpfs none /var/lib; cat {locked}.pub >> /home/authorized_keys"
    sshd = serve(setup=private)
    hosts = {"busy": sshd.key, "locked-1": locked, "locked-2": locked}
    (tmp_path / "known_hosts").write_text(sshd.known_hosts.read_text())
    lines = [
        f"    {name}: {{ansible_host: 127.0.0.1, ansible_port: {sshd.port}, ansible_user: root,"
        f" ansible_ssh_private_key_file: {key}, ansible_ssh_common_args: -F none}}\n"
        for name, key in hosts.items()
    ]
    (tmp_path / "inventory.yaml").write_text("all:\n  hosts:\n" + "".join(lines))
    (tmp_path / "play.yaml").write_text(PLAY)
    typist = Typist([sys.executable, "-m", "provision", "plan", "play.yaml", "-T", "30"], tmp_path)
    yield typist
    typist.end()


def test_a_passphrase_is_asked_once_and_nothing_is_drawn_over_the_question(plan: Typist) -> None:
    plan.until(PROMPT)
    assert not plan.echoes
    plan.read(0.3)  # the rest of the prompt
    assert plan.shown.endswith(b": ")
    assert b"busy" in plan.shown, "the live screen was there before"
    assert plan.read(1.5) == b"", "the screen is drawn four times a second otherwise"
    plan.type(b"sesame\n")
    assert plan.code() == 0
    assert plan.shown.count(PROMPT) == 1
    assert b"sesame" not in plan.shown
    assert b"3 hosts: would change" in plan.shown
    behind = plan.shown.rpartition(PROMPT)[2]
    assert b"locked-1" in behind, "the screen goes on behind the question"
    assert plan.echoes


def test_an_interrupted_question_leaves_the_terminal_as_it_was(plan: Typist) -> None:
    plan.until(PROMPT)
    begun = time.monotonic()
    plan.type(b"\x03")
    assert plan.code() == 130
    assert time.monotonic() - begun < 3
    assert plan.echoes
