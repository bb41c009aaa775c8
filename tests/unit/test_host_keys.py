"""Verdicts on host keys, without a host."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from provision.transport import Unreachable
from provision.transport.host_keys import HostKey, KnownHosts, fingerprint, name_of

ONE, TWO = b"one", b"two"
KEY = HostKey("ssh-ed25519", ONE)


def line(names: str, blob: bytes = ONE, kind: str = "ssh-ed25519", marker: str = "") -> str:
    return f"{marker} {names} {kind} {base64.b64encode(blob).decode()} a comment\n".lstrip()


def known(tmp_path: Path, *texts: str) -> KnownHosts:
    files = []
    for number, text in enumerate(texts):
        path = tmp_path / f"known_hosts-{number}"
        path.write_text(text)
        files.append(str(path))
    return KnownHosts((str(tmp_path / "absent"), *files))


def verdict(hosts: KnownHosts, host: str = "gpu-01", port: int = 22, key: HostKey = KEY) -> str:
    try:
        hosts.check(host, port, key, name="gpu-01")
    except Unreachable as error:
        return error.kind
    return "fine"


@pytest.mark.parametrize(
    ("text", "host", "port", "wanted"),
    [
        (line("gpu-01"), "gpu-01", 22, "fine"),
        (line("gpu-01"), "GPU-01", 22, "fine"),
        (line("other,gpu-01"), "gpu-01", 22, "fine"),
        (line("gpu-*,!gpu-01"), "gpu-01", 22, "host-key-unknown"),
        (line("gpu-*"), "gpu-01", 22, "fine"),
        (line("[gpu-01]:2200"), "gpu-01", 2200, "fine"),
        (line("[gpu-01]:2200"), "gpu-01", 22, "host-key-unknown"),
        (line("gpu-01"), "gpu-01", 2200, "fine"),
        (line("gpu-01", TWO), "gpu-01", 2200, "host-key-unknown"),
        (line("gpu-01", TWO), "gpu-01", 22, "host-key-changed"),
        (line("gpu-01", TWO) + line("gpu-01"), "gpu-01", 22, "fine"),
        (line("gpu-01", TWO, "ssh-rsa"), "gpu-01", 22, "host-key-changed"),
        (line("gpu-01") + line("*", ONE, marker="@revoked"), "gpu-01", 22, "host-key-changed"),
        (line("gpu-01") + line("*", TWO, marker="@revoked"), "gpu-01", 22, "fine"),
        (line("gpu-01", marker="@cert-authority"), "gpu-01", 22, "host-key-unknown"),
        (line("gpu-01", marker="@future"), "gpu-01", 22, "host-key-unknown"),
        ("# gpu-01 ssh-ed25519 AAAA\ngpu-01 ssh-ed25519\ngpu-01 ssh-ed25519 ***\n", "gpu-01", 22, "host-key-unknown"),
        ("|1|broken|line ssh-ed25519 b25l\n", "gpu-01", 22, "host-key-unknown"),
        ("", "gpu-01", 22, "host-key-unknown"),
    ],
)
def test_one_file(tmp_path: Path, text: str, host: str, port: int, wanted: str) -> None:
    assert verdict(known(tmp_path, text), host, port) == wanted


def test_the_first_file_that_knows_a_host_decides(tmp_path: Path) -> None:
    assert verdict(known(tmp_path, line("gpu-01"), line("gpu-01", TWO))) == "fine"
    assert verdict(known(tmp_path, line("gpu-01", TWO), line("gpu-01"))) == "host-key-changed"
    assert verdict(known(tmp_path, line("gpu-02"), line("gpu-01"))) == "fine"


def test_revoked_anywhere_is_revoked(tmp_path: Path) -> None:
    hosts = known(tmp_path, line("gpu-01"), line("gpu-01", marker="@revoked"))
    assert verdict(hosts) == "host-key-changed"


def test_types_to_ask_for(tmp_path: Path) -> None:
    text = line("gpu-01", kind="ssh-rsa") + line("gpu-01", TWO) + line("*", TWO, marker="@revoked")
    hosts = known(tmp_path, text + line("gpu-02", marker="@cert-authority"))
    assert hosts.types("gpu-01", 22) == ("ssh-rsa", "ssh-ed25519")
    assert hosts.types("gpu-02", 22) == ("*-cert-v01@openssh.com",)
    assert hosts.types("gpu-03", 22) == ()


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    hosts = known(tmp_path, "")
    assert verdict(hosts) == "host-key-unknown"
    (tmp_path / "known_hosts-0").write_text(line("gpu-01"))
    assert verdict(hosts) == "fine"


def test_names_and_fingerprints_as_ssh_shows_them() -> None:
    assert name_of("GPU-01", 22) == "gpu-01"
    assert name_of("fe80::1", 2200) == "[fe80::1]:2200"
    assert fingerprint(b"") == "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"


def test_garbage_as_a_certificate_is_refused(tmp_path: Path) -> None:
    hosts = known(tmp_path, line("gpu-01", TWO, marker="@cert-authority"))
    with pytest.raises(Unreachable) as caught:
        hosts.check("gpu-01", 22, HostKey("ssh-ed25519", ONE, b"\0\0\0\4garbage"), name="gpu-01")
    assert caught.value.kind == "host-key-unknown"
    assert "cannot be verified" in caught.value.cause
