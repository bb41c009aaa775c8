"""The root that environments live under: its folders, `.condarc`, and a base that conda and pip leave alone.

Installs no conda: environments need none. Where a base is there, it is frozen, not changed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

from ..resource import Action, Emit, Refusal, Verb
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "observe"]

_FOLDERS = ("", "envs", "pkgs", "conda-meta")


@dataclass(frozen=True)
class Spec:
    """The root's folders, its settings and the freeze of its base environment.

    `condarc`: the whole text of `ROOT/.condarc`; without it the file is left alone. `frozen`: conda (CEP 22) and pip
    (PEP 668) refuse to change base; `message` is what they then say.

        conda_base:
          root: /opt/conda
          condarc: |
            channels: [conda-forge, nodefaults]
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 (pydantic reads it from the class)

    root: str = "/opt/conda"
    condarc: Optional[str] = None
    frozen: bool = True
    message: str = "base is managed by provision; work in an environment of your own: conda create -n NAME"

    def __post_init__(self) -> None:
        if not os.path.isabs(self.root) or self.root == "/":
            raise ValueError("root: `%s` is not an absolute path below /" % self.root)


@dataclass(frozen=True)
class State:
    """`folders` that are there; `files`: text of those that matter, None for one that is not there."""

    folders: List[str]
    wrong: List[str] = field(default_factory=list)
    files: Dict[str, Optional[str]] = field(default_factory=dict)


def observe(spec: Spec, system: System) -> State:
    """Look at folders and files; nothing of conda is started."""
    paths = [os.path.join(spec.root, folder) if folder else spec.root for folder in _FOLDERS]
    there = [path for path in paths if os.path.isdir(path)]
    wrong = [path for path in paths if path not in there and system.lstat(path) is not None]
    files = {path: _text(system, path) for path in _wanted(spec, _markers(spec.root))}
    return State(there, wrong, files)


def decide(spec: Spec, state: State) -> List[Action]:
    """CREATE or CHANGE of each folder and file that is not right; REMOVE of markers where base is not to be frozen."""
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
    return actions


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Make one folder, or write or remove one file."""
    if action.arguments.get("folder"):
        system.mkdir(action.target, 0o755)
    elif action.verb is Verb.REMOVE:
        system.unlink(action.target)
    else:
        system.write(action.target, action.arguments["text"].encode(), mode=0o644)
    return {}


def _markers(root: str) -> List[str]:
    """Where base's own pythons look for EXTERNALLY-MANAGED."""
    folder = os.path.join(root, "lib")
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    pythons = [name for name in names if name.startswith("python3.") and os.path.isdir(os.path.join(folder, name))]
    return [os.path.join(folder, name, "EXTERNALLY-MANAGED") for name in pythons]


def _wanted(spec: Spec, markers: List[str]) -> Dict[str, Optional[str]]:
    frozen = '{"message": "%s"}\n' % spec.message.replace("\\", "\\\\").replace('"', '\\"')
    managed = "[externally-managed]\nError=%s\n" % spec.message
    wanted: Dict[str, Optional[str]] = {
        os.path.join(spec.root, "conda-meta", "frozen"): frozen if spec.frozen else None,
        **dict.fromkeys(markers, managed if spec.frozen else None),
    }
    if spec.condarc is not None:
        wanted[os.path.join(spec.root, ".condarc")] = spec.condarc
    return wanted


def _text(system: System, path: str) -> Optional[str]:
    try:
        return system.read_text(path)
    except FileNotFoundError:
        return None
