"""Keys of other hosts that ssh(1) on this one knows, with Ansible's meaning of `known_hosts`. Other lines stay."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional, Tuple

from .. import edited
from ..edited import Edited
from ..record import record
from ..resource import Action, Emit
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]


@record(frozen=True)
class Spec:
    """A host, and a line as ssh-keyscan(1) gives it.

    - known_hosts:
        name: git.example.org
        key: git.example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1xuGqbS0tQhM8Z0jhBDS1mNoXAk5RrYlQ7kTsm2cXs

    A key of the same type is replaced. `hash_host`: the name is kept as a hash. `state: absent` takes the key away or,
    without one, all keys of the host. `path`: by default `~/.ssh/known_hosts` of who runs the step.
    """

    name: str
    key: Optional[str] = None
    path: Optional[str] = None
    hash_host: bool = False
    state: str = "present"

    def __post_init__(self) -> None:
        if not self.name or any(sign in self.name for sign in " \t\n,|"):
            raise ValueError("%r is no name of a host" % self.name)
        if self.state not in ("present", "absent"):
            raise ValueError("state is one of present, absent")
        if self.state == "present" and self.key is None:
            raise ValueError("`key` is missing")
        if self.path is not None and not self.path.startswith("/"):
            raise ValueError("path is an absolute path")
        if self.key is not None:
            words = self.key.split()
            if len(self.key.strip().splitlines()) != 1 or len(words) < 3:
                raise ValueError("`key` is one line, `HOST TYPE KEY`, as ssh-keyscan gives it")
            if not _means(words[0], self.name):
                raise ValueError("`key` is of `%s`, and not of `%s`" % (words[0], self.name))

    @property
    def pair(self) -> Optional[Tuple[str, str]]:
        """Type and key."""
        words = (self.key or "").split()
        return (words[1], words[2]) if words else None


@record(frozen=True)
class State:
    """The file. `salt`, in base 64, is for a name that is to be kept as a hash."""

    path: str
    text: Optional[str] = None
    mode: int = 0o644
    salt: str = ""


def observe(spec: Spec, system: System) -> State:
    """Read the file."""
    import base64

    path = spec.path or os.path.join(system.user_home(), ".ssh", "known_hosts")
    file = edited.look(path, system)
    return State(file.path, file.text, file.mode, base64.b64encode(os.urandom(20)).decode() if spec.hash_host else "")


def decide(spec: Spec, state: State) -> List[Action]:
    """Nothing, or the file as wanted."""
    lines = edited.lines_of(state.text or "")
    after = _without(spec, lines) if spec.state == "absent" else _with(spec, lines, state.salt)
    if after == lines:
        return []
    return edited.actions(Edited(state.path, state.text, mode=state.mode), "".join(after))


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Write the file; its directory is made for its user alone."""
    folder = os.path.dirname(action.target)
    if not os.path.isdir(folder):
        system.mkdir(folder, 0o700)
    return edited.write(action, system)


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`name`, `key`, `path`, `hash_host`, `state`."""
    found = {"name": spec.name, "key": spec.key, "path": state.path}
    return {**found, "hash_host": spec.hash_host, "state": spec.state}


def _with(spec: Spec, lines: List[str], salt: str) -> List[str]:
    """The lines with the key: where one of its type stands, else at the end; names of others on that line stay."""
    kind, key = spec.pair or ("", "")
    name = _hashed(spec.name, salt) if spec.hash_host else (spec.key or "").split()[0]
    name = spec.name if not spec.hash_host and name.startswith("|") else name
    new, after, placed = "%s %s %s\n" % (name, kind, key), [], False
    for line in lines:
        words = line.split()
        if not _is_row(words, spec.name) or words[1] != kind:
            after.append(line)
        elif not placed:
            right = words[2] == key and words[0].startswith("|") == spec.hash_host
            after += [line] if right else [*_others(words, spec.name), new]
            placed = True
        else:
            after += _others(words, spec.name)
    if not placed:
        after = [*after[:-1], after[-1] if after[-1].endswith("\n") else after[-1] + "\n"] if after else []
        after.append(new)
    return after


def _without(spec: Spec, lines: List[str]) -> List[str]:
    after = []
    for line in lines:
        words = line.split()
        gone = _is_row(words, spec.name) and (spec.pair is None or tuple(words[1:3]) == spec.pair)
        after += _others(words, spec.name) if gone else [line]
    return after


def _others(words: List[str], name: str) -> List[str]:
    """The row for the other names that stand on it."""
    names = [each for each in words[0].split(",") if each.lower() != name.lower()]
    return [" ".join([",".join(names), *words[1:]]) + "\n"] if names and not words[0].startswith("|") else []


def _is_row(words: List[str], name: str) -> bool:
    return len(words) > 2 and words[0][:1] not in ("#", "@") and _means(words[0], name)


def _means(names: str, name: str) -> bool:
    """Whether a first field is, or has among others, the name."""
    if not names.startswith("|1|"):
        return name.lower() in names.lower().split(",")
    parts = names.split("|")
    return len(parts) == 4 and _hashed(name, parts[2]) == names


def _hashed(name: str, salt: str) -> str:
    """The name as ssh keeps it with `HashKnownHosts`."""
    import base64
    import binascii
    import hmac

    try:
        digest = hmac.new(base64.b64decode(salt), name.lower().encode("utf-8"), "sha1").digest()
    except (binascii.Error, ValueError):
        return ""
    return "|1|%s|%s" % (salt, base64.b64encode(digest).decode())
