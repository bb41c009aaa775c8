"""A new host's key, ours taken there by a password, and Python brought there, with real sshds."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from provision.errors import ProvisionError
from provision.onboarding import bare
from provision.onboarding.entering import enter, install, prove, with_python
from provision.onboarding.keys import INSTALL, PublicKey
from provision.onboarding.known_keys import with_host
from provision.transport import Target, Unreachable
from provision.transport.auth import Prompts
from provision.transport.ssh.scan import scan

from .sshd import Sshd, keygen

Serve = Callable[..., Sshd]
Stable = Callable[[object], str]
USER = "useradd -m -s /bin/sh ada && printf 'ada:lovelace\\n' | chpasswd"
NOBODY = Prompts(None)
FILE = ".ssh/authorized_keys"


@pytest.fixture
def key(tmp_path: Path) -> PublicKey:
    path = keygen(tmp_path / "ours")
    return PublicKey(path, "ours")


def by_password(serve: Serve, key: PublicKey, setup: str = "", **settings: str) -> tuple[Sshd, Target]:
    """An sshd whose user ada has a password and a home of her own, and how she is reached."""
    found = {"PasswordAuthentication": "yes", "AuthorizedKeysFile": FILE, "StrictModes": "yes", **settings}
    sshd = serve(setup=f"{USER}\n{setup}", **found)
    return sshd, sshd.target(user="ada", password="lovelace", private_key_file=str(key.private))


def at_home(target: Target, key: PublicKey, script: str) -> str:
    """What a script says on the host."""
    connection = enter(target, key, NOBODY)
    assert connection is not None
    try:
        return bare.run(connection, shlex.join(["sh", "-c", script])).output
    finally:
        connection.close()


def brought(target: Target, key: PublicKey) -> str:
    """What bringing the key there did; it is accepted afterwards."""
    word, user = install(target, key, NOBODY)
    assert user == "ada"
    prove(target, key, NOBODY).close()
    return word


# --- the host's key


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_what_is_scanned_is_what_lets_us_in(serve: Serve, tmp_path: Path, kind: str) -> None:
    sshd = serve(host_keys=("ed25519", "ecdsa", "rsa"))
    (own,) = [path for path in sshd.host_keys if path.name == f"host_{kind}"]
    said = subprocess.run(["ssh-keygen", "-lf", str(own)], capture_output=True, text=True, check=True).stdout
    known = tmp_path / "ours_known"
    target = sshd.target(known_hosts=(str(known),))
    shown = scan(target, prompts=NOBODY, wanted=said.split()[1])
    assert shown.fingerprint == said.split()[1]
    with pytest.raises(Unreachable, match="not known"):
        shown.check("gpu-01")
    known.write_text(with_host("", shown.name, shown.key.type, shown.key.text))
    shown.check("gpu-01")
    assert shown.stands_in(str(known))
    assert enter(target, None, NOBODY)
    assert sshd.count("Accepted publickey") == 1  # a scan logs in nowhere


def test_a_known_type_is_asked_for(serve: Serve) -> None:
    sshd = serve(host_keys=("ed25519", "rsa"))
    lines = sshd.known_hosts.read_text().splitlines(keepends=True)
    sshd.known_hosts.write_text(lines[1])
    shown = scan(sshd.target(), prompts=NOBODY)
    assert shown.key.type == "ssh-rsa"
    shown.check("gpu-01")


def test_a_changed_one_is_the_error_that_it_always_is(
    serve: Serve, stable: Stable, snapshot: SnapshotAssertion
) -> None:
    sshd = serve()
    sshd.known_hosts.write_text(
        sshd.known_hosts.read_text().replace(
            sshd.host_keys[0].with_suffix(".pub").read_text().split()[1],
            keygen(sshd.folder / "other").with_suffix(".pub").read_text().split()[1],
        )
    )
    with pytest.raises(Unreachable) as error:
        scan(sshd.target(), prompts=NOBODY).check("gpu-01")
    assert error.value.kind == "host-key-changed"
    assert stable(error.value) == snapshot


def test_nobody_listens(serve: Serve) -> None:
    with pytest.raises(Unreachable) as error:
        scan(replace(serve().target(), port=1), prompts=NOBODY)
    assert error.value.kind == "refused"


# --- our key


def test_the_key_is_brought_once_and_comes_in_alone(serve: Serve, key: PublicKey) -> None:
    sshd, target = by_password(serve, key)
    assert enter(target, key, NOBODY) is None
    assert brought(target, key) == "added"
    modes = "stat -c '%a %n' .ssh .ssh/authorized_keys; cat .ssh/authorized_keys"
    assert at_home(target, key, modes) == f"700 .ssh\n600 {FILE}\n{key.line}\n"
    assert brought(target, key) == "present"
    assert at_home(target, key, modes) == f"700 .ssh\n600 {FILE}\n{key.line}\n"
    assert sshd.count("Accepted password") == 1


def test_what_others_have_there_stays(serve: Serve, key: PublicKey, tmp_path: Path) -> None:
    other = keygen(tmp_path / "other").with_suffix(".pub").read_text().strip()
    # ours stands there behind a comment sign, and the last line has no end
    there = f"# {key.line}\n{other}"
    setup = f"mkdir -m 775 /home/ada/.ssh && printf %s {shlex.quote(there)} > /home/ada/{FILE} && "
    setup += f"chmod 664 /home/ada/{FILE} && chown -R ada: /home/ada/.ssh"
    _, target = by_password(serve, key, setup)
    assert brought(target, key) == "added"
    said = at_home(target, key, "stat -c %a .ssh .ssh/authorized_keys; cat .ssh/authorized_keys")
    # only what sshd refuses is taken away
    assert said == f"755\n644\n{there}\n{key.line}\n"


def test_a_link_is_written_through(serve: Serve, key: PublicKey) -> None:
    setup = "mkdir -m 700 /home/ada/.ssh /home/ada/kept && touch /home/ada/kept/keys && "
    setup += f"ln -s ../kept/keys /home/ada/{FILE} && chown -hR ada: /home/ada"
    _, target = by_password(serve, key, setup)
    assert brought(target, key) == "added"
    assert at_home(target, key, "readlink .ssh/authorized_keys; cat kept/keys") == f"../kept/keys\n{key.line}\n"


def test_login_scripts_may_talk(serve: Serve, key: PublicKey) -> None:
    setup = "printf 'echo Welcome, provision-key: nothing\\n' > /home/ada/.bashrc && chsh -s /bin/bash ada"
    _, target = by_password(serve, key, setup)
    assert brought(target, key) == "added"


@pytest.mark.parametrize(
    ("setup", "settings"),
    [
        ("", {"AuthorizedKeysFile": "/home/authorized_keys"}),
        ("chmod 777 /home/ada", {}),
        ("mkdir -m 700 /home/ada/.ssh", {}),
    ],
    ids=["keys elsewhere", "home open", "folder of root"],
)
def test_what_keeps_the_key_out(
    serve: Serve, key: PublicKey, setup: str, settings: dict[str, str], stable: Stable, snapshot: SnapshotAssertion
) -> None:
    _, target = by_password(serve, key, setup, **settings)
    with pytest.raises(ProvisionError) as error:
        brought(target, key)
    assert stable(error.value) == snapshot


def test_a_wrong_password(serve: Serve, key: PublicKey) -> None:
    _, target = by_password(serve, key)
    with pytest.raises(Unreachable) as error:
        install(replace(target, password="babbage"), key, NOBODY)
    assert error.value.kind == "authentication"


def test_the_script_has_no_word_of_ours(key: PublicKey) -> None:
    # what is written comes by standard input: no shell reads it as text
    assert key.line not in INSTALL
    assert shlex.split(INSTALL)[:2] == ["/bin/sh", "-c"]


# --- Python

APT = '#!/bin/sh\n[ "$1" = update ] || ln -s "$(readlink -f /usr/bin/python3)" /home/ada/python\n'
BROKEN = "#!/bin/sh\necho 'E: no mirror answers' >&2\nexit 100\n"


def without_python(serve: Serve, key: PublicKey, apt: str) -> Target:
    """A host of ada's whose Python is not there, with sudo and an apt-get of its own."""
    tool = f"mkdir /home/bin; printf %s {shlex.quote(apt)} > /home/bin/apt-get; chmod 755 /home/bin/apt-get"
    keys = f"mkdir -m 700 /home/ada/.ssh; printf '%s\\n' {shlex.quote(key.line)} > /home/ada/{FILE}"
    path = "/home/bin:/usr/bin:/bin"
    lines = f"'Defaults !lecture, secure_path=\"{path}\"' 'ada ALL=(ALL:ALL) ALL'"
    sudo = f"printf '%s\\n' {lines} > /etc/sudoers"
    setup = "; ".join([USER, tool, keys, "chown -R ada: /home/ada", sudo])
    sshd = serve(setup=setup, AuthorizedKeysFile=FILE, SetEnv=f"PATH={path}")
    return sshd.target(user="ada", private_key_file=str(key.private), python="/home/ada/python")


def got(target: Target, key: PublicKey, *, bootstrap: bool) -> str:
    connection = prove(target, key, NOBODY)
    try:
        return with_python(connection, target, bootstrap=bootstrap, again="provision onboard ada@gpu-01")
    finally:
        connection.close()


def test_python_is_brought_when_asked_for(serve: Serve, key: PublicKey, snapshot: SnapshotAssertion) -> None:
    target = replace(without_python(serve, key, APT), become_password="lovelace")
    with pytest.raises(ProvisionError) as error:
        got(target, key, bootstrap=False)
    assert str(error.value) == snapshot
    assert got(target, key, bootstrap=True) == bare.INSTALLS["apt-get"]
    assert got(target, key, bootstrap=True) == ""


@pytest.mark.parametrize(
    ("apt", "password"), [(BROKEN, "lovelace"), (APT, None), (APT, "babbage")], ids=["apt", "no password", "wrong"]
)
def test_python_that_cannot_be_brought(
    serve: Serve, key: PublicKey, apt: str, password: str | None, snapshot: SnapshotAssertion
) -> None:
    target = replace(without_python(serve, key, apt), become_password=password)
    with pytest.raises(ProvisionError) as error:
        got(target, key, bootstrap=True)
    assert str(error.value) == snapshot
