"""What is ours in a connection's beginning: algorithms in our order, quick logins, and errors in words.

Owns the classes that paramiko calls back. Must not decide which keys are offered (auth.py) or which are known
(host_keys.py).
"""

from __future__ import annotations

import base64
import contextlib
import functools
import os
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import paramiko
from paramiko.agent import AgentSSH
from paramiko.auth_handler import AuthOnlyHandler
from paramiko.common import cMSG_SERVICE_REQUEST, cMSG_USERAUTH_REQUEST
from paramiko.transport import ServiceRequestingTransport

from provision.printable import printable
from provision.transport import Unreachable
from provision.transport.auth import Answer, Disconnected, Key, KeyLocked, KeyUnusable
from provision.transport.host_keys import CERTIFICATE, fingerprint
from provision.transport.ssh_options import Options, choose

__all__ = ["Handshake", "SshWire", "describe"]

LIBSSH = "curve25519-sha256@libssh.org"
STANDARD = "curve25519-sha256"
KEX = (
    STANDARD,
    LIBSSH,
    "mlkem768x25519-sha256",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group14-sha256",
)
"""curve25519 first: 1.5 ms, where group16 takes 63; ssh_config's KexAlgorithms chooses otherwise."""
CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr")
MACS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512")
RSA = ("rsa-sha2-512", "rsa-sha2-256")
LOGIN_DEADLINE = 30.0
TYPING_DEADLINE = 180.0
AGENT_DEADLINE = 5.0


class Handshake(ServiceRequestingTransport):  # type: ignore[misc]
    """A transport that offers what the options say, and sends its first login without waiting to be invited."""

    _kex_info = ServiceRequestingTransport._kex_info | {STANDARD: ServiceRequestingTransport._kex_info[LIBSSH]}
    """The library knows curve25519 by its old name only; hardened servers offer it by the standard's (RFC 8731)."""
    _active_check_timeout = 1.0  # how often an idle thread wakes up; closing wakes it at once
    _login: _LoginHandler | None = None
    _host_key_types: tuple[str, ...] = ()
    farewell = ""

    @classmethod
    def begin(
        cls, stream: Any, disabled_algorithms: Any = None, *, options: Options, known_types: Sequence[str]
    ) -> Handshake:
        """A transport over `stream`; raises ConfigError where a wish leaves no algorithm."""
        transport = cls(stream, disabled_algorithms=disabled_algorithms)
        wishes = dict(options.algorithms)
        security = transport.get_security_options()
        security.kex = _offer(wishes.get("kex"), KEX, cls._kex_info)
        security.ciphers = _offer(wishes.get("ciphers"), CIPHERS, cls._cipher_info)
        security.digests = _offer(wishes.get("macs"), MACS, cls._mac_info)
        transport._host_key_types = _host_key_types(wishes.get("keys"), cls._preferred_keys, cls._key_info, known_types)
        transport._preferred_pubkeys = _offer(wishes.get("pubkeys"), cls._preferred_pubkeys, cls._key_info)
        transport.auth_timeout = LOGIN_DEADLINE
        return transport

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        return self._host_key_types

    def ensure_session(self) -> None:
        """Ask for logins once, and go on: the answer comes in order, and waiting for it would cost a turn."""
        if not self.active or not self.initial_kex_done:
            raise paramiko.SSHException("No existing session")
        if self._login is None:
            message = paramiko.Message()
            message.add_byte(cMSG_SERVICE_REQUEST)
            message.add_string("ssh-userauth")
            self._login = self.auth_handler = _LoginHandler(self)
            self._send_message(message)

    @property
    def login(self) -> _LoginHandler | None:
        """What the host said to logins so far."""
        return self._login

    def _parse_disconnect(self, message: paramiko.Message) -> None:
        message.get_int()
        self.farewell = printable(message.get_text())


class _LoginHandler(AuthOnlyHandler):  # type: ignore[misc]
    """Keeps what a refusal says, and is ready for the answer before it asks."""

    allowed: tuple[str, ...] = ()
    partial = False

    def send_auth_request(
        self, username: str, method: str, finish_message: Callable[[Any], None] | None = None
    ) -> list[str]:
        self.auth_method, self.username = method, username
        self.partial = False
        self.auth_event = event = threading.Event()
        message = paramiko.Message()
        message.add_byte(cMSG_USERAUTH_REQUEST)
        for text in (username, "ssh-connection", method):
            message.add_string(text)
        if finish_message is not None:
            finish_message(message)
        with self.transport.lock:
            self.transport._send_message(message)
        return list(self.wait_for_response(event))

    def _parse_userauth_failure(self, message: paramiko.Message) -> None:
        self.allowed = tuple(printable(word) for word in message.get_list())
        self.partial = bool(message.get_boolean())
        self.authenticated = False
        self.auth_event.set()


class SshWire:
    """Logging in over one transport, with key files and an agent."""

    def __init__(self, transport: Handshake, options: Options, typing: bool) -> None:
        self._transport = transport
        self._options = options
        self._typing = typing
        self._agent: _Agent | None = None

    def try_nothing(self) -> Answer:
        return self._try(lambda: self._transport.auth_none(self._options.user))

    def try_key(self, key: Key) -> Answer:
        return self._try(lambda: self._transport.auth_publickey(self._options.user, key.secret))

    def try_password(self, password: str) -> Answer:
        return self._try(lambda: self._transport.auth_password(self._options.user, password, fallback=False))

    def try_interactive(self, answer: Callable[[Sequence[tuple[str, bool]]], list[str]]) -> Answer:
        self._transport.auth_timeout = TYPING_DEADLINE if self._typing else LOGIN_DEADLINE

        def reply(_title: str, _instructions: str, prompts: Sequence[tuple[str, bool]]) -> list[str]:
            return answer([(printable(prompt), seen) for prompt, seen in prompts])

        return self._try(lambda: self._transport.auth_interactive(self._options.user, reply))

    def load_key(self, path: str, certificates: Sequence[str], passphrase: str | None = None) -> Key:
        """The key of a file; one that needs no passphrase is read once for all hosts."""
        if passphrase is not None:
            return _read(path, tuple(certificates), passphrase)
        return _load(path, Path(path).stat().st_mtime_ns, tuple(certificates))

    def agent_keys(self) -> Sequence[Key]:
        path = os.environ.get("SSH_AUTH_SOCK", "") if self._options.agent is None else self._options.agent
        if not path:
            return ()
        try:
            self._agent = _Agent(path)
        except (OSError, paramiko.SSHException):
            return ()
        return [
            Key(f"agent key {printable(key.comment) or key.get_name()}", fingerprint(key.asbytes()), key)
            for key in self._agent.get_keys()
        ]

    def close(self) -> None:
        if self._agent is not None:
            self._agent.close()

    def _try(self, attempt: Callable[[], Sequence[str]]) -> Answer:
        transport = self._transport
        try:
            attempt()
        except (paramiko.SSHException, OSError, EOFError) as error:
            if not transport.is_active() or "timeout" in str(error).lower():
                raise Disconnected(transport.farewell or ("no answer" if transport.is_active() else "")) from None
        login = transport.login
        accepted = bool(transport.is_authenticated())
        return Answer(accepted, login.allowed if login else (), bool(login and login.partial))


class _Agent(AgentSSH):  # type: ignore[misc]
    """An SSH agent behind a socket of its own choice, with a deadline."""

    def __init__(self, path: str) -> None:
        super().__init__()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(AGENT_DEADLINE)
            connection.connect(path)
            self._connect(connection)
            connection.settimeout(LOGIN_DEADLINE)  # a key in hardware waits for a touch
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        self._close()


@functools.lru_cache(maxsize=256)
def _load(path: str, _modified: int, certificates: tuple[str, ...]) -> Key:
    return _read(path, certificates, None)


def _read(path: str, certificates: tuple[str, ...], passphrase: str | None) -> Key:
    try:
        key = paramiko.PKey.from_path(path, None if passphrase is None else passphrase.encode())
    except TypeError:
        raise KeyLocked(_public_fingerprint(f"{path}.pub")) from None
    except OSError as error:
        raise KeyUnusable(error.strerror or str(error)) from None
    except Exception as error:  # the library raises what its parsers raise
        if passphrase is not None:
            raise KeyLocked("") from None
        public = _public_fingerprint(path)
        why = (
            "a public key, whose private part no agent holds"
            if public
            else f"not a usable private key ({printable(str(error))})"
        )
        raise KeyUnusable(why, public) from None
    for certificate in certificates:
        if Path(certificate).is_file() and _certified(certificate) == key.asbytes():
            key.load_certificate(certificate)
    return Key(f"key {path}", fingerprint(key.asbytes()), key)


def _public_fingerprint(path: str) -> str:
    with contextlib.suppress(OSError, ValueError, IndexError):
        kind, blob = Path(path).read_text(encoding="ascii").split()[:2]
        if kind.startswith(("ssh-", "ecdsa-", "sk-")):
            return fingerprint(base64.b64decode(blob))
    return ""


def _certified(path: str) -> bytes:
    """The public key that a certificate file is about."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_identity

    with contextlib.suppress(OSError, ValueError):
        public: Any = load_ssh_public_identity(Path(path).read_bytes()).public_key()  # type: ignore[union-attr]
        return base64.b64decode(public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1])
    return b""


def _offer(wish: Any, default: Sequence[str], available: Any) -> tuple[str, ...]:
    return choose(wish, [name for name in default if name in available], list(available))


def _host_key_types(wish: Any, default: Sequence[str], available: Any, known: Sequence[str]) -> tuple[str, ...]:
    """Types to ask for: those that are known for the host first; certificates only where an authority is known."""
    offered = _offer(wish, default, available)
    plain_types = [name for name in offered if not name.endswith(CERTIFICATE)]
    wanted = [name for kind in known for name in (RSA if kind == "ssh-rsa" else (kind,)) if name in plain_types]
    ordered = tuple(dict.fromkeys([*wanted, *plain_types])) if wish is None else tuple(plain_types)
    certified = tuple(name + CERTIFICATE for name in ordered) if "*" + CERTIFICATE in known else ()
    return certified + ordered


def describe(error: BaseException, transport: Handshake | None, options: Options, name: str, said: str) -> Unreachable:
    """What went wrong before the login was through, in words; `said` is what a proxy command wrote."""
    text = printable(str(error))
    farewell = transport.farewell if transport else ""
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        hint = "see `KexAlgorithms`, `Ciphers`, `MACs` and `HostKeyAlgorithms` in ssh_config, and update its sshd"
        return Unreachable("closed", f"{name} and this machine have no SSH algorithm in common", cause=text, hint=hint)
    if options.proxy_command and (said or isinstance(error, EOFError) or "banner" in text):
        cause = f"`{options.proxy_command}`" + (f" said:\n{said}" if said else " ended or gave no answer")
        return Unreachable("closed", f"cannot reach {name} through its ProxyCommand", cause=printable(cause))
    if "timed out" in text or "No existing session" in text or isinstance(error, TimeoutError):
        return Unreachable(
            "timeout",
            f"{name} did not finish the SSH handshake within {options.timeout:g} s",
            cause=f"`{options.host}` port {options.port} took the connection and then said too little",
            hint="is it overloaded, or does a firewall cut connections?",
        )
    if "Indecipherable" in text or "Invalid SSH banner" in text:
        cause = f"`{options.host}` port {options.port} answers with something else"
        return Unreachable(
            "closed", f"what answers for {name} is no SSH server", cause=cause, hint="check `ansible_port`"
        )
    cause = farewell or "the other side closed the connection"
    if text and "banner" not in text and not farewell:
        cause += f" ({text})"
    hint = "sshd may be starting, or refuse more connections (`MaxStartups`, `PerSourcePenalties`): see its log"
    return Unreachable("closed", f"{name} ended the connection during the handshake", cause=cause, hint=hint)
