"""A source of packages as one line of a .list file, with Ansible's meaning of `apt_repository`."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional

from .. import attributes, edited, packages
from ..record import record
from ..resource import Action, Emit, Verb
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]

_KINDS = ("deb", "deb-src")


@record(frozen=True)
class Spec:
    """The line, and in `filename` the name of its file below /etc/apt/sources.list.d, with or without `.list`.

    - apt_repository:
        repo: deb [signed-by=/etc/apt/keyrings/nvidia.asc] https://example.com/debian stable main
        filename: nvidia

    A line that is in any file of apt's is left there; `absent` takes it out of all of them. `update_cache`: the lists
    are fetched after a change.
    """

    repo: str
    state: str = "present"
    filename: Optional[str] = None
    mode: Optional[str] = None
    update_cache: bool = True
    directory: str = "/etc/apt"

    def __post_init__(self) -> None:
        if self.repo.startswith("ppa:"):
            raise ValueError("repo: write a `ppa:` as the `deb` line that it stands for, with its key in `signed-by`")
        if self.state not in ("present", "absent"):
            raise ValueError("state is one of present, absent")
        words = self.repo.split()
        if len(words) < 3 or words[0] not in _KINDS or "\n" in self.repo:
            raise ValueError("repo is one line, `deb URI SUITE COMPONENT...`")
        if self.filename is not None and (not self.filename or self.filename[0] == "." or "/" in self.filename):
            raise ValueError("filename is a name without folders")
        attributes.check(self.mode)

    @property
    def line(self) -> str:
        """The line as apt's files have it."""
        return " ".join(self.repo.split())

    @property
    def path(self) -> str:
        """The file that a new line goes to."""
        name = self.filename or _suggested(self.line)
        return "%s/sources.list.d/%s" % (self.directory, name if name.endswith(".list") else name + ".list")


@record(frozen=True)
class State:
    """`texts`: those of the files that have the line, by path; `own`: what is known of the file for a new one."""

    texts: Dict[str, edited.Edited]
    own: edited.Edited


def observe(spec: Spec, system: System) -> State:
    """Read apt's files."""
    folder = spec.directory + "/sources.list.d"
    names = [name for name in system.listdir(folder) if name.endswith(".list")] if os.path.isdir(folder) else []
    paths = [spec.directory + "/sources.list", *(os.path.join(folder, name) for name in names)]
    looked = {path: edited.look(path, system) for path in paths if os.path.isfile(path)}
    having = {path: seen for path, seen in looked.items() if any(_is(spec, line) for line in _lines(seen))}
    return State(having, looked.get(spec.path) or edited.look(spec.path, system))


def decide(spec: Spec, state: State) -> List[Action]:
    """Nothing, or the file with its line, or without it; then the lists are fetched."""
    if spec.state == "absent":
        found = [action for seen in state.texts.values() for action in _without(spec, seen)]
    elif state.texts:
        found = edited.actions(state.own, None, mode=spec.mode) if spec.path in state.texts else []
    else:
        text = state.own.text or ""
        glue = "" if not text or text.endswith("\n") else "\n"
        found = edited.actions(state.own, text + glue + spec.line + "\n", mode=spec.mode)
    changed = any(action.arguments["do"] != "attributes" for action in found)
    fetch = [Action(Verb.FETCH, "package lists", {"do": "update"}, must_finish=True)]
    return [*found, *(fetch if changed and spec.update_cache else [])]


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Write or remove the file, or fetch the lists; Refusal where apt cannot, the line stays then."""
    if action.arguments["do"] == "update":
        packages.apt(system, ["update"], emit)
        system.notes["packages_changed"] = True
    elif action.arguments["do"] == "unlink":
        edited.remove(action.target, action.before, system)
    else:
        return edited.write(action, system)
    return {}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`repo`, `state`, and the files that have the line in `sources`."""
    return {"repo": spec.repo, "state": spec.state, "sources": sorted(state.texts)}


def _without(spec: Spec, seen: edited.Edited) -> List[Action]:
    """A file that holds nothing else goes."""
    rest = [line for line in _lines(seen) if not _is(spec, line)]
    if any(line.strip() for line in rest) or os.path.basename(seen.path) == "sources.list":
        return edited.actions(seen, "".join(rest))
    return [Action(Verb.REMOVE, seen.path, {"do": "unlink"}, seen.text)]


def _lines(seen: edited.Edited) -> List[str]:
    return edited.lines_of(seen.text or "")


def _is(spec: Spec, line: str) -> bool:
    return " ".join(line.partition("#")[0].split()) == spec.line


def _suggested(line: str) -> str:
    """Of the address, as Ansible names the file: letters and digits, `_` between."""
    words = [word for word in _unbracketed(line).split() if word not in _KINDS]
    address = words[0].partition("://")[2] or words[0]
    plain = "".join(c if c.isascii() and c.isalnum() else " " for c in address.rpartition("@")[2])
    return "_".join(plain.split())


def _unbracketed(line: str) -> str:
    before, bracket, rest = line.partition("[")
    return before + rest.partition("]")[2] if bracket else line
