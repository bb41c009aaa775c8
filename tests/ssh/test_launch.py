"""Starting the agent's bootstrap over real sshds: markers in noise, real sudo in all its moods, absent Pythons."""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from provision.agent import protocol
from provision.agent.protocol import Boot, Fatal
from provision.transport import Target, Unreachable, archive
from provision.transport import launch as launching
from provision.transport.connecting import connect
from provision.transport.launch import launch
from provision.transport.link import Link

from .sshd import Sshd

Serve = Callable[..., Sshd]
Stable = Callable[[object], str]
HELLO = {"type": "hello", "version": 1, "run": "r1", "operator": "me@here", "lock": "none", "facts": False}
USER = "useradd -m -s /bin/sh ada; printf 'ada:lovelace\\n' | chpasswd; "
SUDOERS = "printf '%s\\n' 'Defaults env_reset,!lecture{more}' 'ada ALL=(ALL:ALL) {nopasswd}ALL' > /etc/sudoers"
SPEAKER = """
import hashlib, json, os, sys

def say(**message):
    body = json.dumps(message).encode()
    body += b" " * (0x0A0D - len(body))
    os.write(1, len(body).to_bytes(4, "big") + body)

def read(count):
    data = b""
    while len(data) < count:
        data += os.read(0, count - len(data)) or sys.exit()
    return data

os.write(1, sys.argv[1].encode())
say(type="boot", python=VERSION, uid=os.geteuid(), have=True)
if VERSION[1] < 8:
    say(type="fatal", kind="python", summary="Python 3.8 or newer is needed", cause="it is old", hint="")
while True:
    seen = hashlib.sha256(read(int.from_bytes(read(4), "big"))).hexdigest()
    say(type="fatal", kind="internal", summary=seen, cause="", hint="")
"""
"""Boots, then answers each frame with its hash; its frames are of a length that a terminal would change."""


def sudoers(more: str = "", nopasswd: str = "") -> str:
    return USER + SUDOERS.format(more=more, nopasswd=nopasswd)


@pytest.fixture(autouse=True)
def small_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bootstrap that says what it got, in place of the agent's."""
    _speaks(monkeypatch, "[3, 11, 2]")


def _speaks(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(archive, "_start", lambda: (archive.archive().sha256, SPEAKER.replace("VERSION", version)))


@pytest.fixture
def booted(monkeypatch: pytest.MonkeyPatch) -> list[Boot]:
    """The boot frames that came."""
    seen: list[Boot] = []

    class Keeping(Link):
        def receive(self, timeout: float | None = None) -> protocol.HostEvent:
            event = super().receive(timeout)
            if isinstance(event, Boot):
                seen.append(event)
            return event

    monkeypatch.setattr(launching, "Link", Keeping)
    return seen


def started(target: Target) -> bool:
    """Start it and exchange frames; whether that took a terminal."""
    with closing(connect(target)) as connection, closing(launch(connection, target, HELLO)) as link:
        blob = protocol.encode_blob("0" * 64, bytes(range(256)) * 200, last=True)
        link.send_frames([blob])
        for frame in (protocol.encode(HELLO), blob):
            answer = link.receive(10)
            assert isinstance(answer, Fatal)
            assert answer.summary == hashlib.sha256(frame[4:]).hexdigest()
        return link.terminal


def failed(target: Target) -> Unreachable:
    with closing(connect(target)) as connection, pytest.raises(Unreachable) as caught:
        launch(connection, target, HELLO)
    return caught.value


def test_as_root_without_sudo(serve: Serve, booted: list[Boot]) -> None:
    sshd = serve()
    assert not started(sshd.target())
    assert not started(sshd.target(become=True))
    assert [boot.uid for boot in booted] == [0, 0]
    assert sshd.count("Starting session") == 2


def test_noise_before_the_marker(serve: Serve) -> None:
    noise = "head -c 50000 /dev/urandom; echo Welcome to gpu-01 >&2; echo '\\033[31m'"
    sshd = serve(setup=f"{USER}printf '%s\\n' 'export ENV=x' \"{noise}\" > /home/noise", ForceCommand=FORCED)
    assert not started(sshd.target(user="ada"))


FORCED = '. /home/noise; eval "$SSH_ORIGINAL_COMMAND"'


def test_noise_without_end(serve: Serve, stable: Stable, snapshot: SnapshotAssertion) -> None:
    sshd = serve(setup=f"{USER}echo 'yes noise' > /home/noise", ForceCommand=FORCED)
    error = failed(sshd.target(user="ada"))
    assert error.kind == "closed"
    assert error.summary == snapshot


def test_sudo_without_password(serve: Serve, booted: list[Boot]) -> None:
    sshd = serve(setup=sudoers(nopasswd="NOPASSWD:"))
    assert not started(sshd.target(user="ada", become=True))
    assert not started(sshd.target(user="ada", become=True, become_password="unneeded"))
    assert not started(sshd.target(user="ada"))
    assert [boot.uid == 0 for boot in booted] == [True, True, False]
    assert sshd.count("Starting session") == 3


def test_sudo_with_password(serve: Serve, booted: list[Boot]) -> None:
    sshd = serve(setup=sudoers())
    assert not started(sshd.target(user="ada", become=True, become_password="lovelace"))
    assert booted[0].uid == 0
    assert sshd.count("Starting session") == 1


def test_sudo_with_a_lecture_and_its_own_terminal(serve: Serve) -> None:
    sshd = serve(setup=sudoers(more=",lecture=always,use_pty").replace("!lecture,", ""))
    assert not started(sshd.target(user="ada", become=True, become_password="lovelace"))


@pytest.mark.parametrize("more", [",requiretty", ",requiretty,use_pty"])
@pytest.mark.parametrize("password", ["lovelace", None])
def test_sudo_that_wants_a_terminal(serve: Serve, booted: list[Boot], more: str, password: str | None) -> None:
    sshd = serve(setup=sudoers(more=more, nopasswd="" if password else "NOPASSWD:"))
    assert started(sshd.target(user="ada", become=True, become_password=password))
    assert booted[0].uid == 0
    assert sshd.count("Starting session") == 2


@pytest.mark.parametrize("more", ["", ",requiretty"])
def test_a_wrong_sudo_password(serve: Serve, more: str, snapshot: SnapshotAssertion) -> None:
    begun = time.monotonic()
    error = failed(serve(setup=sudoers(more)).target(user="ada", become=True, become_password="babbage"))
    assert time.monotonic() - begun < 10
    assert error.kind == "sudo"
    assert str(error) == snapshot(name="wrong sudo password")


def test_no_sudo_password_given(serve: Serve, snapshot: SnapshotAssertion) -> None:
    error = failed(serve(setup=sudoers()).target(user="ada", become=True))
    assert error.kind == "sudo"
    assert str(error) == snapshot


def test_not_in_sudoers(serve: Serve, snapshot: SnapshotAssertion) -> None:
    setup = f"{USER}echo 'root ALL=(ALL) ALL' > /etc/sudoers"
    error = failed(serve(setup=setup).target(user="ada", become=True, become_password="lovelace"))
    assert error.kind == "sudo"
    assert str(error).replace(_hostname(), "gpu-01") == snapshot


def test_sudo_to_another_user_only(serve: Serve, snapshot: SnapshotAssertion) -> None:
    setup = f"{USER}echo 'ada ALL=(nobody) ALL' > /etc/sudoers"
    error = failed(serve(setup=setup).target(user="ada", become=True, become_password="lovelace"))
    assert error.kind == "sudo"
    assert str(error).replace(_hostname(), "gpu-01") == snapshot


def test_another_way_to_become_root(serve: Serve, snapshot: SnapshotAssertion) -> None:
    assert str(failed(serve().target(become=True, become_method="doas"))) == snapshot


@pytest.mark.parametrize("python", ["python9", "/opt/none/bin/python3", "/etc/passwd", "/bin/false"])
def test_no_usable_python(serve: Serve, python: str, snapshot: SnapshotAssertion) -> None:
    error = failed(serve(setup=sudoers(nopasswd="NOPASSWD:")).target(user="ada", python=python))
    assert error.kind == ("closed" if python == "/bin/false" else "python")
    assert str(error) == snapshot


def test_no_python_behind_sudo(serve: Serve, snapshot: SnapshotAssertion) -> None:
    setup = sudoers(nopasswd="NOPASSWD:")
    error = failed(serve(setup=setup).target(user="ada", become=True, python="python9"))
    assert error.kind == "python"
    assert str(error) == snapshot


def test_a_python_that_is_too_old(serve: Serve, monkeypatch: pytest.MonkeyPatch, snapshot: SnapshotAssertion) -> None:
    _speaks(monkeypatch, "[3, 6, 9]")
    error = failed(serve().target())
    assert error.kind == "python"
    assert str(error) == snapshot


def test_a_start_that_hangs(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, snapshot: SnapshotAssertion, tmp_path: Path
) -> None:
    monkeypatch.setattr(launching, "START_DEADLINE", 0.5)
    sshd = serve(ForceCommand="echo Checking quota; sleep 60")
    error = failed(sshd.target())
    assert error.kind == "timeout"
    assert str(error) == snapshot


def test_an_account_without_a_shell(serve: Serve, snapshot: SnapshotAssertion) -> None:
    sshd = serve(setup="useradd -m -p '*' -s /usr/sbin/nologin ada")
    error = failed(sshd.target(user="ada"))
    assert error.kind == "closed"
    assert str(error) == snapshot


def _hostname() -> str:
    return socket.gethostname()
