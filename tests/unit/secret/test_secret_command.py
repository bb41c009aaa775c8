"""`provision secret`: files are written whole and private, and ansible-vault's own files are taken and given back."""

from __future__ import annotations

import io
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from keys import VECTORS
from syrupy.assertion import SnapshotAssertion

from provision.errors import Mark, ProvisionError
from provision.secret import age, command, editing, vault
from provision.source import loads

PASSWORD = ["--vault-password-file", str(VECTORS / "password")]


def run(*words: str) -> None:
    assert command.app([*words], exit_on_error=False, result_action="return_value") == 0


def content(path: Path, password: bytes = b"correct horse") -> bytes | None:
    return vault.decrypt(vault.parse(path.read_text(), Mark("f", 1, 1)), password)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "vars.yml"
    path.write_text("token: abc\n")
    path.chmod(0o644)
    return path


def test_encrypt_and_decrypt_in_place(file: Path) -> None:
    run("encrypt", str(file), *PASSWORD)
    assert content(file) == b"token: abc\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    run("decrypt", str(file), *PASSWORD)
    assert file.read_text() == "token: abc\n" and stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["vars.yml"]


def test_output_elsewhere_and_view(file: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    run("encrypt", str(file), "--output", str(file.with_name("sealed")), *PASSWORD)
    assert file.read_text() == "token: abc\n"
    run("view", str(file.with_name("sealed")), *PASSWORD)
    run("decrypt", str(VECTORS / "binary.bin"), "--output", "-", *PASSWORD)
    assert capfdbinary.readouterr().out == b"token: abc\n\x00\x01\xffbinary"


def test_rekey_opens_all_before_it_writes_one(file: Path) -> None:
    run("encrypt", str(file), *PASSWORD)
    before = file.read_text()
    bad = file.with_name("bad")
    bad.write_text(before[:-20])
    new = ["--new-vault-id", f"prod@{VECTORS / 'password-dev'}"]
    with pytest.raises(ProvisionError, match="garbled"):
        run("rekey", str(file), str(bad), *new, *PASSWORD)
    assert file.read_text() == before
    run("rekey", str(file), *new, *PASSWORD)
    assert content(file, b"second") == b"token: abc\n" and file.read_text().startswith(
        "$ANSIBLE_VAULT;1.2;AES256;prod\n"
    )


def test_edit_keeps_the_label_and_writes_only_a_change(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = ["--vault-id", f"dev@{VECTORS / 'password-dev'}", "--vault-id", f"prod@{VECTORS / 'password'}"]
    run("encrypt", str(file), *ids, "--encrypt-vault-id", "prod")
    before = file.read_text()
    monkeypatch.setenv("EDITOR", "true")
    monkeypatch.delenv("VISUAL", raising=False)
    run("edit", str(file), *ids)
    assert file.read_text() == before
    monkeypatch.setenv("EDITOR", "sed -i s/abc/changed/")
    run("edit", str(file), *ids)
    assert content(file) == b"token: changed\n" and ";prod\n" in file.read_text()
    monkeypatch.setenv("EDITOR", "cp /proc/self/status")
    run("edit", str(file.with_name("new.yml")), *PASSWORD)
    assert b"VmSize" in (content(file.with_name("new.yml")) or b"")


def test_what_is_edited_lies_in_a_private_folder_in_memory_and_goes(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    editor = tmp_path / "editor"
    editor.write_text(f'#!/bin/sh\nstat -c "%a %n" "$(dirname "$1")" "$1" > {seen}\nexit 3\n')
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(editor))
    monkeypatch.delenv("VISUAL", raising=False)
    with pytest.raises(ProvisionError, match="exit code 3"):
        editing.edited(b"x", "vars.yml")
    (folder_mode, folder), (mode, path) = (line.split() for line in seen.read_text().splitlines())
    assert (folder_mode, mode, Path(path).name) == ("700", "600", "vars.yml")
    assert folder.startswith("/dev/shm/") and not Path(folder).exists()


def test_a_killed_edit_leaves_nothing_for_long(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    program = "from provision.secret import editing; editing.edited(b'x', 'f')"
    for number, left in ((signal.SIGTERM, 0), (signal.SIGKILL, 1)):
        environment = {**os.environ, "EDITOR": "sh -c 'sleep 5'"}
        started = subprocess.Popen([sys.executable, "-c", program], env=environment)
        mine = f"{editing._LEFT}{started.pid}-*"
        deadline = time.monotonic() + 30
        while not list(editing._MEMORY.glob(f"{mine}/f")) and time.monotonic() < deadline:
            time.sleep(0.01)
        started.send_signal(number)
        started.wait(30)
        assert len(list(editing._MEMORY.glob(mine))) == left
    monkeypatch.setenv("EDITOR", "true")
    editing.edited(b"y", "g")
    assert not list(editing._MEMORY.glob(mine))


def test_encrypt_string_is_a_value_for_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"s3cret\n")))
    run("encrypt-string", "--name", "token", *PASSWORD)
    value = loads(capsys.readouterr().out, "said")["token"]
    assert vault.decrypt(vault.parse(str(value), Mark("f", 1, 1)), b"correct horse") == b"s3cret\n"


def test_age_files_for_several(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyrage = pytest.importorskip("pyrage")
    one, other = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    identity = file.with_name("identity")
    identity.write_text(f"# created: today\n# public key: {other.to_public()}\n{other}\n")
    run("encrypt", str(file), "--age-recipient", str(one.to_public()), "--age-recipient", str(other.to_public()))
    assert file.read_bytes().startswith(age.HEADS[1])
    with pytest.raises(ProvisionError, match="no identity is given"):
        run("decrypt", str(file))
    monkeypatch.setenv("PROVISION_AGE_IDENTITY", str(identity))
    run("decrypt", str(file))
    assert file.read_text() == "token: abc\n"
    file.write_bytes(pyrage.encrypt(b"\x00binary", [one.to_public()]))
    with pytest.raises(ProvisionError, match="no identity opens"):
        run("decrypt", str(file))


def test_age_without_pyrage_says_what_to_install(monkeypatch: pytest.MonkeyPatch, snapshot: SnapshotAssertion) -> None:
    monkeypatch.setitem(sys.modules, "pyrage", None)
    with pytest.raises(ProvisionError) as caught:
        age.decrypt(age.HEADS[0], [Path("x")], Mark("vars.age", 1, 1))
    assert str(caught.value) == snapshot


def test_what_cannot_be_done(file: Path, monkeypatch: pytest.MonkeyPatch, snapshot: SnapshotAssertion) -> None:
    monkeypatch.chdir(file.parent)
    Path("password").write_text("pw\n")
    words = ["--vault-password-file", "password"]
    run("encrypt", "vars.yml", "--output", "sealed", *words)
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", "no-such-editor")
    said = []
    for line in (
        "encrypt sealed",
        "encrypt none",
        "encrypt vars.yml sealed --output x",
        "encrypt vars.yml --output none/x",
        "encrypt vars.yml --encrypt-vault-id dev",
        "view vars.yml",
        "edit sealed",
        "rekey sealed --new-vault-id a@password --new-vault-password-file password",
    ):
        with pytest.raises(ProvisionError) as caught:
            run(*line.split(), *words)
        said.append(f"{line}\n{caught.value}")
    assert said == snapshot
