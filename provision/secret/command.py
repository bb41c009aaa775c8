"""`provision secret`: encrypt, decrypt, view, edit and rekey files, and encrypt one value for a YAML file.

The format is Ansible Vault's (ansible-vault reads what is written here, and the other way round) or age's. Nothing
but `view`, `decrypt` to standard output and `encrypt-string` prints.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from provision.agent.record import record
from provision.errors import ProvisionError
from provision.options import WHERE
from provision.secret import age, editing, vault
from provision.secret.keyring import KEYS, Password, asked, of_source, sources

__all__ = ["app"]

app = App(name="secret", help="Encrypt, show, edit and rekey files and values, as ansible-vault does.")


@Parameter(name="*")
@record(frozen=True, kw_only=True)
class Keys:
    """What opens."""

    vault_password_file: Annotated[
        tuple[Path, ...], Parameter(("--vault-password-file", "--vault-pass-file"), group=WHERE, negative="")
    ] = ()
    """File with the vault password, or a program that prints it."""
    vault_id: Annotated[tuple[str, ...], Parameter("--vault-id", group=WHERE, negative="")] = ()
    """LABEL@FILE, LABEL@PROGRAM or LABEL@prompt; may be given several times."""
    ask_vault_pass: Annotated[
        bool, Parameter(("--ask-vault-pass", "--ask-vault-password", "-J"), group=WHERE, negative="")
    ] = False
    """Ask for the vault password."""
    age_identity: Annotated[tuple[Path, ...], Parameter("--age-identity", group=WHERE, negative="")] = ()
    """File of a private key that opens files encrypted with age."""


_Recipients = Annotated[tuple[str, ...], Parameter(("--age-recipient",), negative="")]
_Label = Annotated[str | None, Parameter("--encrypt-vault-id")]


@app.command
def encrypt(
    files: Annotated[list[Path], Parameter(negative="")],
    /,
    *,
    output: Path | None = None,
    encrypt_vault_id: _Label = None,
    age_recipient: _Recipients = (),
    keys: Keys = Keys(),  # noqa: B008 - frozen
) -> int:
    """Encrypt files in place.

    Parameters
    ----------
    files
        The files.
    output
        Write the one encrypted file there.
    encrypt_vault_id
        Under which of several vault ids. Default: the first that is given.
    age_recipient
        Encrypt with age for this public key instead (age1…, ssh-ed25519 …); may be given several times.
    """
    _one(files, output)
    contents = [(path, _plain(path)) for path in files]
    password = None if age_recipient else _writing(keys, encrypt_vault_id)
    for path, content in contents:
        editing.write(output or path, editing.sealed(content, password, list(age_recipient)))
    return 0


@app.command
def decrypt(
    files: Annotated[list[Path], Parameter(negative="")],
    /,
    *,
    output: Annotated[Path | None, Parameter(allow_leading_hyphen=True)] = None,
    keys: Keys = Keys(),  # noqa: B008
) -> int:
    """Decrypt files in place; all of them are opened before the first is written.

    Parameters
    ----------
    files
        The files.
    output
        Write the one decrypted file there; `-` is standard output.
    """
    _one(files, output)
    _opening(keys)
    for path, content in [(path, editing.opened(path, editing.read(path))) for path in files]:
        if output is not None and str(output) == "-":
            _print(content)
        else:
            editing.write(output or path, content)
    return 0


@app.command
def view(files: Annotated[list[Path], Parameter(negative="")], /, *, keys: Keys = Keys()) -> int:  # noqa: B008
    """Print what is in encrypted files.

    Parameters
    ----------
    files
        The files.
    """
    _opening(keys)
    for path in files:
        _print(editing.opened(path, editing.read(path)))
    return 0


@app.command
def edit(
    file: Path,
    /,
    *,
    encrypt_vault_id: _Label = None,
    age_recipient: _Recipients = (),
    keys: Keys = Keys(),  # noqa: B008
) -> int:
    """Edit an encrypted file with $EDITOR, or make one.

    Parameters
    ----------
    file
        The file.
    encrypt_vault_id
        Under which of several vault ids a new file is made. Default: the first that is given.
    age_recipient
        For whom a file of age is encrypted again, or made.
    """
    _opening(keys)
    if not file.exists():
        password = None if age_recipient else _writing(keys, encrypt_vault_id)
        content = editing.edited(b"", file.name)
        editing.write(file, editing.sealed(content, password, list(age_recipient)))
        return 0
    data = editing.read(file)
    before = editing.opened(file, data)
    password = None if age_recipient or data.startswith(age.HEADS) else _its_own(file, data)
    if password is None and not age_recipient:
        raise ProvisionError(
            f"`{file}` is encrypted with age, and a file does not say for whom",
            hint="name everybody who is to read it: `--age-recipient age1…`",
        )
    after = editing.edited(before, file.name)
    if after != before or age_recipient:
        editing.write(file, editing.sealed(after, password, list(age_recipient)))
    return 0


@app.command
def rekey(
    files: Annotated[list[Path], Parameter(negative="")],
    /,
    *,
    new_vault_password_file: Path | None = None,
    new_vault_id: str | None = None,
    age_recipient: _Recipients = (),
    keys: Keys = Keys(),  # noqa: B008
) -> int:
    """Encrypt files under another password; all of them are opened before the first is written.

    Parameters
    ----------
    files
        The files.
    new_vault_password_file
        File with the new password, or a program that prints it. Default: it is asked for.
    new_vault_id
        LABEL@FILE, LABEL@PROGRAM or LABEL@prompt of the new password.
    age_recipient
        Encrypt with age for this public key instead; may be given several times.
    """
    _opening(keys)
    contents = [(path, editing.opened(path, editing.read(path))) for path in files]
    password = None if age_recipient else _new(new_vault_password_file, new_vault_id)
    for path, content in contents:
        editing.write(path, editing.sealed(content, password, list(age_recipient)))
    return 0


@app.command(name="encrypt-string")
def encrypt_string(*, name: str | None = None, encrypt_vault_id: _Label = None, keys: Keys = Keys()) -> int:  # noqa: B008
    """Read a value from standard input, or ask for it, and print it as a `!vault` value for a YAML file.

    A secret is no argument: every user of this machine could read it there.

    Parameters
    ----------
    name
        Print it as the value of this key.
    encrypt_vault_id
        Under which of several vault ids. Default: the first that is given.
    """
    content = asked("Value: ", again=True).encode() if sys.stdin.isatty() else sys.stdin.buffer.read()
    password = _writing(keys, encrypt_vault_id)
    text = editing.sealed(content, password, []).decode()
    indent = "  " if name else "    "
    print(f"{name}: !vault |" if name else "!vault |")
    print("\n".join(indent + line for line in text.splitlines()))
    return 0


def _opening(keys: Keys) -> None:
    KEYS.say(sources(keys.vault_password_file, keys.vault_id, ask=keys.ask_vault_pass), keys.age_identity)


def _writing(keys: Keys, label: str | None) -> Password:
    """The password that something is encrypted under; asked for twice where the command line names none."""
    given = KEYS.passwords if _said(keys) else []
    if not given:
        return of_source(f"{label or 'default'}@prompt", "New vault password: ")
    if label is None:
        return given[0]
    found = next((password for password in given if password.label == label), None)
    if found is None:
        raise ProvisionError(
            f"no password of the vault id `{label}` is given", hint=f"say `--vault-id {label}@FILE` as well"
        )
    return found


def _said(keys: Keys) -> bool:
    """Whether the command line or the environment names a password."""
    _opening(keys)
    return bool(KEYS.passwords)


def _its_own(path: Path, data: bytes) -> Password:
    """The password that opens a file, with the label that it has now."""
    envelope = vault.parse(data.decode(), editing.place(path))
    found = next(one for one in KEYS.passwords if vault.decrypt(envelope, one.secret) is not None)
    return found._replace(label=envelope.label or "default")


def _new(file: Path | None, named: str | None) -> Password:
    if file and named:
        raise ProvisionError("`--new-vault-password-file` and `--new-vault-id` both name the new password")
    return of_source(named or (f"default@{file}" if file else "default@prompt"), "New vault password: ")


def _plain(path: Path) -> bytes:
    data = editing.read(path)
    if editing.is_encrypted(data):
        raise ProvisionError(f"`{path}` is encrypted already", hint="`provision secret rekey` changes its password")
    return data


def _one(files: Iterable[Path], output: Path | None) -> None:
    if output is not None and len(list(files)) != 1:
        raise ProvisionError("`--output` takes one file", cause="several are given")


def _print(content: bytes) -> None:
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()
