"""Encrypted files on this machine: opened, written whole, and edited without their content ever lying about.

Owns files and the editor. What a password is and where it comes from is `keyring`'s matter. Every file is written by
one rename, 0600; a content that is edited lies in a 0700 folder in memory (/dev/shm) and goes with the editor, also
when the editor or this program is ended.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from provision.errors import Mark, ProvisionError
from provision.secret import age, vault
from provision.secret.keyring import KEYS, Password
from provision.secret.value import ENCRYPTED
from provision.whole_file import write_whole

__all__ = ["edited", "is_encrypted", "opened", "place", "read", "sealed", "write"]

_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
_LEFT = "provision-secret-"


def read(path: Path) -> bytes:
    """A file's bytes; raises ProvisionError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ProvisionError(f"cannot read `{path}`", cause=error.strerror or str(error)) from None


def is_encrypted(data: bytes) -> bool:
    """Whether a file's bytes are vault's or age's."""
    return data.startswith(ENCRYPTED)


def opened(path: Path, data: bytes) -> bytes:
    """The content of an encrypted file; raises ProvisionError where it is none, or nothing opens it."""
    content = KEYS.content(data, place(path))
    if content is None:
        raise ProvisionError(f"`{path}` is not encrypted", hint="`provision secret encrypt` makes it so")
    return content


def place(path: Path) -> Mark:
    """Where a whole file is."""
    return Mark(str(path), 1, 1)


def write(path: Path, content: bytes) -> None:
    """Replace or make a file whole, 0600; raises ProvisionError where that cannot be done."""
    try:
        write_whole(path, content.decode("utf-8", "surrogateescape"), mode=0o600)
    except OSError as error:
        raise ProvisionError(f"cannot write `{path}`", cause=error.strerror or str(error)) from None


def sealed(content: bytes, password: Password | None, recipients: list[str]) -> bytes:
    """The content encrypted for age's recipients where there are some, else under a password."""
    if recipients:
        return age.encrypt(content, recipients)
    assert password is not None
    label = "" if password.label == "default" else password.label
    return vault.encrypt(content, password.secret, label).encode()


def edited(content: bytes, name: str) -> bytes:
    """What the operator's editor makes of a content; raises ProvisionError where the editor fails."""
    with _folder() as folder:
        file = folder / Path(name).name
        file.touch(mode=0o600)
        file.write_bytes(content)
        words = [*shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"), str(file)]
        try:
            code = subprocess.call(words)
        except OSError as error:
            raise ProvisionError(
                f"cannot start the editor `{words[0]}`", cause=error.strerror or str(error), hint="set EDITOR"
            ) from None
        if code:
            raise ProvisionError(f"the editor ended with exit code {code}", cause="the file stays as it was")
        return file.read_bytes()


@contextmanager
def _folder() -> Iterator[Path]:
    """A private folder in memory; what an ended process left of one is removed as well."""
    base = _MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    _sweep(base)
    folder = Path(tempfile.mkdtemp(prefix=f"{_LEFT}{os.getpid()}-", dir=base))
    before = {number: signal.signal(number, _leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _sweep(base: Path) -> None:
    for left in base.glob(f"{_LEFT}*"):
        owner = left.name.removeprefix(_LEFT).partition("-")[0]
        if owner.isdigit() and left.stat().st_uid == os.getuid() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(left, ignore_errors=True)
