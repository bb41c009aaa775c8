"""Many files and directories below one path, as `copy` of a directory brings them; what else is there stays.

Each is looked at, decided and made as the resource `file` does it. No word of its own in a playbook.
"""

from __future__ import annotations

import os
from dataclasses import field, replace
from typing import Any, Dict, List, Optional

from ..record import record
from ..resource import Action, Emit
from ..system import System
from . import file

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]


@record(frozen=True)
class Spec:
    """What is to be below `path`: directories, and the SHA-256 of the content of each file, by relative path.

    `modes` are those of files that differ from `mode`; `links` are links by their text.
    """

    path: str
    folders: List[str] = field(default_factory=list)
    files: Dict[str, str] = field(default_factory=dict)
    modes: Dict[str, str] = field(default_factory=dict)
    links: Dict[str, str] = field(default_factory=dict)
    mode: Optional[str] = None
    directory_mode: Optional[str] = None
    owner: Optional[str] = None
    group: Optional[str] = None
    force: bool = True
    backup: bool = False
    validate: Optional[str] = None

    def __post_init__(self) -> None:
        for part in [*self.folders, *self.files, *self.links]:
            if part.startswith("/") or ".." in part.split("/"):
                raise ValueError("%r leads out of the directory" % part)
        for spec in self.parts():
            spec.__post_init__()

    def parts(self) -> List[file.Spec]:
        """Directories first, then files; a directory that is there keeps its mode unless one is asked for."""
        owned: Dict[str, Any] = {"owner": self.owner, "group": self.group}
        found = [
            file.Spec(_joined(self.path, part), "directory", self.directory_mode, **owned)
            for part in ["", *sorted(self.folders)]
        ]
        kept: Dict[str, Any] = {"force": self.force, "backup": self.backup, "validate": self.validate, **owned}
        for part, sha256 in sorted(self.files.items()):
            mode = self.modes.get(part, self.mode)
            found.append(file.Spec(_joined(self.path, part), "file", mode, content_blob=sha256, **kept))
        return found


@record(frozen=True)
class State:
    """Of each part, in their order; `links`: text of the link that is there, "" for none."""

    parts: List[file.State]
    links: Dict[str, str] = field(default_factory=dict)


def observe(spec: Spec, system: System) -> State:
    """Look at each; a directory that this step makes counts as there."""
    made = {_joined(spec.path, part) for part in ["", *spec.folders]}
    states = [file.observe(part, system) for part in spec.parts()]
    states = [
        replace(state, parent="pending") if state.parent == "missing" and os.path.dirname(state.path) in made else state
        for state in states
    ]
    places = {part: _joined(spec.path, part) for part in spec.links}
    links = {part: system.readlink(place) if os.path.islink(place) else "" for part, place in places.items()}
    return State(states, links)


def decide(spec: Spec, state: State) -> List[Action]:
    """All that differs."""
    found = [action for part, seen in zip(spec.parts(), state.parts) for action in file.decide(part, seen)]
    from ..resource import Verb

    for part, text in sorted(spec.links.items()):
        now = state.links.get(part, "")
        if now != text:
            verb, before = (Verb.CHANGE, "-> %s\n" % now) if now else (Verb.CREATE, None)
            found.append(Action(verb, _joined(spec.path, part), {"do": "link", "to": text}, before, "-> %s\n" % text))
    return found


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """As `file` does it; links never replace data."""
    if action.arguments["do"] == "link":
        system.link(action.target, action.arguments["to"])
        return {}
    return file.apply(action, system, emit)


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`dest`."""
    return {"dest": spec.path, "path": spec.path, "state": "directory"}


def _joined(path: str, part: str) -> str:
    return os.path.join(path.rstrip("/") or "/", part) if part else path.rstrip("/") or "/"
