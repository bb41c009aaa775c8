"""Keys that may log in as a user, with Ansible's meaning of `authorized_key`. Other lines of the file stay."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional

from .. import accounts, attributes, edited, ssh_keys
from ..attributes import Attributes
from ..edited import Edited
from ..record import record
from ..resource import Action, Emit, Refusal, Verb
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]


@record(frozen=True)
class Spec:
    """A user and one key a line.

    - authorized_key:
        user: app
        key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1xuGqbS0tQhM8Z0jhBDS1mNoXAk5RrYlQ7kTsm2cXs admin@example.org
        key_options: no-port-forwarding,from="10.0.0.0/8"

    They go to `path`, by default `~/.ssh/authorized_keys`; with `manage_dir` its directory is made, for the user alone.
    `exclusive`: nothing else stays in the file. `key_options` and `comment` stand in place of those of the keys.
    `follow`: the file may be a link.
    """

    user: str
    key: str
    state: str = "present"
    path: Optional[str] = None
    manage_dir: bool = True
    key_options: Optional[str] = None
    comment: Optional[str] = None
    exclusive: bool = False
    follow: bool = False

    def __post_init__(self) -> None:
        accounts.check_name(self.user)
        if self.state not in ("present", "absent"):
            raise ValueError("state is one of present, absent")
        if self.path is not None and not self.path.startswith("/"):
            raise ValueError("path is an absolute path")
        if self.key.startswith(("http://", "https://")):
            raise ValueError(
                "keys are not fetched from an address: write them, or read a file with `lookup('file', ...)`"
            )
        if "\n" in (self.key_options or "") + (self.comment or ""):
            raise ValueError("key_options and comment are one line each")
        self.keys()

    def keys(self) -> List[ssh_keys.Key]:
        """The keys as they are to be written; ValueError for a line that is none."""
        found = []
        for line in self.key.splitlines():
            if not line.strip() or line.startswith("#"):
                continue
            key = ssh_keys.parse(line)
            if key is None:
                raise ValueError("`%s` is no public key" % (line if len(line) <= 60 else line[:57] + "..."))
            if self.key_options is not None:
                option = ssh_keys.parse("%s %s %s" % (self.key_options, key.type, key.key))
                key = key._replace(options=option.options if option else ())
            found.append(key if self.comment is None else key._replace(comment=self.comment))
        if not found:
            raise ValueError("`key` holds no key")
        return found


@record(frozen=True)
class State:
    """The file and its directory, whose `kind` is absent, pending, directory, link or other; `uid`: of the user."""

    file: Edited
    folder: str
    kind: str = "directory"
    mode: int = 0o700
    owner: int = -1
    group: int = -1
    uid: int = -1
    gid: int = -1
    link: bool = False


def observe(spec: Spec, system: System) -> State:
    """Look up the user and read the file; Refusal for no such user."""
    entry = accounts.account(spec.user)
    if entry is None:
        if "user %s" % spec.user not in system.pending:
            system.user_id(spec.user)
        path = spec.path or "~%s/.ssh/authorized_keys" % spec.user
        file = edited.look(path, system) if spec.path else Edited(path)
        return State(file, os.path.dirname(path), kind="directory" if spec.path else "absent")
    path = spec.path or os.path.join(entry.pw_dir, ".ssh", "authorized_keys")
    folder = os.path.dirname(path)
    found = attributes.look(folder, system)
    kind = (
        "link" if os.path.islink(folder) else "directory" if os.path.isdir(folder) else "other" if found else "absent"
    )
    if kind == "absent" and folder in system.pending:
        kind = "pending"
    now = found or Attributes(0o700)
    return State(
        edited.look(path, system), folder, kind, now.mode, now.uid, now.gid, entry.pw_uid, entry.pw_gid,
        os.path.islink(path),
    )  # fmt: skip


def decide(spec: Spec, state: State) -> List[Action]:
    """Nothing, or the file as wanted, and with it the directory; Refusal for links that are not to be followed."""
    before = state.file.text or ""
    after = ssh_keys.edit(before, spec.keys(), spec.state == "present", spec.exclusive)
    if after == before:
        return []
    if not spec.follow and (state.link or state.kind == "link"):
        raise Refusal(
            "cannot write `%s`" % (spec.path or state.file.path),
            "%s is a link" % ("it" if state.link else "its directory `%s`" % state.folder),
            "say `follow: true` if what it points at is meant",
        )
    ids = Attributes(uid=state.uid, gid=state.gid)
    file = Edited(
        state.file.path, state.file.text, False, state.file.mode, state.file.uid, state.file.gid, ids.uid, ids.gid
    )
    return _folder(spec, state) + edited.actions(file, after, mode="0600")


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Make the directory, or write the file."""
    arguments = action.arguments
    if arguments["do"] == "mkdir":
        system.mkdir(action.target, arguments["mode"], arguments["uid"], arguments["gid"], parents=False)
        return {}
    return edited.write(action, system)


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`user`, `keyfile`, `state`, `exclusive`, `manage_dir`."""
    found = {"user": spec.user, "keyfile": state.file.path, "path": spec.path, "state": spec.state}
    return {**found, "exclusive": spec.exclusive, "manage_dir": spec.manage_dir}


def _folder(spec: Spec, state: State) -> List[Action]:
    if state.kind == "absent":
        if not spec.manage_dir:
            raise Refusal(
                "cannot write `%s`" % state.file.path,
                "its directory `%s` does not exist" % state.folder,
                "create it before, or leave `manage_dir` as it is",
            )
        arguments = {"do": "mkdir", "mode": 0o700, "uid": state.uid, "gid": state.gid}
        return [Action(Verb.CREATE, state.folder, arguments, after="a directory, mode 0700\n")]
    if state.kind == "other":
        raise Refusal("cannot write `%s`" % state.file.path, "`%s` is no directory" % state.folder, "move it away")
    if not spec.manage_dir or state.kind in ("link", "pending"):
        return []
    now = Attributes(state.mode, state.owner, state.group)
    return attributes.actions(state.folder, now, Attributes(0o700, state.uid, state.gid))
