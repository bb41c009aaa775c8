"""Starting the agent's bootstrap over real sshds: markers in noise, real sudo in all its moods, absent Pythons."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from provision.agent.protocol import Boot
from provision.transport import Target, Unreachable, archive
from provision.transport import launch as launching
from provision.transport.launch import launch
from provision.transport.ssh import connect

from .sshd import Sshd

Serve = Callable[..., Sshd]
Stable = Callable[[object], str]
HELLO = {"type": "hello", "version": 1, "run": "r1", "operator": "me@here", "lock": "none", "facts": False}
USER = "useradd -m -s /bin/sh ada; printf 'ada:lovelace\\n' | chpasswd; "
SUDOERS = "printf '%s\\n' 'Defaults env_reset,!lecture{more}' 'ada ALL=(ALL:ALL) {nopasswd}ALL' > /etc/sudoers"
ECHO = """
import os, sys
os.write(1, sys.argv[1].encode())
body = b'{"type":"boot","python":[3,11,2],"uid":%d,"have":true}' % os.geteuid()
os.write(1, len(body).to_bytes(4, "big") + body)
size = int.from_bytes(os.read(0, 4), "big")
got = b""
while len(got) < size:
    got += os.read(0, size - len(got))
body = b'{"type":"fatal","kind":"internal","summary":"%d","cause":"","hint":""}' % len(got)
os.write(1, len(body).to_bytes(4, "big") + body + bytes(range(256)) * 0)
while os.read(0, 4096):
    pass
"""


def sudoers(more: str = "", nopasswd: str = "") -> str:
    return USER + SUDOERS.format(more=more, nopasswd=nopasswd)


@pytest.fixture(autouse=True)
def small_bootstrap(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bootstrap that says who it is and how long the hello was, in place of the agent's."""
    monkeypatch.setattr(archive, "bootstrap", lambda: ECHO)


def started(target: Target) -> tuple[int, bool]:
    """The user id that the agent starts as, and whether that took a terminal; the hello arrived whole."""
    with closing(connect(target)) as connection:
        booted: list[Boot] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(launching, "Link", keeping(booted))
            with closing(launch(connection, target, HELLO)) as link:
                answer = link.receive(10)
                assert int(answer.summary) == len(launching.protocol.encode(HELLO)) - 4  # type: ignore[union-attr]
                return booted[0].uid, link.terminal


def keeping(booted: list[Boot]) -> type:
    class Keeping(launching.Link):
        def receive(self, timeout: float | None = None) -> launching.protocol.HostEvent:
            event = super().receive(timeout)
            if isinstance(event, Boot):
                booted.append(event)
            return event

    return Keeping


def failed(target: Target) -> Unreachable:
    with closing(connect(target)) as connection, pytest.raises(Unreachable) as caught:
        launch(connection, target, HELLO)
    return caught.value


def test_as_root_without_sudo(serve: Serve) -> None:
    sshd = serve()
    assert started(sshd.target()) == (0, False)
    assert started(sshd.target(become=True)) == (0, False)
    assert sshd.count("Starting session") == 2


def test_noise_before_the_marker(serve: Serve) -> None:
    noise = "head -c 50000 /dev/urandom; echo Welcome to gpu-01 >&2; echo '\\033[31m'"
    sshd = serve(setup=f"{USER}printf '%s\\n' 'export ENV=x' \"{noise}\" > /home/noise", ForceCommand=FORCED)
    assert started(sshd.target(user="ada"))[1] is False


FORCED = '. /home/noise; eval "$SSH_ORIGINAL_COMMAND"'


def test_noise_without_end(serve: Serve, stable: Stable, snapshot: SnapshotAssertion) -> None:
    sshd = serve(setup=f"{USER}echo 'yes noise' > /home/noise", ForceCommand=FORCED)
    error = failed(sshd.target(user="ada"))
    assert error.kind == "closed"
    assert error.summary == snapshot


def test_sudo_without_password(serve: Serve) -> None:
    sshd = serve(setup=sudoers(nopasswd="NOPASSWD:"))
    uid, terminal = started(sshd.target(user="ada", become=True))
    assert (uid, terminal) == (0, False)
    assert started(sshd.target(user="ada", become=True, become_password="unneeded")) == (0, False)
    assert started(sshd.target(user="ada"))[0] > 0
    assert sshd.count("Starting session") == 3


def test_sudo_with_password(serve: Serve) -> None:
    sshd = serve(setup=sudoers())
    assert started(sshd.target(user="ada", become=True, become_password="lovelace")) == (0, False)
    assert sshd.count("Starting session") == 1


def test_sudo_with_a_lecture_and_its_own_terminal(serve: Serve) -> None:
    sshd = serve(setup=sudoers(more=",lecture=always,use_pty").replace("!lecture,", ""))
    assert started(sshd.target(user="ada", become=True, become_password="lovelace")) == (0, False)


@pytest.mark.parametrize("more", [",requiretty", ",requiretty,use_pty"])
def test_sudo_that_wants_a_terminal(serve: Serve, more: str) -> None:
    sshd = serve(setup=sudoers(more=more))
    assert started(sshd.target(user="ada", become=True, become_password="lovelace")) == (0, True)
    assert sshd.count("Starting session") == 2


def test_sudo_that_wants_a_terminal_and_no_password(serve: Serve) -> None:
    sshd = serve(setup=sudoers(more=",requiretty", nopasswd="NOPASSWD:"))
    assert started(sshd.target(user="ada", become=True)) == (0, True)


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
