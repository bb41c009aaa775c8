"""The passwords that open encrypted files and values: where they come from, and which opens what.

A process has one keyring, as it has one terminal: files are read in many places, and what opens them is said once, on
the command line. Owns passwords and their labels; the format is `vault`'s.
"""

from __future__ import annotations

import getpass
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from provision.errors import Mark, ProvisionError
from provision.secret import age, vault
from provision.secret.known import KNOWN

if TYPE_CHECKING:
    from provision.options import Inventories

__all__ = ["KEYS", "VARIABLES", "Keyring", "Password", "asked", "of_source", "sources", "unlock"]

VARIABLES = ("PROVISION_VAULT_PASSWORD_FILE", "ANSIBLE_VAULT_PASSWORD_FILE")
"""Environment variables that name a password file or script where the command line names none."""
_SCRIPT_WITHIN = 60
_HINT = "give its password with `--vault-password-file FILE`, `--vault-id LABEL@FILE` or `--ask-vault-pass`"


class Password(NamedTuple):
    """A password, and the label of what it opens first; `said` tells where it is from."""

    label: str
    secret: bytes
    said: str

    def __repr__(self) -> str:
        return f"Password({self.label!r}, {self.said!r})"


class Keyring:
    """What opens encrypted texts; `say` names its sources, read when the first of them is needed."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._sources: tuple[Callable[[], Password], ...] = ()
        self._passwords: list[Password] | None = None
        self._identities: list[Path] = []
        self._opened: dict[str, bytes] = {}

    def say(self, sources: Sequence[Callable[[], Password]], identities: Sequence[Path] = ()) -> None:
        """These sources from now on; what was opened before stays open."""
        with self._lock:
            self._sources, self._passwords, self._identities = tuple(sources), None, list(identities)

    @property
    def passwords(self) -> list[Password]:
        """All passwords, in the order of their sources; raises ProvisionError where one cannot be had."""
        with self._lock:
            if self._passwords is None:
                found = self._sources or tuple(_from_environment())
                self._passwords = [source() for source in found]
            return self._passwords

    def opened(self, text: str, where: Mark) -> bytes:
        """The content of a vault text; raises ProvisionError without its password, and where it is garbled."""
        with self._lock:
            if text not in self._opened:
                self._opened[text] = self._open(vault.parse(text, where), where)
            return self._opened[text]

    def _open(self, envelope: vault.Envelope, where: Mark) -> bytes:
        passwords = sorted(self.passwords, key=lambda one: one.label != (envelope.label or "default"))
        for password in passwords:
            content = vault.decrypt(envelope, password.secret)
            if content is not None:
                return content
        named = f" under the vault id `{envelope.label}`" if envelope.label else ""
        if not passwords:
            raise ProvisionError(f"this is encrypted{named}, and no password is given", where=where, hint=_HINT)
        tried = ", ".join(dict.fromkeys(f"{password.said}" for password in passwords))
        raise ProvisionError(
            "no password opens this vault text" if len(passwords) > 1 else "the password does not open this vault text",
            where=where,
            cause=f"it is encrypted{named}; tried {tried}",
            hint="another password is needed, or the text was changed by hand",
        )

    def content(self, data: bytes, where: Mark) -> bytes | None:
        """The content of an encrypted file; None for a file that is not encrypted."""
        if data.startswith(age.HEADS):
            return age.decrypt(data, age.identity_paths(self._identities), where)
        if data.startswith(vault.HEAD.encode() + b";"):
            return self.opened(data.decode("utf-8", "replace"), where)
        return None


KEYS = Keyring()


def unlock(where: Inventories) -> None:
    """Take what the command line says of passwords and identities; the operator is asked now."""
    found = sources(where.vault_password_file, where.vault_id, ask=where.ask_vault_pass)
    KEYS.say(found, where.age_identity)


def sources(
    files: Sequence[Path], ids: Sequence[str], *, ask: bool, prompt: Callable[[str], str] | None = None
) -> list[Callable[[], Password]]:
    """The sources that the command line names; the operator is asked now, files and scripts are read later."""
    ask_for = prompt or asked
    found: list[Callable[[], Password]] = []
    for text in ids:
        label, sign, source = text.rpartition("@")
        found.append(_of_id(label if sign else "default", source or "prompt", text, ask_for))
    found += [_of_file("default", path) for path in files]
    if ask:
        found.append(_typed("default", ask_for("Vault password: ")))
    return found


def _of_id(label: str, source: str, text: str, ask: Callable[[str], str]) -> Callable[[], Password]:
    if not label or ";" in label or any(sign.isspace() for sign in label):
        raise ProvisionError(
            f"`--vault-id {text}` cannot be used", hint="write LABEL@FILE, LABEL@SCRIPT or LABEL@prompt"
        )
    if source in ("prompt", "prompt_ask_vault_pass"):
        return _typed(label, ask(f"Vault password ({label}): "))
    return _of_file(label, Path(source))


def of_source(text: str, prompt: str) -> Password:
    """One password of `[label@]source`, for what is written under it."""
    return sources([], [text], ask=False, prompt=lambda _: asked(prompt, again=True))[0]()


def _typed(label: str, text: str) -> Callable[[], Password]:
    return lambda: _password(label, text, "the password that was typed")


def _of_file(label: str, path: Path) -> Callable[[], Password]:
    if not path.expanduser().exists():
        raise ProvisionError(f"there is no vault password file `{path}`")
    return lambda: _read(label, path.expanduser())


def _from_environment() -> list[Callable[[], Password]]:
    named = next((os.environ[name] for name in VARIABLES if os.environ.get(name)), None)
    return [_of_file("default", Path(named))] if named else []


def asked(prompt: str, again: bool = False) -> str:
    """The operator's answer, typed where nobody sees it; raises ProvisionError without a terminal."""
    if not sys.stdin.isatty():
        raise ProvisionError(
            "a vault password is asked for, and there is no terminal",
            hint="give it in a file or by a script: `--vault-password-file`",
        )
    answer = getpass.getpass(prompt)
    if again and getpass.getpass(prompt.replace(":", ", again:")) != answer:
        raise ProvisionError("the two passwords are not the same")
    return answer


def _password(label: str, text: str, said: str) -> Password:
    if not text:
        raise ProvisionError(f"{said} is empty", hint="a vault password is at least one character")
    KNOWN.add(text)
    return Password(label, text.encode(), said)


def _read(label: str, path: Path) -> Password:
    try:
        mode = path.stat().st_mode
        script = stat.S_ISREG(mode) and mode & 0o111
        text = _said(label, path) if script else path.read_bytes().decode()
    except OSError as error:
        raise ProvisionError(
            f"cannot read the vault password file `{path}`", cause=error.strerror or str(error)
        ) from None
    except UnicodeDecodeError:
        raise ProvisionError(f"the vault password file `{path}` is not UTF-8") from None
    if text.startswith(vault.HEAD):
        raise ProvisionError(f"the vault password file `{path}` is itself encrypted", hint="decrypt it first")
    return _password(label, text.strip(), f"`{path}`")


def _said(label: str, path: Path) -> str:
    """What a password script prints; one whose name ends with `-client` is told the label, as in Ansible."""
    words = [str(path.resolve())] + (["--vault-id", label] if path.stem.endswith("-client") else [])
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, timeout=_SCRIPT_WITHIN, check=False)
    except subprocess.TimeoutExpired:
        raise ProvisionError(f"the vault password script `{path}` said nothing in {_SCRIPT_WITHIN} s") from None
    if done.returncode:
        raise ProvisionError(f"the vault password script `{path}` failed with exit code {done.returncode}")
    return done.stdout.decode(errors="replace")
