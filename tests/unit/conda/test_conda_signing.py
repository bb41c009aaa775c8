"""Locks that have to be signed, with real keys and the real ssh-keygen; what is said word for word."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from provision.conda import signing
from provision.conda.environment import Environment
from provision.conda.lock import make_lock, paths, read_lock
from provision.conda.locked import Lock
from provision.conda.mirrors import Settings
from provision.conda.prepare import prepare
from provision.errors import ProvisionError, ProvisionErrors

Make = Callable[..., Environment]


def key(folder: Path, name: str) -> Path:
    path = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)], check=True)
    return path


def allowed(folder: Path, *lines: tuple[str, Path, str]) -> Path:
    """A file of allowed signers: principal, key and options."""
    file = folder / "allowed_signers"
    public = [(who, options, path.with_suffix(".pub").read_text().strip()) for who, path, options in lines]
    file.write_text("".join(f"{who} {options}{' ' if options else ''}{text}\n" for who, options, text in public))
    return file


class Signed:
    """An environment that is locked and signed by somebody who may."""

    def __init__(self, make: Make, settings: Settings, folder: Path) -> None:
        self.folder = folder
        self.environment = make("python=3.11")
        self.key = key(folder, "ann")
        self.settings = replace(
            settings, signed=True, allowed_signers=allowed(folder, ("ann@example.com", self.key, ""))
        )
        self.where = paths(self.environment, settings)
        make_lock(self.environment, settings)
        signing.sign(self.where, self.key)

    @property
    def lock(self) -> Lock:
        lock = read_lock(self.environment, self.settings)
        assert lock
        return lock

    def judged(self) -> str:
        return signing.verify(self.lock, self.settings.allowed_signers)


@pytest.fixture
def signed(environment: Make, settings: Settings, tmp_path: Path) -> Signed:
    return Signed(environment, settings, tmp_path)


def test_who_signed_is_told_and_people_can_verify_it_themselves(signed: Signed) -> None:
    assert signed.judged() == "ann@example.com"
    argv = ["-Y", "verify", "-f", str(signed.settings.allowed_signers), "-I", "ann@example.com", "-n", "provision-lock"]
    done = subprocess.run(
        ["ssh-keygen", *argv, "-s", str(signed.where.signature)], input=signed.where.manifest.read_bytes(), check=False
    )
    assert done.returncode == 0


def test_a_key_that_only_an_agent_has_signs(signed: Signed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    socket = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL) as agent:
        try:
            monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
            for _ in range(100):
                if subprocess.run(["ssh-add", "-q", str(signed.key)], capture_output=True, check=False).returncode == 0:
                    break
            signed.key.unlink()
            signed.where.signature.unlink()
            signing.sign(signed.where, signed.key.with_suffix(".pub"))
            assert signed.judged() == "ann@example.com"
        finally:
            agent.terminate()


def test_a_lock_that_is_made_again_the_same_stays_signed_and_of_its_time(signed: Signed, settings: Settings) -> None:
    before = signed.lock
    make_lock(signed.environment, settings)
    assert signed.lock == before
    assert signed.judged() == "ann@example.com"


def test_a_lock_that_changes_is_signed_no_more_and_never_older(
    signed: Signed, environment: Make, settings: Settings
) -> None:
    text = signed.where.manifest.read_text()
    signed.where.manifest.write_text(text.replace(signed.lock.locked, "2100-01-01T00:00:00Z"))
    changed = environment("python=3.11", "pip")
    make_lock(changed, settings)
    assert not signed.where.signature.exists()
    made = read_lock(changed, settings)
    assert made and made.locked == "2100-01-01T00:00:00Z"


def test_nothing_is_locked_by_the_way_where_locks_are_signed(environment: Make, settings: Settings) -> None:
    asked = environment("python=3.11")
    with pytest.raises(ProvisionError, match="has no lock") as refused:
        prepare([asked.path], replace(settings, signed=True), report=print)
    assert refused.value.hint == f"make one with `provision lock --sign KEY {asked.path}`"


def unsigned(signed: Signed) -> None:
    signed.where.signature.unlink()


def other_signer(signed: Signed) -> None:
    signing.sign(signed.where, key(signed.folder, "eve"))


def signed_for_git(signed: Signed) -> None:
    argv = ["ssh-keygen", "-Y", "sign", "-f", str(signed.key), "-n", "git"]
    done = subprocess.run(argv, input=signed.where.manifest.read_bytes(), capture_output=True, check=True)
    signed.where.signature.write_bytes(done.stdout)


def signer_for_git_only(signed: Signed) -> None:
    allowed(signed.folder, ("ann@example.com", signed.key, 'namespaces="git"'))


def signer_of_the_past(signed: Signed) -> None:
    allowed(signed.folder, ("ann@example.com", signed.key, 'valid-before="20200101"'))


def edited(signed: Signed) -> None:
    manifest = json.loads(signed.where.manifest.read_text())
    manifest["locked"] = "2099-01-01T00:00:00Z"
    signed.where.manifest.write_text(json.dumps(manifest))


def garbled_signature(signed: Signed) -> None:
    signed.where.signature.write_text("-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----\n")


def no_signers(signed: Signed) -> None:
    assert signed.settings.allowed_signers
    signed.settings.allowed_signers.unlink()


def signers_not_said(signed: Signed) -> None:
    signed.settings = replace(signed.settings, allowed_signers=None)


def signer_that_is_an_option(signed: Signed) -> None:
    allowed(signed.folder, ("-Oprint-pubkey", signed.key, ""))


@pytest.mark.parametrize(
    "harm",
    [
        unsigned,
        other_signer,
        signed_for_git,
        signer_for_git_only,
        signer_of_the_past,
        edited,
        garbled_signature,
        no_signers,
        signers_not_said,
        signer_that_is_an_option,
    ],
    ids=lambda harm: harm.__name__,
)
def test_what_is_not_signed_as_it_must_be_is_refused(
    signed: Signed, harm: Callable[[Signed], None], snapshot: SnapshotAssertion
) -> None:
    harm(signed)
    with pytest.raises(ProvisionError) as refused:
        signing.need({signed.environment.path: signed.lock}, signed.settings.allowed_signers)
    assert told(str(refused.value), signed.folder) == snapshot


def test_all_locks_are_judged_before_it_is_said(signed: Signed) -> None:
    unsigned(signed)
    with pytest.raises(ProvisionErrors) as refused:
        locks = {signed.environment.path: signed.lock, signed.environment.path / ".." / "environment.yml": signed.lock}
        signing.need(locks, signed.settings.allowed_signers)
    assert len(refused.value.errors) == 2


def test_a_missing_file_of_signers_is_one_error_for_all_locks(signed: Signed) -> None:
    no_signers(signed)
    locks = {signed.environment.path: signed.lock, signed.environment.path / ".." / "environment.yml": signed.lock}
    with pytest.raises(ProvisionError, match="nobody is allowed to sign") as refused:
        signing.need(locks, signed.settings.allowed_signers)
    assert not isinstance(refused.value, ProvisionErrors)


def test_a_manifest_that_is_exchanged_after_it_was_read_is_not_taken(signed: Signed, environment: Make) -> None:
    lock = signed.lock
    make_lock(environment("python=3.11", "pip"), signed.settings)
    signing.sign(signed.where, signed.key)
    with pytest.raises(ProvisionError, match="not signed by somebody who may"):
        signing.verify(lock, signed.settings.allowed_signers)


def test_without_ssh_keygen_it_says_so(
    signed: Signed, monkeypatch: pytest.MonkeyPatch, snapshot: SnapshotAssertion
) -> None:
    monkeypatch.setenv("PATH", str(signed.folder))
    with pytest.raises(ProvisionError) as refused:
        signed.judged()
    assert str(refused.value) == snapshot


def test_an_ssh_keygen_that_hangs_is_given_up(
    signed: Signed, monkeypatch: pytest.MonkeyPatch, snapshot: SnapshotAssertion
) -> None:
    program = signed.folder / "bin" / "ssh-keygen"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(signing, "_WITHIN", 0.2)
    with pytest.raises(ProvisionError) as refused:
        signed.judged()
    assert str(refused.value) == snapshot


def test_a_key_that_is_none(signed: Signed, snapshot: SnapshotAssertion) -> None:
    for path in (signed.folder / "missing", signed.where.conda):
        with pytest.raises(ProvisionError) as refused:
            signing.sign(signed.where, path)
        assert told(str(refused.value), signed.folder) == snapshot


def told(text: str, folder: Path) -> str:
    return re.sub(r"0x[0-9a-f]+|SHA256:\S+", "…", text.replace(str(folder), "."))


assert shutil.which("ssh-keygen"), "openssh-client is installed with git and sshd"
