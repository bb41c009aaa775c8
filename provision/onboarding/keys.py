"""The public key that is installed on hosts: read here, and added there by one small script.

The script only ever adds a line and takes away what sshd refuses; it makes nothing readable or writable that was not.
"""

from __future__ import annotations

import base64
import binascii
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from provision.errors import ProvisionError
from provision.transport.ssh_config import at_home

__all__ = ["INSTALL", "PublicKey", "choose", "installed"]

_KINDS = ("ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-")
_MARK = "provision-key:"
_SCRIPT = """\
set -eu; umask 077; IFS= read -r line; set -f; set -- $line; set +f; cd; file=.ssh/authorized_keys;
[ -d .ssh ] || mkdir .ssh;
if [ -f "$file" ] && sed "/^[[:space:]]*#/d" "$file" | grep -qF -- "$2"; then said=present;
elif [ -s "$file" ] && [ -n "$(tail -c 1 "$file")" ]; then printf "\\n%s\\n" "$line" >> "$file"; said=added;
else printf "%s\\n" "$line" >> "$file"; said=added; fi;
for path in .ssh "$file"; do
case $(ls -ldL "$path") in ?????w*|????????w*) chmod go-w "$path";; esac; done;
if [ "$said" = added ] && command -v restorecon >/dev/null 2>&1; then restorecon -F .ssh "$file" || :; fi;
echo "provision-key: $said"
"""
INSTALL = shlex.join(["/bin/sh", "-c", _SCRIPT.replace("\n", " ").strip()])
"""The command that takes a line of authorized_keys on its standard input."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key pair by its private file; `written` is its name for people."""

    private: Path
    written: str

    @property
    def line(self) -> str:
        """The line that lets its owner in, from the public file; raises ProvisionError."""
        return _line(self.private, self.written)


def choose(named: Path | None, usual: Sequence[str]) -> PublicKey | None:
    """The key that was named, private part or public, else the first of the usual ones that is there.

    None where none is. Raises ProvisionError for a named one that is of no use.
    """
    if named is not None:
        private = Path(at_home(str(named)))
        chosen = PublicKey(private.with_suffix("") if private.suffix == ".pub" else private, str(named))
        _ = chosen.line  # of no use: said before a host is touched
        return chosen
    found = [path for path in usual if Path(path).is_file() or Path(f"{path}.pub").is_file()]
    return PublicKey(Path(found[0]), found[0]) if found else None


def installed(said: str) -> str:
    """What the script did, "added" or "present"; "" where it did not come to its end."""
    lines = [line.partition(_MARK)[2].strip() for line in said.splitlines() if _MARK in line]
    return lines[-1] if lines and lines[-1] in ("added", "present") else ""


def _line(private: Path, written: str) -> str:
    path = Path(f"{private}.pub")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        there = private.is_file()
        raise ProvisionError(
            f"the key `{written}` has no public part" if there else f"there is no key `{written}`",
            cause=f"`{path}` is not there",
            hint=f"ssh-keygen -y -f {shlex.quote(str(private))} > {shlex.quote(str(path))}"
            if there
            else f"make one with: ssh-keygen -t ed25519 -f {shlex.quote(str(private))}",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ProvisionError(f"cannot read the key `{path}`", cause=str(error)) from None
    line = text.strip()
    if not _is_key(line):
        raise ProvisionError(
            f"`{path}` is no public key", cause="it is one line: a type such as ssh-ed25519, the key, and a comment"
        )
    return line


def _is_key(line: str) -> bool:
    words = line.split()
    if len(line.splitlines()) != 1 or len(words) < 2 or not line.isprintable() or not words[0].startswith(_KINDS):
        return False
    try:
        blob = base64.b64decode(words[1], validate=True)
    except (binascii.Error, ValueError):
        return False
    length = int.from_bytes(blob[:4], "big")
    return blob[4 : 4 + length] == words[0].encode()
