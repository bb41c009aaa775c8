"""Debian's packages, with Ansible's meaning of `package` and `apt`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple, Union

from .. import packages, processes
from ..resource import Action, Emit, Refusal, Verb
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe", "questions"]


@dataclass(frozen=True)
class Spec:
    """Names of packages, each perhaps with `=VERSION`.

    - package:
        name: [git, libgl1]
        state: present
        update_cache: true
        cache_valid_time: 3600

    `update_cache` fetches the lists before something is installed, unless they are younger than `cache_valid_time`
    seconds. `absent` removes packages and keeps their configuration.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    name: Union[str, List[str]]
    state: str = "present"
    update_cache: bool = False
    cache_valid_time: int = 0
    install_recommends: Optional[bool] = None

    def __post_init__(self) -> None:
        if self.state not in ("present", "absent"):
            raise ValueError("state is one of present, absent")
        if not names(self):
            raise ValueError("`name` is empty")
        for name in names(self):
            letters = name.replace("=", "").replace("~", "")
            if not letters[:1].isalnum() or not all(c.isalnum() or c in "+-.:_" for c in letters):
                raise ValueError("%r is no name of a package" % name)


def names(spec: Spec) -> List[str]:
    """The packages as a list."""
    listed = spec.name.split(",") if isinstance(spec.name, str) else spec.name
    return [name.strip() for name in listed if name.strip()]


@dataclass(frozen=True)
class State:
    """`versions`: installed version by bare name, "" for none. `age`: of the lists in seconds, None for no lists.
    `holder`: who holds dpkg's lock, in words.
    """

    versions: Dict[str, str] = field(default_factory=dict)
    age: Optional[float] = None
    holder: str = ""


def questions(spec: Spec) -> List[Tuple[str, str]]:
    """One `dpkg-query` serves all packages of a batch."""
    return [("package", _bare(name)) for name in names(spec)]


def observe(spec: Spec, system: System) -> State:
    """Ask dpkg."""
    if system.facts.get("os", {}).get("id", "debian") not in ("debian", "ubuntu", "raspbian", "linuxmint", "pop"):
        raise Refusal(
            "packages cannot be installed on this host",
            "it runs `%s`; only Debian's and Ubuntu's packages are supported" % system.facts["os"]["id"],
            "leave this host out, or install the package by another way",
        )
    versions, holder = packages.installed(system, [_bare(name) for name in names(spec)]), packages.holder()
    return State(versions, packages.list_age(), processes.describe(holder) if holder else "")


def decide(spec: Spec, state: State) -> List[Action]:
    """Nothing, or one run of apt-get for all that differs; it is never stopped in the middle, the wait for locks is."""
    found = _differences(spec, state)
    wait = Action(Verb.RUN, "wait until %s is done with dpkg" % state.holder, {"wait": True})
    return [wait, *found] if found and state.holder else found


def _differences(spec: Spec, state: State) -> List[Action]:
    if spec.state == "absent":
        there = [_bare(name) for name in names(spec) if state.versions.get(_bare(name))]
        before = "".join("%s %s\n" % (name, state.versions[name]) for name in there)
        return [_action(Verb.REMOVE, ["remove"], there, before, None)] if there else []
    lacking = [name for name in names(spec) if not _right(name, state)]
    if not lacking:
        return []
    recommends = {None: [], True: ["--install-recommends"], False: ["--no-install-recommends"]}[spec.install_recommends]
    before = "".join(
        "%s %s\n" % (_bare(name), version)
        for name in lacking
        for version in [state.versions.get(_bare(name))]
        if version
    )
    after = "".join("%s\n" % name.replace("=", " ") for name in lacking)
    action = _action(Verb.INSTALL, ["install", *recommends], lacking, before or None, after)
    action.arguments["update"] = spec.update_cache and (state.age is None or state.age >= spec.cache_valid_time)
    return [action]


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Wait for dpkg's lock, or run apt-get, its output streamed."""
    if action.arguments.get("wait"):
        packages.wait_for_lock(emit)
        return {}
    if action.arguments["update"]:
        packages.apt(system, ["update"], emit)
    packages.apt(system, [*action.arguments["words"], "--", *action.arguments["names"]], emit)
    return {}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`versions`: by name, "" where it is not installed."""
    return {"versions": state.versions}


def _right(name: str, state: State) -> bool:
    bare, _, version = name.partition("=")
    found = state.versions.get(bare, "")
    return found == version if version else bool(found)


def _action(verb: Verb, words: List[str], listed: List[str], before: Optional[str], after: Optional[str]) -> Action:
    arguments = {"words": words, "names": listed, "update": False}
    return Action(verb, ", ".join(_bare(name) for name in listed), arguments, before, after, must_finish=True)


def _bare(name: str) -> str:
    return name.partition("=")[0]
