"""Ansible Vault's format: what ansible-vault wrote is read, the same is written here, and what is wrong is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keys import VECTORS, opening
from syrupy.assertion import SnapshotAssertion

from provision.errors import Mark, ProvisionError
from provision.secret import vault
from provision.secret.keyring import KEYS, Keyring, sources

HERE = Mark("group_vars/all.yml", 3, 11)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("whole.yml", b'db_password: Tr0ub4dor&3\nnested: {token: "{{ db_password }}!", port: 5432}\n'),
        ("labelled.txt", "multi\nline wörds\n".encode()),
        ("binary.bin", b"\x00\x01\xffbinary"),
    ],
)
def test_what_ansible_wrote_is_read(name: str, content: bytes) -> None:
    keys = opening(f"dev@{VECTORS / 'password-dev'}")
    assert keys.content((VECTORS / name).read_bytes(), HERE) == content


@pytest.mark.parametrize("name", ["whole.yml", "labelled.txt", "binary.bin"])
def test_the_same_salt_gives_the_very_text_of_ansible(name: str) -> None:
    written = (VECTORS / name).read_text()
    envelope = vault.parse(written, HERE)
    password = b"second" if envelope.label else b"correct horse"
    content = vault.decrypt(envelope, password)
    assert content is not None
    assert vault.encrypt(content, password, envelope.label, envelope.salt) == written


@settings(max_examples=20, deadline=None)
@given(st.binary(max_size=200), st.binary(min_size=1, max_size=20), st.sampled_from(["", "prod"]))
def test_there_and_back(content: bytes, password: bytes, label: str) -> None:
    envelope = vault.parse(vault.encrypt(content, password, label), HERE)
    assert envelope.label == label
    assert vault.decrypt(envelope, password) == content
    assert vault.decrypt(envelope, password + b"x") is None


def test_a_changed_byte_opens_nothing() -> None:
    envelope = vault.parse((VECTORS / "whole.yml").read_text(), HERE)
    changed = envelope._replace(ciphertext=bytes([envelope.ciphertext[0] ^ 1]) + envelope.ciphertext[1:])
    assert vault.decrypt(changed, b"correct horse") is None


WHOLE = (VECTORS / "whole.yml").read_text()


@pytest.mark.parametrize(
    "text",
    [
        "$ANSIBLE_VAULT;1.1;AES256\n",
        "$ANSIBLE_VAULT;1.1;AES256\nzz\n",
        WHOLE[:-40],
        "$ANSIBLE_VAULT;1.2;AES256\n6161\n",
        "$ANSIBLE_VAULT;1.0;AES\n6161\n",
        "plain",
    ],
    ids=["empty", "no hexadecimal", "cut", "no label", "too old", "no head"],
)
def test_garbled(text: str, snapshot: SnapshotAssertion) -> None:
    with pytest.raises(ProvisionError) as caught:
        opening().opened(text, HERE)
    assert str(caught.value) == snapshot


def test_no_password_and_wrong_ones(
    snapshot: SnapshotAssertion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(VECTORS)
    labelled = Path("labelled.txt").read_text()
    said = []
    for given_sources in ([], [Path("password")], [Path("password"), Path("binary.bin")]):
        keys = Keyring()
        with pytest.raises(ProvisionError) as caught:
            keys.say(sources(given_sources, [], ask=False))
            keys.opened(labelled, HERE)
        said.append(str(caught.value))
    assert said == snapshot


def test_the_password_of_the_label_comes_first_and_others_are_tried() -> None:
    ids = [f"prod@{VECTORS / 'password'}", f"dev@{VECTORS / 'password-dev'}"]
    for order in (ids, ids[::-1], [f"other@{VECTORS / 'password-dev'}"]):
        assert opening(*order, files=()).opened((VECTORS / "labelled.txt").read_text(), HERE)


def test_a_script_prints_the_password_and_a_client_is_told_the_label(tmp_path: Path) -> None:
    script = tmp_path / "keys-client.sh"
    script.write_text('#!/bin/sh\ntest "$1 $2" = "--vault-id dev" && echo second\n')
    script.chmod(0o755)
    assert opening(f"dev@{script}", files=()).opened((VECTORS / "labelled.txt").read_text(), HERE)
    (tmp_path / "fails").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "fails").chmod(0o755)
    with pytest.raises(ProvisionError, match="failed with exit code 3"):
        _ = opening(f"dev@{tmp_path / 'fails'}", files=()).passwords


@pytest.mark.parametrize("name", ["PROVISION_VAULT_PASSWORD_FILE", "ANSIBLE_VAULT_PASSWORD_FILE"])
def test_the_environment_names_a_file_where_the_command_line_names_none(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, str(VECTORS / "password"))
    assert KEYS.opened(WHOLE, HERE).startswith(b"db_password")
    KEYS._opened.clear()
    KEYS.say(sources([VECTORS / "password-dev"], [], ask=False))
    with pytest.raises(ProvisionError, match="does not open"):
        KEYS.opened(WHOLE, HERE)


def test_sources_that_are_of_no_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, snapshot: SnapshotAssertion
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").write_text("\n")
    Path("sealed").write_text(WHOLE)
    said = []
    for files, ids in (([Path("none")], []), ([Path("empty")], []), ([Path("sealed")], []), ([], ["a b@none"])):
        with pytest.raises(ProvisionError) as caught:
            _ = [source() for source in sources(files, ids, ask=False)]
        said.append(str(caught.value))
    with pytest.raises(ProvisionError) as caught:
        sources([], [], ask=True)
    assert [*said, str(caught.value)] == snapshot
