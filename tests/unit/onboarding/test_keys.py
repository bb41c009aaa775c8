"""Which key is installed, and what is no key."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from provision.errors import ProvisionError
from provision.onboarding.keys import choose, installed

BLOB = base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(32)).decode()
LINE = f"ssh-ed25519 {BLOB} ada@desk"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    return tmp_path


def pair(path: Path, line: str = LINE) -> Path:
    path.write_text("private")
    path.with_name(f"{path.name}.pub").write_text(line + "\n")
    return path


@pytest.mark.parametrize("named", ["~/.ssh/fleet.key", "~/.ssh/fleet.key.pub"])
def test_a_named_one_by_either_part(home: Path, named: str) -> None:
    pair(home / ".ssh/fleet.key")
    found = choose(Path(named), ())
    assert found is not None
    assert (found.private, found.line) == (home / ".ssh/fleet.key", LINE)


def test_the_first_usual_one_that_is_there(home: Path) -> None:
    pair(home / ".ssh/id_rsa")
    found = choose(None, [str(home / ".ssh/id_ed25519"), str(home / ".ssh/id_rsa")])
    assert found is not None
    assert (found.private.name, found.line) == ("id_rsa", LINE)
    assert choose(None, [str(home / ".ssh/id_ed25519")]) is None


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        f"{LINE}\n{LINE}",
        "ssh-ed25519 AAAA",
        f"ssh-rsa {BLOB}",
        f'command="x" {LINE}',
    ],
    ids=["no public part", "empty", "private", "two", "cut", "other type", "with options"],
)
def test_what_is_no_key(home: Path, content: str | None, snapshot: SnapshotAssertion) -> None:
    key = pair(home / ".ssh/id_ed25519", content or "")
    if content is None:
        Path(f"{key}.pub").unlink()
    with pytest.raises(ProvisionError) as error:
        choose(key, ())
    assert str(error.value).replace(str(home), "/home/ada") == snapshot


def test_a_usual_one_without_a_public_part_may_be_accepted_already(home: Path) -> None:
    (home / ".ssh/id_rsa").write_text("private")
    found = choose(None, [str(home / ".ssh/id_rsa")])
    assert found is not None
    with pytest.raises(ProvisionError, match="no public part"):
        _ = found.line


def test_one_that_is_not_there(home: Path, snapshot: SnapshotAssertion) -> None:
    with pytest.raises(ProvisionError) as error:
        choose(Path("~/.ssh/fleet"), ())
    assert str(error.value).replace(str(home), "/home/ada") == snapshot


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ("Welcome!\nprovision-key: added\n", "added"),
        ("no newlineprovision-key: present\n", "present"),
        ("provision-key: what\n", ""),
        ("", ""),
    ],
)
def test_what_the_script_says(said: str, word: str) -> None:
    assert installed(said) == word
