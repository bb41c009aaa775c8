"""Which host keys are taken, what is written of them, and what is said of hosts that stop."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from provision.errors import ProvisionError
from provision.onboarding import knocking
from provision.onboarding.keys import PublicKey
from provision.onboarding.newcomers import Asked, Newcomer
from provision.onboarding.rows import Row, each, ended, going_on
from provision.transport import Target, Unreachable
from provision.transport.auth import Prompts
from provision.transport.host_keys import HostKey, fingerprint
from provision.transport.ssh import scan as scanning
from provision.transport.ssh.scan import Scanned

BLOBS = {name: b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes([number]) * 32 for number, name in enumerate(("a", "b"))}


@pytest.fixture
def known(tmp_path: Path) -> Path:
    return tmp_path / "known_hosts"


@pytest.fixture(autouse=True)
def hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts that show their key, each its own; "c" does not answer."""

    def scan(target: Target, *, prompts: Prompts, wanted: str = "") -> Scanned:
        if target.name not in BLOBS:
            raise Unreachable("timeout", f"cannot connect to {target.name} within 10 s")
        files = tuple(target.known_hosts)
        return Scanned(target.address, 22, HostKey("ssh-ed25519", BLOBS[target.name]), files, "root")

    monkeypatch.setattr(scanning, "scan", scan)


def row(name: str, *files: Path) -> Row:
    target = Target(name=name, address=f"{name}.example", known_hosts=tuple(map(str, files)))
    key = PublicKey(Path("/home/ada/.ssh/id_ed25519"), "id_ed25519")
    return Row(Newcomer(name, Asked(name), "gpu"), name, target, f"provision onboard {name}", key=key)


def line(name: str) -> str:
    return f"{name}.example ssh-ed25519 {base64.b64encode(BLOBS[name]).decode()}\n"


def text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_the_named_fingerprint_is_a_confirmation(known: Path) -> None:
    one = row("a", known)
    knocking.host_keys([one], known, fingerprint(BLOBS["a"]), forks=4)
    assert (one.error, text(known)) == (None, line("a"))
    assert one.left == [f"its host key in {known}"]


def test_what_is_known_is_neither_asked_nor_written(known: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known.write_text(f"# ours\n{line('a')}")
    written: list[Path] = []
    monkeypatch.setattr(knocking, "write_whole", lambda path, _: written.append(path))
    one = row("a", known)
    knocking.host_keys([one], known, "", forks=4)
    assert (one.error, one.left, written) == (None, [], [])


def test_what_the_operator_knows_the_project_knows_too(known: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text(line("a") + line("b"))
    rows = [row("a", known, own), row("b", known, own)]
    knocking.host_keys(rows, known, "", forks=4)
    assert going_on(rows) == rows
    assert text(known) == line("a") + line("b")


def test_a_host_costs_its_own_row(known: Path) -> None:
    known.write_text(line("b"))
    rows = [row("c", known), row("b", known), row("a", known)]
    knocking.host_keys(rows, known, "", forks=4)
    assert [bool(one.error) for one in rows] == [True, False, True]
    assert [one.code for one in rows] == [4, 0, 4]
    assert text(known) == line("b")


@pytest.mark.parametrize("named", ["", fingerprint(BLOBS["b"])], ids=["nobody to ask", "other fingerprint"])
def test_an_unseen_key_is_not_taken(known: Path, named: str, snapshot: SnapshotAssertion) -> None:
    one = row("a", known)
    knocking.host_keys([one], known, named, forks=4)
    assert text(known) == ""
    assert str(one.error) == snapshot


def test_a_changed_key_is_not_taken_by_any_fingerprint(known: Path) -> None:
    known.write_text(line("a").replace(line("a").split()[2], line("b").split()[2]))
    before, one = text(known), row("a", known)
    knocking.host_keys([one], known, fingerprint(BLOBS["a"]), forks=4)
    assert isinstance(one.error, Unreachable) and one.error.kind == "host-key-changed"
    assert text(known) == before


@pytest.mark.parametrize("keyless", [False, True], ids=["no password", "no key"])
def test_nobody_can_be_let_in(
    known: Path, keyless: bool, monkeypatch: pytest.MonkeyPatch, snapshot: SnapshotAssertion
) -> None:
    monkeypatch.setattr("provision.onboarding.entering.enter", lambda *_: None)
    one = row("a", known)
    one.key = None if keyless else one.key
    knocking.keys([one], forks=1)
    assert str(one.error) == snapshot


@pytest.mark.parametrize(
    ("named", "count"), [("SHA256:short", 1), ("MD5:16:27", 1), ("SHA256:" + "A" * 43, 2)], ids=["short", "md5", "two"]
)
def test_what_is_no_fingerprint(named: str, count: int, snapshot: SnapshotAssertion) -> None:
    with pytest.raises(ProvisionError) as error:
        knocking.wanted(named, count)
    assert str(error.value) == snapshot


def test_what_is_left_is_said(known: Path, snapshot: SnapshotAssertion) -> None:
    early, late = row("a", known), row("b", known)

    def stop(one: Row) -> None:
        raise ProvisionError(f"{one.name} does not do")

    late.entered = True
    late.left = ["its host key in known_hosts", "its entry in the inventory"]
    late.next = "provision apply site.yaml -l b"
    assert each([early, late], stop, forks=2) == []
    assert "\n\n".join(ended([early, late])) == snapshot
