"""A user account, with Ansible's meaning. Removing one keeps its home unless `delete_data: true` is written."""

from __future__ import annotations

import os
from dataclasses import field
from typing import Any, Dict, List, Optional, Tuple, Union

from .. import accounts
from ..record import record
from ..resource import Action, Emit, Refusal, Verb
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

    `password` is a hash, as the filter `password_hash` makes it; with `update_password: on_create` one that is there
    stays. `expires` is in seconds since the epoch; under 0 the account never expires. `remove` takes the home along and
    needs `delete_data: true`. `move_home`: a home that moves takes its files along.

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
    remove: bool = False
    move_home: bool = False
    non_unique: bool = False
    skeleton: Optional[str] = None
    password: Optional[str] = None
    update_password: str = "always"  # noqa: S105
    password_lock: Optional[bool] = None
    expires: Optional[float] = None

    def __post_init__(self) -> None:
        accounts.check_name(self.name)
        if self.state not in ("present", "absent"):
            raise ValueError("state is one of present, absent")
        if self.update_password not in ("always", "on_create"):
            raise ValueError("update_password is one of always, on_create")
        if self.password and not self.password.startswith(("$", "!", "*", "_")):
            raise ValueError("password is a hash: `{{ secret | password_hash }}` makes one")
        if ":" in (self.password or "") or "\n" in (self.password or ""):
            raise ValueError("password holds no colon and no line end")
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
    password: str = ""
    """The hash, asked for only where it matters."""
    expires: Optional[int] = None
    """In days since the epoch."""


def observe(spec: Spec, system: System) -> State:
    """Ask the user and group databases."""
    found = accounts.account(spec.name)
    if found is None:
        return State(home_exists=bool(spec.home) and os.path.isdir(spec.home or ""))
    shadow = accounts.shadow(spec.name, system) if _shadowed(spec) else ("", None)
    return State(
        uid=found.pw_uid,
        gid=found.pw_gid,
        group_name=accounts.group_name(found.pw_gid),
        groups=accounts.groups_of(spec.name, found.pw_gid),
        home=found.pw_dir,
        home_exists=os.path.isdir(found.pw_dir),
        shell=found.pw_shell,
        comment=found.pw_gecos,
        password=shadow[0],
        expires=shadow[1],
    )


def decide(spec: Spec, state: State) -> List[Action]:
    """Nothing, or one call of useradd, usermod or userdel."""
    target = "user %s" % spec.name
    if spec.state == "absent":
        if spec.remove and not spec.delete_data and state.uid is not None and state.home_exists:
            raise Refusal(
                "cannot remove the home of `%s`" % spec.name,
                "`%s` would be deleted with all that is in it" % state.home,
                "leave `remove` out to keep it, or write `delete_data: true` to delete it",
            )
        argv = ["userdel", *(["--remove"] if spec.delete_data else []), spec.name]
        before = "uid: %s\nhome: %s\n" % (state.uid, state.home)
        return [] if state.uid is None else [Action(Verb.REMOVE, target, {"argv": argv}, before)]
    changes = _changes(spec, state)
    password = _password(spec, state)
    options = [word for _, _, _, words in changes for word in words]
    after = "".join("%s: %s\n" % (name, then) for name, _, then, _ in changes)
    if state.uid is None:
        made = [
            *(["--system"] if spec.system else []),
            *(["--skel", spec.skeleton] if spec.skeleton else []),
            "--create-home" if spec.create_home else "--no-create-home",
        ]
        return [
            Action(Verb.CREATE, target, {"argv": ["useradd", *made, *options, spec.name]}, None, after or "a user\n"),
            *password,
        ]
    if not changes:
        return password
    before = "".join("%s: %s\n" % (name, now) for name, now, _, _ in changes)
    append = ["--append"] if spec.append and any(name == "groups" for name, _, _, _ in changes) else []
    move = ["--move-home"] if spec.move_home and any(name == "home" for name, _, _, _ in changes) else []
    return [
        Action(Verb.CHANGE, target, {"argv": ["usermod", *append, *move, *options, spec.name]}, before, after),
        *password,
    ]


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Do it with the system's own tools."""
    accounts.run(system, action.arguments["argv"], action.arguments.get("stdin", ""))
    return {}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`name`, `uid`, `group` (number), `groups`, `home`, `shell`, `comment`, `state`, and what was asked for."""
    return {
        "name": spec.name,
        "uid": state.uid,
        "group": state.gid,
        "groups": state.groups,
        "home": state.home,
        "shell": state.shell,
        "comment": state.comment,
        "state": "absent" if state.uid is None else "present",
        "append": spec.append,
        "move_home": spec.move_home,
        "create_home": spec.create_home,
        "system": spec.system,
    }


def _changes(spec: Spec, state: State) -> List[Tuple[str, str, str, List[str]]]:
    """Name, value now, value wanted, options of useradd and usermod."""
    group_now = str(state.gid) if (spec.group or "").isdigit() else state.group_name
    pairs: List[Tuple[str, Any, Any, str]] = [
        ("expires", _date(state.expires), _date(_days(spec)), "--expiredate"),
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
    if spec.non_unique and any(name == "uid" for name, _, _, _ in found):
        found.append(("non_unique", "", "true", ["--non-unique"]))
    return found + _group_changes(spec, state)


def _shadowed(spec: Spec) -> bool:
    return spec.state == "present" and (
        spec.password is not None or spec.password_lock is not None or spec.expires is not None
    )


def _days(spec: Spec) -> Optional[int]:
    """-1 for never."""
    return None if spec.expires is None else -1 if spec.expires < 0 else int(spec.expires // 86400)


def _date(days: Optional[int]) -> Optional[str]:
    """As usermod takes it: YYYY-MM-DD, "" for never, None where nothing is asked for."""
    if days is None or days < 0:
        return None if days is None else ""
    import time

    return time.strftime("%Y-%m-%d", time.gmtime(days * 86400))


def _password(spec: Spec, state: State) -> List[Action]:
    """The hash goes by standard input; neither it nor the one that was there is shown."""
    found, target = [], "password of %s" % spec.name
    fresh = state.uid is None
    locked = state.password.startswith("!")
    given = spec.password if fresh or spec.update_password.startswith("always") else None
    if given is not None and (fresh or state.password.lstrip("!") != given.lstrip("!")):
        line = "%s:%s\n" % (spec.name, given)
        found.append(Action(Verb.CHANGE, target, {"argv": ["chpasswd", "--encrypted"], "stdin": line}))
        locked = given.startswith("!")
    wanted = spec.password_lock
    if wanted is not None and (wanted != locked if not fresh or found else wanted):
        argv = ["usermod", "--lock" if wanted else "--unlock", spec.name]
        shown = {True: "locked\n", False: "not locked\n"}
        found.append(Action(Verb.CHANGE, target, {"argv": argv}, shown[not wanted], shown[wanted]))
    return found


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
