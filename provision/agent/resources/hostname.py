"""The name of the host, now and at boot, with Ansible's meaning of `hostname`."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional

from .. import edited
from ..record import record
from ..resource import Action, Emit, Refusal, Verb
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]

_FILE = "/etc/hostname"
_DEADLINE = 30.0
_WAYS = ("systemd", "debian")


@record(frozen=True)
class Spec:
    """The name, and the way in which it is set.

    - hostname:
        name: gpu-07

    `use`: `systemd` asks hostnamectl(1), `debian` writes /etc/hostname and calls hostname(1); else what the host has
    is taken. /etc/hosts is left alone.
    """

    name: str
    use: Optional[str] = None

    def __post_init__(self) -> None:
        labels = self.name.split(".")
        good = all(label and label.strip("-") == label and len(label) <= 63 for label in labels)
        if not good or len(self.name) > 64 or not self.name.isascii():
            raise ValueError("%r is no name of a host" % self.name)
        if not all(sign.isalnum() or sign in ".-" for sign in self.name):
            raise ValueError("%r is no name of a host" % self.name)
        if self.use is not None and self.use not in _WAYS:
            raise ValueError("use is one of %s" % ", ".join(_WAYS))


@record(frozen=True)
class State:
    """The name now and the one at boot (None: no file), and the way in which it is set."""

    now: str
    boot: Optional[str] = None
    way: str = "debian"
    file: str = _FILE


def observe(spec: Spec, system: System) -> State:
    """Read the kernel's name and /etc/hostname."""
    text = edited.look(_FILE, system).text
    rows = [line.strip() for line in (text or "").splitlines() if line.strip() and not line.startswith("#")]
    way = spec.use or ("systemd" if system.facts.get("init") == "systemd" else "debian")
    return State(os.uname().nodename, rows[0] if rows else None if text is None else "", way)


def decide(spec: Spec, state: State) -> List[Action]:
    """Nothing, or the name set at both places."""
    if (state.now, state.boot) == (spec.name, spec.name):
        return []
    arguments = {"name": spec.name, "way": state.way, "before": state.boot, "file": state.file, "now": state.now}
    return [Action(Verb.CHANGE, "hostname", arguments, _shown(state.now, state.boot), _shown(spec.name, spec.name))]


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Set it; Refusal when the host does not let us."""
    arguments, name = action.arguments, action.arguments["name"]
    if arguments["way"] == "systemd" and _set(["hostnamectl", "set-hostname", name], system, arguments["way"]):
        return {}
    if arguments["before"] != name:
        for step in edited.actions(edited.look(arguments["file"], system), name + "\n", mode="0644"):
            edited.write(step, system)
    if arguments["now"] != name:
        _set(["hostname", name], system, "debian")
    return {}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`name`, as it is now."""
    return {"name": state.now}


def _set(argv: List[str], system: System, way: str) -> bool:
    """Whether the program did it; False for a hostnamectl that has nobody to ask, as on a host without D-Bus."""
    try:
        done = system.run(argv, timeout=_DEADLINE)
    except FileNotFoundError:
        if way == "systemd":
            return False
        raise Refusal("cannot run `%s`" % argv[0], "there is no such program on this host", "install it") from None
    said = (done.stderr or done.stdout).strip()
    if done.returncode == 0:
        return True
    if way == "systemd" and ("connect to bus" in said or "not found" in said or "activat" in said):
        return False
    why = "no end within %g s" % _DEADLINE if done.timed_out else said
    raise Refusal("`%s` failed for `%s`" % (argv[0], argv[-1]), why, "")


def _shown(now: str, boot: Optional[str]) -> str:
    return "now: %s\nat boot: %s\n" % (now, "" if boot is None else boot)
