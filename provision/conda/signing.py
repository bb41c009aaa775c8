"""Signatures of locks: made and judged by OpenSSH's `ssh-keygen -Y`, over a lock's manifest.

The manifest names its other files by SHA-256, so one signature holds the whole lock. Keys may be files, in an agent or
on a token: whatever ssh-keygen takes. Must not decide whether a lock has to be signed. Formats: ssh-keygen(1),
PROTOCOL.sshsig.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from provision.conda.environment import read
from provision.conda.locked import Lock, Paths, from_manifest
from provision.conda.prepare import raise_all
from provision.errors import Mark, ProvisionError
from provision.printable import printable
from provision.whole_file import write_whole

__all__ = ["NAMESPACE", "need", "sign", "verify"]

NAMESPACE = "provision-lock"
"""What a signature is for; one that was made for something else, as for git, does not count."""
_WITHIN = 20.0
_TYPED = 120.0
"""Seconds, where a passphrase may be typed or a token touched."""


def sign(where: Paths, key: Path) -> None:
    """Write the signature beside the lock's manifest; `key` is a private key, or a public one whose key an agent has.

    Raises ProvisionError.
    """
    if not key.is_file():
        raise ProvisionError(
            f"there is no key `{key}` to sign with", hint="name a key of ssh, such as ~/.ssh/id_ed25519"
        )
    argv = ["-Y", "sign", "-f", str(key.absolute()), "-n", NAMESPACE]
    done = _ssh_keygen(argv, where.manifest.read_bytes(), _TYPED)
    if done.returncode or not done.stdout.startswith(b"-----BEGIN SSH SIGNATURE-----"):
        raise ProvisionError(
            f"`{where.manifest}` was not signed", cause=_said(done), hint=f"can `{key}` be used by ssh?"
        )
    write_whole(where.signature, done.stdout.decode())


def verify(lock: Lock, allowed_signers: Path | None, at: Mark | None = None) -> str:
    """Who signed the lock, as `allowed_signers` (ssh-keygen(1)) names it; `at` is where the environment is asked for.

    Raises ProvisionError for a lock without a signature, and one that is not of an allowed signer, not for locks, not
    valid now, or not of this lock.
    """
    where, signers_file = lock.paths, _signers(allowed_signers, at)
    content = where.manifest.read_bytes()
    signature = str(where.signature.absolute())
    if not where.signature.is_file():
        raise _refused(
            lock, at, f"there is no `{where.signature}`", f"sign it with `provision lock --sign KEY {_file(at)}`"
        )
    signers = str(signers_file.absolute())
    found = _ssh_keygen(["-Y", "find-principals", "-s", signature, "-f", signers], b"", _WITHIN)
    principal = found.stdout.decode("utf-8", "replace").splitlines()[0].strip() if found.stdout else ""
    if found.returncode or not principal or principal.startswith("-"):
        cause = f"its signer is not in `{signers_file}`, or no longer valid there: {_said(found)}"
        raise _refused(lock, at, cause, "let somebody sign it who is there")
    argv = ["-Y", "verify", "-f", signers, "-I", principal, "-n", NAMESPACE, "-s", signature]
    judged = _ssh_keygen(argv, content, _WITHIN)
    if judged.returncode or not _same(content, lock):
        cause = f"the signature by `{printable(principal)}` is not one of this lock: {_said(judged)}"
        raise _refused(lock, at, cause, "find out who changed it; sign it again only if you know what is in it")
    return principal


def _signers(allowed_signers: Path | None, at: Mark | None) -> Path:
    """The file of those who may sign; raises ProvisionError where there is none."""
    if allowed_signers is not None and allowed_signers.is_file():
        return allowed_signers
    missing = f"there is no `{allowed_signers}`" if allowed_signers else "the variable `allowed_signers` is not set"
    raise ProvisionError(
        "locks have to be signed, and nobody is allowed to sign",
        where=at,
        cause=missing,
        hint="set it to a file of lines like `me@example.com ssh-ed25519 AAAA…`",
    )


def need(locks: Mapping[Path, Lock], allowed_signers: Path | None) -> None:
    """`verify` of each lock, by the path of its environment.yml; raises ProvisionError(s)."""
    for path in list(locks)[:1]:  # without that file there is one thing to mend, however many locks there are
        _signers(allowed_signers, read(path).marks.get("name"))
    errors: list[ProvisionError] = []
    for path, lock in locks.items():
        try:
            verify(lock, allowed_signers, read(path).marks.get("name"))
        except ProvisionError as error:
            errors.append(error)
    raise_all(errors)


def _same(content: bytes, lock: Lock) -> bool:
    """Whether what was judged is what will be installed: the file may have been replaced in between."""
    try:
        return from_manifest(json.loads(content), lock.paths) == lock
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def _refused(lock: Lock, at: Mark | None, cause: str, hint: str) -> ProvisionError:
    return ProvisionError(
        f"the lock of `{lock.name}` is not signed by somebody who may", where=at, cause=cause, hint=hint
    )


def _file(at: Mark | None) -> str:
    return str(at.file) if at else "FILE"


def _ssh_keygen(argv: list[str], content: bytes, within: float) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        return subprocess.run(
            ["ssh-keygen", *argv], input=content, capture_output=True, timeout=within, check=False, env=environment
        )
    except FileNotFoundError:
        raise ProvisionError(
            "signatures of locks need `ssh-keygen`", cause="this machine has none", hint="install openssh-client"
        ) from None
    except subprocess.TimeoutExpired:
        raise ProvisionError(
            f"`ssh-keygen` gave no answer within {within:g} s", hint="is its agent or token there?"
        ) from None


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    text = (done.stderr or done.stdout).decode("utf-8", "replace").strip()
    return printable(text.splitlines()[-1]) if text else f"ssh-keygen ended with {done.returncode}"
