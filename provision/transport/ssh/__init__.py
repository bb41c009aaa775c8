"""Connections to hosts over SSH: this package alone imports fabric and paramiko, and is imported once a host answers.

Owns what the libraries do: handshake, host key check, login, channels. Which options hold, which keys are known and
what is offered are decided by ssh_options.py, host_keys.py and auth.py. One connection a host, and one to a bastion.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from typing import Any

from provision.printable import printable
from provision.transport import Unreachable
from provision.transport.auth import Credentials, Prompts, authenticate
from provision.transport.bastion import Shared
from provision.transport.connecting import begin, direct
from provision.transport.host_keys import HostKey, KnownHosts
from provision.transport.quick_socket import ProxySocket, QuickSocket
from provision.transport.ssh import lean
from provision.transport.ssh_options import Options

lean.load()
import paramiko  # noqa: E402
from fabric import Config  # noqa: E402
from fabric import Connection as FabricConnection  # noqa: E402

from provision.transport.ssh.channel import SshChannel  # noqa: E402
from provision.transport.ssh.handshake import Handshake, SshWire, describe  # noqa: E402

__all__ = ["SshChannel", "SshConnection", "close_bastions", "known_as", "login", "stream_to"]

OPEN_DEADLINE = 20.0
"""Seconds that sshd may take to open a session or a forwarded connection."""

logging.getLogger("paramiko").addHandler(logging.NullHandler())
logging.getLogger("paramiko").setLevel(logging.CRITICAL)


def close_bastions() -> None:
    """Close the connections that are shared by hosts behind bastions."""
    _bastions.close()


class SshConnection:
    """One authenticated connection to a host, as Fabric holds it."""

    def __init__(self, fabric: FabricConnection, name: str, user: str) -> None:
        self.user = user
        self.name = name
        self._fabric = fabric

    @property
    def alive(self) -> bool:
        return bool(self._fabric.is_connected)

    def start(self, command: str, *, terminal: bool = False) -> SshChannel:
        """Start a command through the login shell, without waiting for sshd to say that it did; raises Unreachable."""
        try:
            channel = self._fabric.transport.open_session(timeout=OPEN_DEADLINE)
            channel._wait_for_event = lambda: None  # a refusal closes the channel, so that its reader notices
            if terminal:
                channel.get_pty("dumb", 200, 50)
            started = SshChannel(channel)
            channel.exec_command(command)
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise _no_session(self.name, error) from None
        return started

    def forward(self, host: str, port: int) -> paramiko.Channel:
        """A stream from this host to another one; raises paramiko's exceptions."""
        return self._fabric.transport.open_channel("direct-tcpip", (host, port), ("", 0), timeout=OPEN_DEADLINE)

    def close(self) -> None:
        """Close the connection with all its channels."""
        self._fabric.close()


class _Policy(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]
    """Asks our known_hosts, for every key: the library's own tables stay empty."""

    def __init__(self, known: KnownHosts, options: Options, name: str) -> None:
        self._known, self._options, self._name = known, options, name

    def missing_host_key(self, _client: Any, _hostname: str, key: paramiko.PKey) -> None:
        if key.get_name() == "ssh-rsa" and key.get_bits() < self._options.rsa_bits:
            cause = f"its key has {key.get_bits()} bits, and `RequiredRSASize` asks for {self._options.rsa_bits}"
            raise Unreachable("host-key-unknown", f"the host key of {self._name} is too short", cause=cause)
        certificate = key.public_blob.key_blob if key.public_blob else b""
        host, port = known_as(self._options)
        shown = HostKey(key.get_name(), key.asbytes(), certificate)
        self._known.check(host, port, shown, name=self._name, lax=self._options.lax)


class _Login:
    """Logs in, in the place where paramiko expects a strategy."""

    def __init__(self, options: Options, password: str | None, prompts: Prompts, name: str) -> None:
        self._options, self._password, self._prompts, self._name = options, password, prompts, name

    def authenticate(self, transport: Handshake) -> None:
        options = self._options
        offered = Credentials(
            user=options.user,
            files=options.identities,
            defaults=options.default_identities,
            certificates=options.certificates,
            only_files=options.identities_only,
            methods=options.methods,
            password=self._password,
            prompts=self._prompts,
        )
        with contextlib.closing(SshWire(transport, options, self._prompts.can_ask)) as wire:
            authenticate(wire, offered, name=self._name)


def known_as(options: Options) -> tuple[str, int]:
    """The name and port under which a host's key is looked up."""
    return (options.known_as, 22) if options.known_as else (options.host, options.port)


def login(
    options: Options,
    name: str,
    password: str | None,
    prompts: Prompts,
    known: KnownHosts,
    stream: QuickSocket | ProxySocket | None,
    deadline: float,
) -> SshConnection:
    """An authenticated connection over a stream, or over a bastion where there is none; raises Unreachable.

    `deadline`: when, on the monotonic clock, the handshake is given up.
    """
    wire = stream or stream_to(options, name, prompts)
    left = max(1.0, deadline - time.monotonic())
    connection = FabricConnection(
        host=options.host,
        user=options.user,
        port=options.port,
        config=Config(lazy=True, overrides={"load_ssh_configs": False}),  # not shared: a connection writes into its own
        gateway=False,
        connect_kwargs={
            "sock": wire,
            "timeout": left,
            "banner_timeout": left + 5,  # the time-out above ends it, and can be told from a hang-up
            "channel_timeout": OPEN_DEADLINE,
            "compress": options.compression,
            "transport_factory": functools.partial(
                Handshake.begin, options=options, known_types=known.types(*known_as(options))
            ),
            "auth_strategy": _Login(options, password, prompts, name),
        },
    )
    connection.client.set_missing_host_key_policy(_Policy(known, options, name))
    try:
        connection.open()
        connection.transport.set_keepalive(options.keep_alive)
    except BaseException as error:
        transport = connection.client.get_transport()
        connection.client.close()
        wire.close()
        if isinstance(error, (paramiko.SSHException, OSError, EOFError)):
            said = wire.said if isinstance(wire, ProxySocket) else ""
            raise describe(error, transport, options, name, said) from None
        raise
    return SshConnection(connection, name, options.user)


def stream_to(options: Options, name: str, prompts: Prompts) -> Any:
    """The byte stream that a connection to a host runs over; raises Unreachable."""
    return direct(options, name) if options.via is None else _through(options.via, options, name, prompts)


def _through(via: Options, options: Options, name: str, prompts: Prompts) -> paramiko.Channel:
    bastion = f"bastion {via.host}"
    try:
        shared = _bastions.get(via, lambda: begin(via, bastion, None, prompts), via.timeout + 2 * OPEN_DEADLINE)
        return shared.forward(options.host, options.port)
    except Unreachable as error:
        cause = f"{error.summary}\n{error.cause}".strip()
        summary = f"cannot reach {name} through its bastion"
        hint = (
            error.hint
            if error.kind != "authentication"
            else "see `User` and `IdentityFile` of the bastion in ssh_config"
        )
        raise Unreachable(error.kind, summary, cause=cause, hint=hint) from None
    except paramiko.ChannelException as error:
        reason = "its sshd forbids forwarding" if error.code == 1 else "it cannot connect to the host"
        raise Unreachable(
            "refused",
            f"cannot reach {name} through its bastion",
            cause=f"{bastion}: {reason} (`{options.host}` port {options.port}: {printable(error.text)})",
            hint="AllowTcpForwarding must be on there" if error.code == 1 else "try it from there: nc -vz HOST PORT",
        ) from None
    except (paramiko.SSHException, OSError, EOFError, TimeoutError) as error:
        cause = f"{bastion}: {printable(str(error)) or 'no answer'}"
        raise Unreachable("timeout", f"cannot reach {name} through its bastion", cause=cause) from None


def _no_session(name: str, error: Exception) -> Unreachable:
    return Unreachable(
        "closed",
        f"{name} opened no session",
        cause=printable(str(error)) or type(error).__name__,
        hint="sshd may allow none (`MaxSessions`), or the connection was cut",
    )


_bastions: Shared[SshConnection] = Shared()
