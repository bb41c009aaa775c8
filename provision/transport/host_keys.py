"""known_hosts: which keys a host is known by, and the verdict on the key that it shows.

Owns the file format (hashed names, `[host]:port`, patterns, @cert-authority, @revoked) and the two different errors
for unknown and changed keys. Never writes a file and never accepts what it does not know. Knows keys only as bytes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from provision.agent.record import record
from provision.transport import Unreachable
from provision.transport.ssh_config import at_home, matches

__all__ = ["HostKey", "KnownHosts", "fingerprint"]

CERTIFICATE = "-cert-v01@openssh.com"
HOST_CERTIFICATE = 2


@record(frozen=True, slots=True)
class HostKey:
    """A key as a host shows it: its type ("ssh-ed25519"), its public part, and its certificate where it has one."""

    type: str
    blob: bytes
    certificate: bytes = b""

    @property
    def text(self) -> str:
        """The public part as files have it."""
        return base64.b64encode(self.blob).decode()


@record(frozen=True, slots=True)
class Entry:
    """One line of a known_hosts file; `marker` is "", "cert-authority" or "revoked"."""

    marker: str
    names: tuple[str, ...]
    type: str
    blob: bytes
    where: str

    def covers(self, name: str) -> bool:
        """Whether the line is about `name` (`host`, or `[host]:port`)."""
        if self.names[0].startswith("|1|"):
            return _hashed(self.names[0], name)
        return matches(name, self.names)


@record(frozen=True, slots=True)
class KnownHosts:
    """The files to be asked, in order: the first that knows a host decides, and a key revoked in any is refused."""

    files: tuple[str, ...]

    def types(self, host: str, port: int) -> tuple[str, ...]:
        """The key types to ask the host for first; those of a certificate where an authority is known for it."""
        found = self._deciding(name_of(host, port)) or (self._deciding(host) if port != 22 else [])
        plain = [entry.type for entry in found if not entry.marker]
        authorities = ["*" + CERTIFICATE for entry in found if entry.marker == "cert-authority"]
        return tuple(dict.fromkeys([*authorities, *plain]))

    def check(self, host: str, port: int, key: HostKey, *, name: str, lax: str = "") -> None:
        """Raise Unreachable unless `key` is the host's; `name` is the host in the inventory.

        `lax` names a directive that asks for less, for the error to say that it does not apply.
        """
        self._refuse_revoked(name_of(host, port), key, name)
        found = self._deciding(name_of(host, port))
        if any(entry.type == key.type and entry.blob == key.blob for entry in found if not entry.marker):
            return
        problem = self._certificate_problem(found, host, key)
        if problem == "":
            return
        if port != 22 and any(e.blob == key.blob for e in self._deciding(host) if not e.marker):
            return  # ssh takes a key that is known for the host whatever the port
        plain = [entry for entry in found if not entry.marker]
        if plain:
            raise _changed(name, key, plain)
        raise _unknown(name, host, port, key, self.files, problem, lax)

    def _deciding(self, name: str) -> list[Entry]:
        for file in self.files:
            found = [entry for entry in entries(file) if entry.marker != "revoked" and entry.covers(name)]
            if found:
                return found
        return []

    def _refuse_revoked(self, known_as: str, key: HostKey, name: str) -> None:
        refused = [entry for file in self.files for entry in entries(file) if entry.marker == "revoked"]
        for entry in refused:
            if entry.covers(known_as) and entry.blob in (key.blob, _authority(key)):
                raise Unreachable(
                    "host-key-changed",
                    f"{name} shows a host key that is revoked",
                    cause=f"{show(key.type, entry.blob)} is marked @revoked at {entry.where}",
                    hint="somebody may be pretending to be this host: find out before anything else",
                )

    def _certificate_problem(self, found: Sequence[Entry], host: str, key: HostKey) -> str | None:
        """ "" for a good certificate by a known authority, why it is none, or None where there is no certificate."""
        if not key.certificate:
            return None
        authorities = {entry.blob for entry in found if entry.marker == "cert-authority"}
        return certificate_problem(key.certificate, host, authorities)


def name_of(host: str, port: int) -> str:
    """The name that known_hosts files use for a host and port."""
    return host.lower() if port == 22 else f"[{host.lower()}]:{port}"


def fingerprint(blob: bytes) -> str:
    """A key's fingerprint as ssh shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def show(kind: str, blob: bytes) -> str:
    """A key in an error: its kind and fingerprint."""
    word = kind.removesuffix(CERTIFICATE).removeprefix("ssh-").removeprefix("ecdsa-sha2-")
    return f"{word.upper()} {fingerprint(blob)}"


def entries(file: str) -> tuple[Entry, ...]:
    """The lines of a known_hosts file, read once for all hosts; an absent file has none. Raises Unreachable."""
    path = at_home(file)
    try:
        seen = Path(path).stat()
        return _entries(path, seen.st_mtime_ns, seen.st_size)
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        cause = f"`{file}`: {error.strerror or error}"
        raise Unreachable("ssh-config", "cannot read the known host keys", cause=cause) from None


@lru_cache(maxsize=64)
def _entries(path: str, _modified: int, _size: int) -> tuple[Entry, ...]:
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    return tuple(_parse(path, text))


def _parse(path: str, text: str) -> Iterator[Entry]:
    """Lines that cannot be read are left out, as ssh does: they can only make a host unknown."""
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        marker = words.pop(0).removeprefix("@") if words[0].startswith("@") else ""
        if len(words) < 3 or marker not in ("", "cert-authority", "revoked"):
            continue
        try:
            blob = base64.b64decode(words[2], validate=True)
        except (binascii.Error, ValueError):
            continue
        yield Entry(marker, tuple(words[0].split(",")), words[1], blob, f"{path}:{number}")


def _hashed(pattern: str, name: str) -> bool:
    try:
        _, _, salt, digest = pattern.split("|")
        wanted = hmac.digest(base64.b64decode(salt), name.encode(), "sha1")
        return hmac.compare_digest(wanted, base64.b64decode(digest))
    except (ValueError, binascii.Error):
        return False


def _authority(key: HostKey) -> bytes:
    return _read_certificate(key.certificate)[1] if key.certificate else b""


def _read_certificate(certificate: bytes) -> tuple[object, bytes]:
    """The certificate and the public part of the key that signed it; ValueError where it is none."""
    from cryptography.hazmat.primitives import serialization

    kind_length = int.from_bytes(certificate[:4], "big")
    kind = certificate[4 : 4 + kind_length]
    identity = serialization.load_ssh_public_identity(kind + b" " + base64.b64encode(certificate))
    if not isinstance(identity, serialization.SSHCertificate):
        raise ValueError("it is no certificate")
    signer = identity.signature_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return identity, base64.b64decode(signer.split()[1])


def certificate_problem(certificate: bytes, host: str, authorities: set[bytes]) -> str:
    """Why a host certificate does not prove that it is `host`, or "": signer, signature, kind, time, names, options."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        seen, signer = _read_certificate(certificate)
        if signer not in authorities:
            return "its certificate is signed by an authority that is not known"
        seen.verify_cert_signature()  # type: ignore[attr-defined]
    except (ValueError, InvalidSignature, UnsupportedAlgorithm) as error:
        return f"its certificate cannot be verified ({error or 'wrong signature'})"
    return _terms_problem(seen, host)


def _terms_problem(seen: object, host: str) -> str:
    kind, names = seen.type.value, [name.decode() for name in seen.valid_principals]  # type: ignore[attr-defined]
    if kind != HOST_CERTIFICATE:
        return "its certificate is one of a user"
    if not seen.valid_after <= time.time() < seen.valid_before:  # type: ignore[attr-defined]
        return "its certificate is not valid now"
    if not matches(host, names):
        return f"its certificate is for {', '.join(names) or 'no name'}"
    return "its certificate has critical options" if seen.critical_options else ""  # type: ignore[attr-defined]


def _changed(name: str, key: HostKey, known: Sequence[Entry]) -> Unreachable:
    lines = [f"known:  {show(entry.type, entry.blob)} ({entry.where})" for entry in known]
    return Unreachable(
        "host-key-changed",
        f"the host key of {name} has changed",
        cause="\n".join([f"it shows {show(key.type, key.blob)}", *lines]),
        hint="somebody may be pretending to be this host; if it was set up anew, compare the key on its console\n"
        f"(ssh-keygen -lf {public_file(key.type)}) and replace that line",
    )


def _unknown(
    name: str, host: str, port: int, key: HostKey, files: Sequence[str], problem: str | None, lax: str
) -> Unreachable:
    there = [file for file in files if Path(at_home(file)).exists()]
    looked = f"`{name_of(host, port)}` is in none of {', '.join(there)}" if there else "there is no file of known keys"
    lines = [f"it shows {show(key.type, key.blob)}, and {looked}", problem]
    if lax:
        lines.append(f"{lax} does not apply: a key is never accepted unseen")
    scan = f"ssh-keyscan {f'-p {port} ' if port != 22 else ''}{host} >> {files[0] if files else '~/.ssh/known_hosts'}"
    return Unreachable(
        "host-key-unknown",
        f"the host key of {name} is not known",
        cause="\n".join(line for line in lines if line),
        hint=f"compare the fingerprint with the host's own, then:\n{scan}",
    )


def public_file(kind: str) -> str:
    """Where hosts keep their key of a type."""
    word = "rsa" if "rsa" in kind else "ecdsa" if kind.startswith("ecdsa") else "ed25519"
    return f"/etc/ssh/ssh_host_{word}_key.pub"
