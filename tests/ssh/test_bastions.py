"""Hosts behind real bastions: one connection a bastion, chains, proxy commands, and their errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from provision import adhoc
from provision.options import Shown, Where
from provision.transport import Target, Unreachable
from provision.transport.connecting import connect
from provision.transport.ssh import close_bastions

from .sshd import Sshd

Serve = Callable[..., Sshd]
Stable = Callable[[object], str]


@pytest.fixture(autouse=True)
def closed_bastions() -> Iterator[None]:
    yield
    close_bastions()


def configure(home: Path, *sshds: Sshd, more: str = "") -> None:
    """An ssh_config that knows sshds by the names of their folders, and all their host keys."""
    hosts = [
        f"Host {sshd.folder.name}\n  HostName 127.0.0.1\n  Port {sshd.port}\n  User root\n  IdentityFile {sshd.key}\n"
        for sshd in sshds
    ]
    (home / ".ssh/config").write_text("\n".join(hosts) + more)
    (home / ".ssh/known_hosts").write_text("".join(sshd.known_hosts.read_text() for sshd in sshds))


def said(target: Target) -> bytes:
    connection = connect(target)
    try:
        return connection.start("echo hello").receive(10)
    finally:
        connection.close()


def test_one_connection_to_the_bastion_carries_all_hosts(serve: Serve, quiet_home: Path) -> None:
    bastion, host = serve("bastion"), serve("host", MaxStartups="100")
    configure(quiet_home, bastion, host, more="Host host\n  ProxyJump bastion\n")
    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(said, [Target("gpu-01", "host")] * 16)) == {b"hello\n"}
    assert bastion.count("Accepted publickey") == 1
    assert host.count("Accepted publickey") == 16


def test_a_chain_given_on_the_command_line(serve: Serve, quiet_home: Path) -> None:
    first, second, host = serve("first"), serve("second"), serve("host")
    configure(quiet_home, first, second, host)
    assert said(Target("gpu-01", "host", ssh_arguments=("-J", f"root@first:{first.port},second"))) == b"hello\n"
    assert [sshd.count("Accepted publickey") for sshd in (first, second, host)] == [1, 1, 1]


def test_a_bastion_that_went_away_is_connected_anew(serve: Serve, quiet_home: Path) -> None:
    bastion, host = serve("bastion"), serve("host")
    configure(quiet_home, bastion, host, more="Host *\n  ProxyJump bastion\n")
    assert said(Target("gpu-01", "host")) == b"hello\n"
    close_bastions()
    assert said(Target("gpu-01", "host")) == b"hello\n"
    assert bastion.count("Accepted publickey") == 2


def test_a_run_hangs_up_on_its_bastions(serve: Serve, quiet_home: Path, tmp_path: Path) -> None:
    bastion, host = serve("bastion"), serve("host", setup="mount -t tmpfs none /var/lib")
    configure(quiet_home, bastion, host, more="Host host\n  ProxyJump bastion\n")
    (tmp_path / "inventory.yaml").write_text("all: {hosts: {gpu-01: {ansible_host: host}}}\n")
    assert adhoc.run(["true"], hosts="all", where=Where(inventory=[tmp_path / "inventory.yaml"]), shown=Shown()) == 0
    assert bastion.says("Closing connection to")


def test_a_proxy_command(serve: Serve, quiet_home: Path) -> None:
    host = serve("host")
    configure(quiet_home, host)
    script = "import socket,sys,os,threading as t;s=socket.create_connection((sys.argv[1],int(sys.argv[2])));" + (
        "t.Thread(target=lambda:[s.sendall(d) for d in iter(lambda:os.read(0,65536),b'')],daemon=True).start();"
        "[os.write(1,d) for d in iter(lambda:s.recv(65536),b'')]"
    )
    arguments = ("-o", f'ProxyCommand python3 -c "{script}" %h %p')
    assert said(Target("gpu-01", "host", ssh_arguments=arguments)) == b"hello\n"


def test_a_proxy_command_that_fails(quiet_home: Path, snapshot: SnapshotAssertion) -> None:
    arguments = ("-F", "none", "-o", "ProxyCommand=echo no route to %h >&2; false")
    with pytest.raises(Unreachable) as caught:
        said(Target("gpu-01", "10.9.9.9", ssh_arguments=arguments))
    assert str(caught.value) == snapshot


def test_a_bastion_that_does_not_let_in_fails_all_hosts_at_once(
    serve: Serve, quiet_home: Path, stable: Stable, snapshot: SnapshotAssertion
) -> None:
    bastion, host = serve("bastion"), serve("host")
    bastion.authorized.write_text("")
    configure(quiet_home, bastion, host, more="Host *\n  ProxyJump bastion\n")

    def error(_: int) -> str:
        with pytest.raises(Unreachable) as caught:
            said(Target("gpu-01", "host"))
        assert caught.value.kind == "authentication"
        return stable(caught.value)

    with ThreadPoolExecutor(8) as pool:
        errors = set(pool.map(error, range(8)))
    assert len(errors) == 1
    assert errors.pop() == snapshot


def test_a_bastion_that_forbids_forwarding(
    serve: Serve, quiet_home: Path, stable: Stable, snapshot: SnapshotAssertion
) -> None:
    bastion, host = serve("bastion", AllowTcpForwarding="no"), serve("host")
    configure(quiet_home, bastion, host, more="Host host\n  ProxyJump bastion\n")
    with pytest.raises(Unreachable) as caught:
        said(Target("gpu-01", "host"))
    assert stable(caught.value) == snapshot


def test_a_host_that_the_bastion_cannot_reach(
    serve: Serve, quiet_home: Path, stable: Stable, snapshot: SnapshotAssertion
) -> None:
    bastion = serve("bastion")
    configure(quiet_home, bastion, more="Host host\n  HostName 127.0.0.1\n  Port 1\n  ProxyJump bastion\n")
    with pytest.raises(Unreachable) as caught:
        said(Target("gpu-01", "host"))
    assert stable(caught.value) == snapshot
