"""A group of users, with Ansible's meaning."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from .. import accounts
from ..record import record
from ..resource import Action, Emit, Verb
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]


@record(frozen=True)
class Spec:
    """A group by name.

    - group:
        name: gpu-users
        gid: 2000
    """

    name: str
    gid: Optional[int] = None
    system: bool = False
    non_unique: bool = False
    state: str = "present"

    def __post_init__(self) -> None:
        accounts.check_name(self.name)
        if self.state not in ("present", "absent"):
            raise ValueError("state is one of present, absent")


@record(frozen=True)
class State:
    """`gid` is None where there is no such group."""

    gid: Optional[int] = None


def observe(spec: Spec, system: System) -> State:
    """Ask the group database."""
    return State(accounts.group_number(spec.name))


def decide(spec: Spec, state: State) -> List[Action]:
    """Nothing, or one call of groupadd, groupmod or groupdel."""
    target = "group %s" % spec.name
    if spec.state == "absent":
        gone = Action(Verb.REMOVE, target, {"argv": ["groupdel", spec.name]}, before="gid: %s\n" % state.gid)
        return [] if state.gid is None else [gone]
    number = [] if spec.gid is None else ["--gid", str(spec.gid), *(["--non-unique"] if spec.non_unique else [])]
    if state.gid is None:
        argv = ["groupadd", *(["--system"] if spec.system else []), *number, spec.name]
        return [Action(Verb.CREATE, target, {"argv": argv}, after="a group\n")]
    if spec.gid is None or spec.gid == state.gid:
        return []
    before, after = "gid: %d\n" % state.gid, "gid: %d\n" % spec.gid
    return [Action(Verb.CHANGE, target, {"argv": ["groupmod", *number, spec.name]}, before, after)]


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Do it with the system's own tools."""
    accounts.run(system, action.arguments["argv"])
    return {}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`name`, `gid` and `state`."""
    return {"name": spec.name, "gid": state.gid, "state": "absent" if state.gid is None else "present"}
