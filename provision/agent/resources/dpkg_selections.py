"""What dpkg is to do with packages at the next upgrade, with Ansible's meaning of `dpkg_selections`."""

from __future__ import annotations

from typing import Any, Dict, List

from ..record import record
from ..resource import Action, Emit, Refusal, Verb
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]

_SELECTIONS = ("install", "hold", "deinstall", "purge")
_DEADLINE = 60.0


@record(frozen=True)
class Spec:
    """A package and its selection: install, hold, deinstall or purge.

    - dpkg_selections:
        name: libcudnn8
        selection: hold

    `package` with `hold: true` installs a version and holds it in one task.
    """

    name: str
    selection: str

    def __post_init__(self) -> None:
        if not self.name[:1].isalnum() or not all(c.isalnum() or c in "+-.:" for c in self.name):
            raise ValueError("%r is no name of a package" % self.name)
        if self.selection not in _SELECTIONS:
            raise ValueError("selection is one of %s" % ", ".join(_SELECTIONS))


@record(frozen=True)
class State:
    """`selection`: what dpkg says, "not present" for a package that it does not know."""

    selection: str = "not present"


def observe(spec: Spec, system: System) -> State:
    """Ask dpkg; Refusal where there is none."""
    done = _dpkg(system, "--get-selections", spec.name)
    found = [line.split() for line in done.stdout.splitlines()]
    return next((State(words[-1]) for words in found if len(words) == 2), State())


def decide(spec: Spec, state: State) -> List[Action]:
    """Nothing, or one call of dpkg."""
    if state.selection == spec.selection:
        return []
    before, after = "%s\n" % state.selection, "%s\n" % spec.selection
    arguments = {"name": spec.name, "selection": spec.selection}
    return [Action(Verb.CHANGE, "selection of %s" % spec.name, arguments, before, after, must_finish=True)]


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Set the selection; Refusal when dpkg does not take it."""
    line = "%s %s\n" % (action.arguments["name"], action.arguments["selection"])
    done = _dpkg(system, "--set-selections", stdin=line.encode())
    if done.returncode != 0 or "warning" in done.stderr:
        raise Refusal(
            "dpkg does not take the selection of `%s`" % action.arguments["name"],
            done.stderr.strip(),
            "it knows packages that are installed or in its lists (`dpkg --update-avail`)",
        )
    return {}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`name` and `selection`."""
    return {"name": spec.name, "selection": state.selection}


def _dpkg(system: System, *words: str, stdin: bytes = b"") -> Any:
    try:
        return system.run(["dpkg", *words], timeout=_DEADLINE, stdin=stdin)
    except FileNotFoundError:
        raise Refusal(
            "packages cannot be held on this host",
            "there is no `dpkg`: only Debian's and Ubuntu's packages are supported",
            "leave this host out",
        ) from None
