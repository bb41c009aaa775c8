"""The root that environments live under: its folders, `.condarc`, and a base that conda and pip leave alone.

Installs nothing: environments need no conda. A base that is there is frozen, not changed; one that a lock is to hold is
an environment like others (`conda_env` with `frozen: true`), whose conda stands in ROOT/condabin.
"""

from __future__ import annotations

import os
from dataclasses import field
from typing import Any, Dict, List, Optional

from .. import freeze
from ..record import record
from ..resource import Action, Emit, Refusal, Verb
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "observe"]

_FOLDERS = ("", "envs", "pkgs", "conda-meta")


@record(frozen=True)
class Spec:
    """The root's folders, its settings and the freeze of its base environment.

    `condarc`: the whole text of `ROOT/.condarc`; without it the file is left alone. `frozen`: conda (CEP 22) and pip
    (PEP 668) refuse to change base; `message` is what they then say. `environment`: the one that is base, by its name:
    ROOT/condabin is a link to its condabin.

        conda_base:
          root: /opt/conda
          condarc: |
            channels: [conda-forge, nodefaults]
    """

    root: str = "/opt/conda"
    condarc: Optional[str] = None
    frozen: bool = True
    message: str = freeze.MESSAGE
    environment: Optional[str] = None

    def __post_init__(self) -> None:
        if self.environment is not None and (not self.environment or "/" in self.environment):
            raise ValueError("environment: `%s` is no environment's name" % self.environment)
        if not os.path.isabs(self.root) or self.root == "/":
            raise ValueError("root: `%s` is not an absolute path below /" % self.root)


@record(frozen=True)
class State:
    """`folders` that are there; `files`: text of those that matter, None for one that is not there.

    `programs`: what ROOT/condabin is: "" for nothing, the target of a link, or "/" for anything else.
    """

    folders: List[str]
    programs: str = ""
    wrong: List[str] = field(default_factory=list)
    files: Dict[str, Optional[str]] = field(default_factory=dict)


def observe(spec: Spec, system: System) -> State:
    """Look at folders and files; nothing of conda is started."""
    paths = [os.path.join(spec.root, folder) if folder else spec.root for folder in _FOLDERS]
    there = [path for path in paths if os.path.isdir(path)]
    wrong = [path for path in paths if path not in there and system.lstat(path) is not None]
    files = {path: _text(system, path) for path in _wanted(spec, freeze.python_markers(spec.root))}
    return State(there, _programs(spec, system), wrong, files)


def decide(spec: Spec, state: State) -> List[Action]:
    """CREATE or CHANGE of each folder, file and link that is not right; REMOVE of what is not to be there.

    Refusal where something else is in the way.
    """
    if state.wrong:
        raise Refusal("`%s` is no directory" % state.wrong[0], "conda's root needs one there", "move it away")
    paths = [os.path.join(spec.root, folder) if folder else spec.root for folder in _FOLDERS]
    actions = [Action(Verb.CREATE, path, {"folder": True}) for path in paths if path not in state.folders]
    wanted = _wanted(spec, [path for path in state.files if path.endswith("EXTERNALLY-MANAGED")])
    for path, text in wanted.items():
        had = state.files.get(path)
        if text is None and had is not None:
            actions.append(Action(Verb.REMOVE, path, {}, before=had))
        elif text is not None and had != text:
            actions.append(Action(Verb.CREATE if had is None else Verb.CHANGE, path, {"text": text}, had, text))
    return actions + _link_programs(spec, state)


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Make one folder or link, or write or remove one file."""
    if action.arguments.get("folder"):
        system.mkdir(action.target, 0o755)
    elif "link" in action.arguments:
        system.link(action.target, action.arguments["link"])
    elif action.verb is Verb.REMOVE:
        system.unlink(action.target)
    else:
        system.write(action.target, action.arguments["text"].encode(), mode=0o644)
    return {}


def _wanted(spec: Spec, markers: List[str]) -> Dict[str, Optional[str]]:
    """The text of each file that matters, None for one that is not to be there; `markers` are those for pip."""
    marks = freeze.marks(spec.root, markers, spec.message)
    wanted: Dict[str, Optional[str]] = {path: text if spec.frozen else None for path, text in marks.items()}
    if spec.condarc is not None:
        wanted[os.path.join(spec.root, ".condarc")] = spec.condarc
    return wanted


def _programs_place(spec: Spec) -> str:
    # Not bin: a python that is started through a linked folder does not find its library.
    return os.path.join(spec.root, "condabin")


def _programs_target(spec: Spec) -> str:
    return os.path.join("envs", str(spec.environment), "condabin")


def _is_ours(target: str) -> bool:
    """Whether a link of ROOT/condabin leads to an environment's."""
    parts = target.split("/")
    return len(parts) == 3 and parts[0] == "envs" and parts[2] == "condabin"


def _programs(spec: Spec, system: System) -> str:
    path = _programs_place(spec)
    if system.lstat(path) is None:
        return ""
    return system.readlink(path) if os.path.islink(path) else "/"


def _link_programs(spec: Spec, state: State) -> List[Action]:
    """Make, change or remove our link; Refusal where another base has its programs."""
    path, wanted = _programs_place(spec), _programs_target(spec)
    if spec.environment is None:
        return [Action(Verb.REMOVE, path, {}, before=state.programs)] if _is_ours(state.programs) else []
    if state.programs == wanted:
        return []
    if state.programs and not _is_ours(state.programs):
        raise Refusal(
            "`%s` has a base environment of its own" % spec.root,
            "`%s` is not a link of ours, and is never replaced" % path,
            "set `conda_root` to another folder, or leave that base as it is: unset `conda_base_environment`",
        )
    verb = Verb.CHANGE if state.programs else Verb.CREATE
    return [Action(verb, path, {"link": wanted}, state.programs or None, wanted)]


def _text(system: System, path: str) -> Optional[str]:
    try:
        return system.read_text(path)
    except FileNotFoundError:
        return None
