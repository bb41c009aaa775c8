"""Asks a host for its host key, before anything is known of it. Must not log in, nor judge the key (host_keys.py)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import paramiko

from provision.transport import Target, Unreachable
from provision.transport.auth import Prompts
from provision.transport.host_keys import HostKey, KnownHosts, fingerprint, name_of, public_file, show
from provision.transport.quick_socket import ProxySocket
from provision.transport.ssh import known_as, stream_to
from provision.transport.ssh.handshake import Handshake, describe
from provision.transport.ssh_directives import settings_of
from provision.transport.ssh_options import Options, resolve

__all__ = ["Scanned", "identities", "scan"]

TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa")


@dataclass(frozen=True, slots=True)
class Scanned:
    """A host's key, the name that known_hosts has for the host, and what files say to the pair.

    `host` and `port` are what the key is looked up by; `known` are the files that decide, `user` is who would log in.
    """

    host: str
    port: int
    key: HostKey
    known: tuple[str, ...]
    user: str

    @property
    def name(self) -> str:
        return name_of(self.host, self.port)

    def check(self, name: str) -> None:
        """Raise Unreachable unless the key is known; an unknown one is "host-key-unknown"."""
        KnownHosts(self.known).check(self.host, self.port, self.key, name=name)

    @property
    def shown(self) -> str:
        """The key as people compare it."""
        return show(self.key.type, self.key.blob)

    @property
    def file(self) -> str:
        """Where hosts keep such a key."""
        return public_file(self.key.type)

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.key.blob)

    def stands_in(self, *files: str) -> bool:
        """Whether these known_hosts files have the key itself for the host."""
        try:
            KnownHosts(files).check(self.host, self.port, HostKey(self.key.type, self.key.blob), name=self.host)
        except Unreachable:
            return False
        return True


def scan(target: Target, *, prompts: Prompts, wanted: str = "") -> Scanned:
    """The key that a host shows: one of a known type, else the first of its own; raises Unreachable.

    A host may have several: where `wanted` (a fingerprint) is not the first, the others are asked for.
    """
    config, arguments = settings_of(target.ssh_arguments)
    options = resolve(target, arguments, config)
    known = KnownHosts(options.known_hosts).types(*known_as(options))
    first = _scan(options, target.name, known, prompts)
    shown = first
    for kind in TYPES if wanted and not known else ():
        if fingerprint(shown.key.blob) == wanted:
            return shown
        shown = _scan(options, target.name, (kind,), prompts)
    return shown if wanted and fingerprint(shown.key.blob) == wanted else first


def identities(target: Target) -> tuple[str, ...]:
    """The key files that would be offered to a host, the first first, whether they are there or not."""
    config, arguments = settings_of(target.ssh_arguments)
    return resolve(target, arguments, config).identities


def _scan(options: Options, name: str, types: Sequence[str], prompts: Prompts) -> Scanned:
    started = time.monotonic()
    stream = stream_to(options, name, prompts)
    transport: Handshake | None = None
    try:
        transport = Handshake.begin(stream, options=options, known_types=types)
        transport.banner_timeout = options.timeout
        transport.start_client(timeout=max(1.0, options.timeout - (time.monotonic() - started)))
        key = transport.get_remote_server_key()
    except (paramiko.SSHException, OSError, EOFError) as error:
        said = stream.said if isinstance(stream, ProxySocket) else ""
        raise describe(error, transport, options, name, said) from None
    finally:
        if transport is not None:
            transport.close()
        stream.close()
    certificate = key.public_blob.key_blob if key.public_blob else b""
    host, port = known_as(options)
    return Scanned(host, port, HostKey(key.get_name(), key.asbytes(), certificate), options.known_hosts, options.user)
