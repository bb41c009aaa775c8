"""Logging in to real sshds: keys, agent, passwords, keyboard-interactive, and what is said when none is taken."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from provision.transport import Target, Unreachable
from provision.transport.auth import Prompts
from provision.transport.connecting import connect

from .sshd import Sshd, keygen

Serve = Callable[..., Sshd]
Stable = Callable[[object], str]
USER = "useradd -m -s /bin/sh ada && printf 'ada:lovelace\\n' | chpasswd"
PASSWORDS = {"setup": USER, "PasswordAuthentication": "yes"}
ASKING = {"setup": USER, "UsePAM": "yes", "KbdInteractiveAuthentication": "yes"}


def refused(target: Target, prompts: Prompts | None = None) -> Unreachable:
    with pytest.raises(Unreachable) as caught:
        connect(target, prompts=prompts).close()
    assert caught.value.kind == "authentication"
    return caught.value


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path, str], None]]:
    """A real ssh-agent in the environment; the function adds a key."""
    path = tmp_path / "agent"
    started = subprocess.run(["ssh-agent", "-a", str(path)], check=True, capture_output=True, text=True)
    found = re.search(r"SSH_AGENT_PID=(\d+)", started.stdout)
    assert found
    monkeypatch.setenv("SSH_AUTH_SOCK", str(path))

    def add(key: Path, passphrase: str = "") -> None:
        asker = tmp_path / "asker"
        asker.write_text(f"#!/bin/sh\necho {passphrase}\n")
        asker.chmod(0o700)
        asking = {**os.environ, "SSH_ASKPASS": str(asker), "SSH_ASKPASS_REQUIRE": "force"}
        subprocess.run(["ssh-add", "-q", str(key)], check=True, env=asking, capture_output=True)

    yield add
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(found[1]), signal.SIGTERM)


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_key_files(serve: Serve, tmp_path: Path, kind: str) -> None:
    sshd = serve()
    key = keygen(tmp_path / "mine", kind)
    sshd.authorized.write_text(key.with_suffix(".pub").read_text())
    connect(sshd.target(private_key_file=str(key))).close()


def test_the_usual_keys_are_found(serve: Serve, quiet_home: Path) -> None:
    sshd = serve()
    shutil.copy(sshd.key, quiet_home / ".ssh/id_ed25519")
    connect(sshd.target(private_key_file=None)).close()


def test_a_users_certificate(serve: Serve, tmp_path: Path) -> None:
    authority = keygen(tmp_path / "ca")
    sshd = serve(TrustedUserCAKeys=str(authority.with_suffix(".pub")))
    key = keygen(tmp_path / "mine")
    assert "not accepted" in refused(sshd.target(private_key_file=str(key))).cause
    sign = ["ssh-keygen", "-q", "-s", str(authority), "-I", "me", "-n", "root", str(key.with_suffix(".pub"))]
    subprocess.run(sign, check=True)
    elsewhere = shutil.move(tmp_path / "mine-cert.pub", tmp_path / "certificate")
    arguments = ("-F", "none", "-o", f"CertificateFile={elsewhere}")
    connect(sshd.target(private_key_file=str(key), ssh_arguments=arguments)).close()


def test_keys_of_an_agent(serve: Serve, agent: Callable[..., None]) -> None:
    sshd = serve()
    agent(sshd.key)
    connect(sshd.target(private_key_file=None)).close()
    without = ("-F", "none", "-o", "IdentityAgent=none")
    refused(sshd.target(private_key_file=None, ssh_arguments=without))


def test_an_encrypted_key_is_taken_from_the_agent(serve: Serve, agent: Callable[..., None], tmp_path: Path) -> None:
    sshd = serve()
    key = keygen(tmp_path / "locked", passphrase="sesame")
    sshd.authorized.write_text(key.with_suffix(".pub").read_text())
    agent(keygen(tmp_path / "unrelated"))
    agent(key, "sesame")
    only = ("-F", "none", "-o", "IdentitiesOnly=yes")
    connect(sshd.target(private_key_file=str(key), ssh_arguments=only)).close()
    assert sshd.count("Failed publickey") == 0


def test_a_locked_key_without_agent(serve: Serve, tmp_path: Path, stable: Stable, snapshot: SnapshotAssertion) -> None:
    key = keygen(tmp_path / "locked", passphrase="sesame")
    assert stable(refused(serve().target(private_key_file=str(key)))) == snapshot


def test_a_passphrase_is_asked_for_once(serve: Serve, tmp_path: Path) -> None:
    sshd = serve()
    key = keygen(tmp_path / "locked", passphrase="sesame")
    sshd.authorized.write_text(key.with_suffix(".pub").read_text())
    typed = ["wrong", "sesame"]
    prompts = Prompts(lambda prompt, seen: typed.pop(0))
    for _ in range(2):
        connect(sshd.target(private_key_file=str(key)), prompts=prompts).close()
    assert typed == []


def test_a_key_that_is_not_taken(serve: Serve, tmp_path: Path, stable: Stable, snapshot: SnapshotAssertion) -> None:
    key = keygen(tmp_path / "other")
    assert stable(refused(serve().target(private_key_file=str(key)))) == snapshot


def test_a_key_that_is_not_there(serve: Serve, stable: Stable, snapshot: SnapshotAssertion) -> None:
    assert stable(refused(serve().target(private_key_file="/no/such/key"))) == snapshot


def test_nothing_to_offer(serve: Serve, stable: Stable, snapshot: SnapshotAssertion) -> None:
    assert stable(refused(serve(**PASSWORDS).target(private_key_file=None, user="ada"))) == snapshot


def test_too_many_keys(
    serve: Serve, agent: Callable[..., None], tmp_path: Path, stable: Stable, snapshot: SnapshotAssertion
) -> None:
    for number in range(3):
        agent(keygen(tmp_path / f"key-{number}"))
    error = refused(serve(MaxAuthTries="2").target(private_key_file=None))
    assert stable(error) == snapshot


def test_a_password(serve: Serve) -> None:
    sshd = serve(**PASSWORDS)
    connect(sshd.target(private_key_file=None, user="ada", password="lovelace")).close()
    assert sshd.count("Accepted password") == 1


def test_a_wrong_password_is_sent_once(serve: Serve, stable: Stable, snapshot: SnapshotAssertion) -> None:
    sshd = serve(**{**ASKING, "PasswordAuthentication": "yes"})
    error = refused(sshd.target(private_key_file=None, user="ada", password="babbage"))
    assert sshd.count("Failed password") == 1
    assert "babbage" not in str(error)
    assert stable(error) == snapshot


def test_keyboard_interactive_takes_the_password(serve: Serve) -> None:
    sshd = serve(**ASKING)
    connect(sshd.target(private_key_file=None, user="ada", password="lovelace")).close()
    assert sshd.says("Accepted keyboard-interactive")


def test_keyboard_interactive_is_asked_once_for_all_hosts(serve: Serve) -> None:
    sshd = serve(**ASKING)
    asked = []

    def ask(prompt: str, seen: bool) -> str:
        asked.append((prompt, seen))
        return "lovelace"

    prompts = Prompts(ask)
    for _ in range(2):
        connect(sshd.target(private_key_file=None, user="ada"), prompts=prompts).close()
    assert asked == [("Password: ", False)]


def test_a_key_and_then_the_password(serve: Serve) -> None:
    sshd = serve(**PASSWORDS, AuthenticationMethods="publickey,password")
    connect(sshd.target(user="ada", password="lovelace")).close()
    assert "right, and more is asked for" in refused(sshd.target(user="ada")).cause


def test_methods_can_be_switched_off(serve: Serve) -> None:
    sshd = serve(**PASSWORDS)
    arguments = ("-F", "none", "-o", "PasswordAuthentication=no", "-o", "PubkeyAuthentication no")
    refused(sshd.target(user="ada", password="lovelace", ssh_arguments=arguments))
    assert sshd.count("Failed password") == 0
