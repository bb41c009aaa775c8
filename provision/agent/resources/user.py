"""A user account, with Ansible's meaning. Removing one keeps its home unless `delete_data: true` is written."""

from __future__ import annotations

import os
from dataclasses import field
from typing import Any, Dict, List, Optional, Tuple, Union

from .. import accounts
from ..record import record
from ..resource import Action, Emit, Verb
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]


@record(frozen=True)
class Spec:
    """An account by name.

    - user:
        name: app
        system: true
        home: /srv/app
        shell: /usr/sbin/nologin
        groups: [video, render]
        append: true

    `groups` are all that the user is in beside the primary `group`, or with `append` those that it is in at least.
    """

    name: str
    uid: Optional[int] = None
    group: Optional[str] = None
    groups: Optional[Union[str, List[str]]] = None
    append: bool = False
    home: Optional[str] = None
    create_home: bool = True
    shell: Optional[str] = None
    comment: Optional[str] = None
    system: bool = False
    state: str = "present"
    delete_data: bool = False

    def __post_init__(self) -> None:
        accounts.check_name(self.name)
        if self.state not in ("present", "absent"):
            raise ValueError("state is one of present, absent")
        if self.home is not None and not self.home.startswith("/"):
            raise ValueError("home is an absolute path")
        if any(":" in text or "\n" in text for text in (self.comment or "", self.home or "", self.shell or "")):
            raise ValueError("comment, home and shell hold no colon and no line end")


@record(frozen=True)
class State:
    """`uid` is None where there is no such user; `group_name` is the primary group."""

    uid: Optional[int] = None
    gid: Optional[int] = None
    group_name: str = ""
    groups: List[str] = field(default_factory=list)
    home: str = ""
    home_exists: bool = False
    shell: str = ""
    comment: str = ""


def observe(spec: Spec, system: System) -> State:
    """Ask the user and group databases."""
    found = accounts.account(spec.name)
    if found is None:
        return State(home_exists=bool(spec.home) and os.path.isdir(spec.home or ""))
    return State(
        uid=found.pw_uid,
        gid=found.pw_gid,
        group_name=accounts.group_name(found.pw_gid),
        groups=accounts.groups_of(spec.name, found.pw_gid),
        home=found.pw_dir,
        home_exists=os.path.isdir(found.pw_dir),
        shell=found.pw_shell,
        comment=found.pw_gecos,
    )


def decide(spec: Spec, state: State) -> List[Action]:
    """Nothing, or one call of useradd, usermod or userdel."""
    target = "user %s" % spec.name
    if spec.state == "absent":
        argv = ["userdel", *(["--remove"] if spec.delete_data else []), spec.name]
        before = "uid: %s\nhome: %s\n" % (state.uid, state.home)
        return [] if state.uid is None else [Action(Verb.REMOVE, target, {"argv": argv}, before)]
    changes = _changes(spec, state)
    options = [word for _, _, _, words in changes for word in words]
    after = "".join("%s: %s\n" % (name, then) for name, _, then, _ in changes)
    if state.uid is None:
        made = [*(["--system"] if spec.system else []), "--create-home" if spec.create_home else "--no-create-home"]
        return [
            Action(Verb.CREATE, target, {"argv": ["useradd", *made, *options, spec.name]}, None, after or "a user\n")
        ]
    if not changes:
        return []
    before = "".join("%s: %s\n" % (name, now) for name, now, _, _ in changes)
    append = ["--append"] if spec.append and any(name == "groups" for name, _, _, _ in changes) else []
    return [Action(Verb.CHANGE, target, {"argv": ["usermod", *append, *options, spec.name]}, before, after)]


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Do it with the system's own tools."""
    accounts.run(system, action.arguments["argv"])
    return {}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`name`, `uid`, `group` (number), `groups`, `home`, `shell`, `comment` and `state`."""
    return {
        "name": spec.name,
        "uid": state.uid,
        "group": state.gid,
        "groups": state.groups,
        "home": state.home,
        "shell": state.shell,
        "comment": state.comment,
        "state": "absent" if state.uid is None else "present",
    }


def _changes(spec: Spec, state: State) -> List[Tuple[str, str, str, List[str]]]:
    """Name, value now, value wanted, options of useradd and usermod."""
    group_now = str(state.gid) if (spec.group or "").isdigit() else state.group_name
    pairs: List[Tuple[str, Any, Any, str]] = [
        ("uid", state.uid, spec.uid, "--uid"),
        ("group", group_now, spec.group, "--gid"),
        ("home", state.home, spec.home, "--home"),
        ("shell", state.shell, spec.shell, "--shell"),
        ("comment", state.comment, spec.comment, "--comment"),
    ]
    found = [
        (name, str(now), str(then), [option, str(then)])
        for name, now, then, option in pairs
        if then is not None and (now != then or state.uid is None)
    ]
    return found + _group_changes(spec, state)


def _group_changes(spec: Spec, state: State) -> List[Tuple[str, str, str, List[str]]]:
    if spec.groups is None:
        return []
    listed = spec.groups.split(",") if isinstance(spec.groups, str) else spec.groups
    wanted = {name.strip() for name in listed if name.strip()}
    if spec.append:
        lacking = sorted(wanted - set(state.groups))
        now, then = sorted(state.groups), sorted(wanted | set(state.groups))
        return [("groups", ",".join(now), ",".join(then), ["--groups", ",".join(lacking)])] if lacking else []
    if wanted == set(state.groups):
        return []
    return [("groups", ",".join(state.groups), ",".join(sorted(wanted)), ["--groups", ",".join(sorted(wanted))])]
