"""Connecting to real sshds: one connection and one channel, streams, deadlines, host keys."""

from __future__ import annotations

import dataclasses
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from provision.transport import Channel, ChannelClosed, Connection, Target, Unreachable
from provision.transport.connecting import connect

from .sshd import Sshd, keygen

Serve = Callable[..., Sshd]
Stable = Callable[[object], str]


def read_all(channel: Channel, patience: float = 10) -> bytes:
    data = b""
    while part := channel.receive(patience):
        data += part
    return data


def refused(target: Target) -> Unreachable:
    with pytest.raises(Unreachable) as caught:
        connect(target).close()
    return caught.value


def test_runs_a_command_with_one_connection_and_one_channel(serve: Serve) -> None:
    sshd = serve()
    connection: Connection = connect(sshd.target())
    channel = connection.start("read line; echo got $line; echo oops >&2; exit 3")
    channel.send(b"hello\n")
    assert read_all(channel) == b"got hello\n"
    assert channel.stderr() == "oops\n"
    assert channel.returncode() == 3
    assert connection.user == "root"
    connection.close()
    assert sshd.count("Connection from") == 2  # the fixture's look whether it is up, and ours
    assert sshd.count("Starting session") == 1


def test_binary_data_in_both_directions_arrives_whole(serve: Serve) -> None:
    connection = connect(serve().target())
    channel = connection.start("cat")
    data = bytes(range(256)) * 16384
    sender = threading.Thread(target=channel.send, args=(data,))
    sender.start()
    received = b""
    while len(received) < len(data):
        received += channel.receive(10)
    sender.join()
    connection.close()
    assert received == data


def test_a_flood_on_standard_error_does_not_block_output(serve: Serve) -> None:
    connection = connect(serve().target())
    channel = connection.start("yes complaint | head -c 8000000 >&2; echo done")
    assert read_all(channel) == b"done\n"
    assert 0 < len(channel.stderr()) <= 64 * 1024
    connection.close()


def test_receive_has_a_deadline_and_close_ends_it(serve: Serve) -> None:
    connection = connect(serve().target())
    channel = connection.start("sleep 60")
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        channel.receive(0.1)
    closing = threading.Timer(0.1, connection.close)
    closing.start()
    assert channel.receive(10) == b""
    assert time.monotonic() - started < 2
    with pytest.raises(ChannelClosed):
        channel.send(b"x")
    closing.join()


def test_a_terminal_is_given_when_asked_for(serve: Serve) -> None:
    connection = connect(serve().target())
    assert read_all(connection.start("tty", terminal=True)).startswith(b"/dev/pts/")
    connection.close()


def test_sixty_four_at_once(serve: Serve) -> None:
    sshd = serve(MaxStartups="200")

    def once(_: int) -> bytes:
        connection = connect(sshd.target())
        try:
            return read_all(connection.start("echo $PPID"), 60)
        finally:
            connection.close()

    with ThreadPoolExecutor(64) as pool:
        assert len(set(pool.map(once, range(64)))) == 64


def test_refused_at_once(stable: Stable, snapshot: SnapshotAssertion) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        target = Target("gpu-01", "127.0.0.1", port=taken.getsockname()[1], ssh_arguments=("-F", "none"))
        started = time.monotonic()
        error = refused(target)
    assert time.monotonic() - started < 2
    assert error.kind == "refused"
    assert stable(error) == snapshot


def test_an_unknown_name(snapshot: SnapshotAssertion) -> None:
    error = refused(Target("gpu-01", "no such host", ssh_arguments=("-F", "none")))
    assert error.kind == "resolve"
    assert error.summary == snapshot


@pytest.fixture
def silent() -> Iterator[tuple[str, int]]:
    """A port that takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()


def test_silence_after_the_connection_has_a_deadline(
    silent: tuple[str, int], stable: Stable, snapshot: SnapshotAssertion
) -> None:
    started = time.monotonic()
    error = refused(Target("gpu-01", silent[0], port=silent[1], ssh_arguments=("-F", "none"), connect_timeout=1))
    assert time.monotonic() - started < 3
    assert error.kind == "timeout"
    assert stable(error) == snapshot


def test_a_black_hole_has_a_deadline(snapshot: SnapshotAssertion, stable: Stable) -> None:
    """A full queue of connections answers no more, like a host that is gone."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for other in (first, second):
            other.setblocking(False)
            other.connect_ex(listener.getsockname())
        target = Target("gpu-01", *listener.getsockname(), ssh_arguments=("-F", "none"), connect_timeout=1)
        started = time.monotonic()
        error = refused(target)
    assert time.monotonic() - started < 3
    assert error.kind == "timeout"
    assert stable(error) == snapshot


def answering(data: bytes) -> Iterator[tuple[str, int]]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def serve() -> None:
            stream, _ = listener.accept()
            with stream:
                stream.sendall(data)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()
        thread.join()


@pytest.mark.parametrize("data", [b"HTTP/1.1 400 Bad Request\r\n\r\n" * 101, b""], ids=["http", "hangs-up"])
def test_what_is_no_ssh_server(data: bytes, stable: Stable, snapshot: SnapshotAssertion) -> None:
    serving = answering(data)
    host, port = next(serving)
    error = refused(Target("gpu-01", host, port=port, ssh_arguments=("-F", "none")))
    list(serving)
    assert error.kind == "closed"
    assert stable(error) == snapshot


def test_an_unknown_host_key(serve: Serve, stable: Stable, snapshot: SnapshotAssertion) -> None:
    sshd = serve()
    sshd.known_hosts.write_text("")
    error = refused(sshd.target())
    assert error.kind == "host-key-unknown"
    assert stable(error) == snapshot
    assert sshd.known_hosts.read_text() == ""
    assert "Accepted" not in sshd.log.read_text()


def test_a_wish_to_skip_the_check_does_not_apply(serve: Serve, stable: Stable, snapshot: SnapshotAssertion) -> None:
    sshd = serve()
    right = sshd.target(ssh_arguments=("-F", "none", "-o", "StrictHostKeyChecking=no"))
    connect(right).close()
    sshd.known_hosts.write_text("")
    assert stable(refused(right)) == snapshot


def test_a_changed_host_key(serve: Serve, tmp_path: Path, stable: Stable, snapshot: SnapshotAssertion) -> None:
    sshd = serve()
    other = keygen(tmp_path / "other").with_suffix(".pub").read_text().split()
    sshd.known_hosts.write_text(f"# fleet\n[127.0.0.1]:{sshd.port} {other[0]} {other[1]}\n")
    error = refused(sshd.target())
    assert error.kind == "host-key-changed"
    assert stable(error) == snapshot
    assert "Accepted" not in sshd.log.read_text()


def test_a_revoked_host_key(serve: Serve, stable: Stable, snapshot: SnapshotAssertion) -> None:
    sshd = serve()
    with sshd.known_hosts.open("a") as file:
        key = sshd.host_keys[0].with_suffix(".pub").read_text().split()
        file.write(f"@revoked * {key[0]} {key[1]}\n")
    assert stable(refused(sshd.target())) == snapshot


def test_the_inventorys_file_decides_before_the_users(serve: Serve, quiet_home: Path, tmp_path: Path) -> None:
    sshd = serve()
    other = keygen(tmp_path / "other").with_suffix(".pub").read_text().split()
    (quiet_home / ".ssh/known_hosts").write_text(f"[127.0.0.1]:{sshd.port} {other[0]} {other[1]}\n")
    connect(sshd.target()).close()
    assert refused(sshd.target(known_hosts=())).kind == "host-key-changed"


def test_the_known_type_is_asked_for_first(serve: Serve) -> None:
    sshd = serve(host_keys=("ed25519", "rsa", "ecdsa"))
    for wanted in ("ssh-rsa", "ecdsa-sha2-nistp256", "ssh-ed25519"):
        lines = [path.with_suffix(".pub").read_text().split()[:2] for path in sshd.host_keys]
        sshd.known_hosts.write_text(
            "".join(f"[127.0.0.1]:{sshd.port} {kind} {key}\n" for kind, key in lines if kind == wanted)
        )
        connect(sshd.target()).close()


def test_hashed_names_are_found(serve: Serve) -> None:
    sshd = serve()
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(sshd.known_hosts)], check=True, capture_output=True)
    assert "127.0.0.1" not in sshd.known_hosts.read_text()
    connect(sshd.target()).close()


@pytest.mark.parametrize(
    ("principals", "validity", "problem"),
    [
        ("127.0.0.1", "-1d:+1d", None),
        ("gpu-9", "-1d:+1d", "its certificate is for gpu-9"),
        ("127.0.0.1", "-2d:-1d", "its certificate is not valid now"),
    ],
)
def test_host_certificates(serve: Serve, tmp_path: Path, principals: str, validity: str, problem: str | None) -> None:
    authority = keygen(tmp_path / "ca")
    folder = tmp_path / "sshd"
    sshd = serve(HostCertificate=str(folder / "host_ed25519-cert.pub"))
    sign = ["ssh-keygen", "-q", "-s", str(authority), "-I", "host", "-h", "-n", principals, "-V", validity]
    subprocess.run([*sign, str(folder / "host_ed25519.pub")], check=True)
    sshd.reload()
    kind, key = authority.with_suffix(".pub").read_text().split()[:2]
    sshd.known_hosts.write_text(f"@cert-authority [127.0.0.1]:{sshd.port} {kind} {key}\n")
    if problem is None:
        connect(sshd.target()).close()
        sshd.known_hosts.write_text(f"@cert-authority [127.0.0.1]:{sshd.port} {kind} {sshd_key(sshd)}\n")
        assert "an authority that is not known" in refused(sshd.target()).cause
    else:
        error = refused(sshd.target())
        assert error.kind == "host-key-unknown"
        assert problem in error.cause


def sshd_key(sshd: Sshd) -> str:
    return sshd.host_keys[0].with_suffix(".pub").read_text().split()[1]


def test_algorithms_are_wished_for_and_missing_ones_named(
    serve: Serve, stable: Stable, snapshot: SnapshotAssertion
) -> None:
    sshd = serve(KexAlgorithms="curve25519-sha256", Ciphers="aes256-ctr", MACs="hmac-sha2-512")
    connect(sshd.target()).close()
    wished = ("-F", "none", "-o", "Ciphers=aes256-ctr,chacha20-poly1305@openssh.com", "-o", "MACs=hmac-sha2-512")
    connect(sshd.target(ssh_arguments=wished)).close()
    error = refused(sshd.target(ssh_arguments=("-F", "none", "-o", "KexAlgorithms=ecdh-sha2-nistp256")))
    assert stable(error) == snapshot(name="nothing in common")
    error = refused(sshd.target(ssh_arguments=("-F", "none", "-o", "Ciphers=chacha20-poly1305@openssh.com")))
    assert error.kind == "ssh-config"
    assert stable(error) == snapshot(name="not in the library")


def test_settings_come_from_the_users_configuration(serve: Serve, quiet_home: Path) -> None:
    sshd = serve()
    (quiet_home / ".ssh/config").write_text("Include fleet/*.conf\n")
    (quiet_home / ".ssh/fleet").mkdir()
    (quiet_home / ".ssh/fleet/a.conf").write_text(
        f"Host gpu-*\n  HostName 127.0.0.1\n  User root\n  Port {sshd.port}\n  IdentityFile {sshd.key}\n"
        f"  UserKnownHostsFile {sshd.known_hosts}\n"
    )
    connection = connect(Target("gpu-01", "gpu-01"))
    assert connection.user == "root"
    connection.close()


def test_what_cannot_be_honoured_is_refused_for_its_hosts_only(
    serve: Serve, quiet_home: Path, stable: Stable, snapshot: SnapshotAssertion
) -> None:
    sshd = serve()
    (quiet_home / ".ssh/config").write_text("Host 127.0.0.9\n  KnownHostsCommand /bin/keys %H\n")
    target = dataclasses.replace(sshd.target(), ssh_arguments=())
    connect(target).close()
    error = refused(dataclasses.replace(target, address="127.0.0.9"))
    assert error.kind == "ssh-config"
    assert stable(error) == snapshot
