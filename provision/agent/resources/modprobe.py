"""A module of the kernel, loaded or not, now and at boot, with Ansible's meaning of `modprobe`."""

from __future__ import annotations

import os
from dataclasses import field
from typing import Any, Dict, List

from .. import edited
from ..edited import Edited
from ..record import record
from ..resource import Action, Emit, Refusal, Verb
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]

_DEADLINE = 60.0
_LOAD, _OPTIONS = "/etc/modules-load.d", "/etc/modprobe.d"


@record(frozen=True)
class Spec:
    """A module by name.

    - modprobe:
        name: nvidia_uvm
        persistent: present

    `params` are given when it is loaded, and not to one that is. `persistent`: `present` loads it, with its `params`,
    at every boot; `absent` does so no longer; `disabled` leaves that alone.
    """

    name: str
    state: str = "present"
    params: str = ""
    persistent: str = "disabled"

    def __post_init__(self) -> None:
        if not self.name or self.name.startswith("-") or any(sign in self.name for sign in "/ \t\n\0"):
            raise ValueError("%r is no name of a module" % self.name)
        if self.state not in ("present", "absent"):
            raise ValueError("state is one of present, absent")
        if self.persistent not in ("disabled", "present", "absent"):
            raise ValueError("persistent is one of disabled, present, absent")
        if "\n" in self.params or any(word.startswith("-") for word in self.params.split()):
            raise ValueError("params are `NAME=VALUE`, with spaces between")


@record(frozen=True)
class State:
    """Whether it is loaded or built in, and the files that say what is loaded at boot, by path."""

    loaded: bool = False
    load_files: Dict[str, str] = field(default_factory=dict)
    option_files: Dict[str, str] = field(default_factory=dict)
    load_folder: str = _LOAD
    option_folder: str = _OPTIONS


def observe(spec: Spec, system: System) -> State:
    """Read /proc and, where it matters, the two folders."""
    loaded = _loaded(spec.name, system)
    if spec.persistent == "disabled":
        return State(loaded)
    return State(loaded, _files(_LOAD, system), _files(_OPTIONS, system))


def decide(spec: Spec, state: State) -> List[Action]:
    """Load or unload it, and write what is loaded at boot."""
    found, target = [], "module %s" % spec.name
    if spec.state == "present" and not state.loaded:
        found.append(Action(Verb.START, target, {"argv": ["modprobe", spec.name, *spec.params.split()]}))
    if spec.state == "absent" and state.loaded:
        found.append(Action(Verb.STOP, target, {"argv": ["modprobe", "-r", spec.name]}))
    if spec.persistent == "disabled":
        return found
    return found + _at_boot(spec, state)


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Call modprobe(8), or write a file; Refusal when modprobe fails."""
    if "argv" not in action.arguments:
        edited.write(action, system)
        return {}
    try:
        done = system.run(action.arguments["argv"], timeout=_DEADLINE)
    except FileNotFoundError:
        raise Refusal("cannot run `modprobe`", "there is no such program on this host", "install `kmod`") from None
    if done.returncode != 0:
        why = "no end within %g s" % _DEADLINE if done.timed_out else (done.stderr or done.stdout).strip()
        raise Refusal("`modprobe` failed for `%s`" % action.target.partition(" ")[2], why, "see `dmesg` on the host")
    return {}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`name`, `params`, `state`."""
    return {"name": spec.name, "params": spec.params, "state": spec.state}


def _at_boot(spec: Spec, state: State) -> List[Action]:
    """The files as wanted: a line each that is ours to write, and lines elsewhere that contradict it as comments."""
    wants = spec.persistent == "present"
    params = sorted(set(spec.params.split())) if wants else []
    has_load = any(_names(line, spec.name) for text in state.load_files.values() for line in text.splitlines())
    has = sorted({word for text in state.option_files.values() for word in _params(text, spec.name)})
    loads, options = dict(state.load_files), dict(state.option_files)
    if has_load and not wants:
        loads = {path: _without(text, lambda line: _names(line, spec.name)) for path, text in loads.items()}
    if wants and not has_load:
        loads[os.path.join(state.load_folder, spec.name + ".conf")] = spec.name + "\n"
    if has != params:
        options = {path: _without(text, lambda line: bool(_params(line, spec.name))) for path, text in options.items()}
        if params:
            lines = "".join("options %s %s\n" % (spec.name, word) for word in params)
            own = os.path.join(state.option_folder, spec.name + ".conf")
            options[own] = options.get(own, "") + lines
    return _written(state.load_files, loads) + _written(state.option_files, options)


def _written(before: Dict[str, str], after: Dict[str, str]) -> List[Action]:
    return [action for path in sorted(after) for action in edited.actions(Edited(path, before.get(path)), after[path])]


def _without(text: str, wrong: Any) -> str:
    return "".join("#" + line if wrong(line) else line for line in edited.lines_of(text))


def _names(line: str, name: str) -> bool:
    return line.partition("#")[0].partition(";")[0].strip() == name


def _params(text: str, name: str) -> List[str]:
    """The parameters that lines `options NAME ...` of a text set."""
    rows = [line.partition("#")[0].split() for line in text.splitlines()]
    return [word for row in rows if row[:2] == ["options", name] for word in row[2:]]


def _loaded(name: str, system: System) -> bool:
    plain = name.replace("-", "_")
    rows = _read("/proc/modules", system).splitlines()
    if any(row.split(" ", 1)[0] == plain for row in rows):
        return True
    built_in = _read("/lib/modules/%s/modules.builtin" % os.uname().release, system).splitlines()
    names = (os.path.basename(row.strip()).partition(".ko")[0].replace("-", "_") for row in built_in)
    return plain in names


def _read(path: str, system: System) -> str:
    try:
        return system.read_text(path)
    except (FileNotFoundError, NotADirectoryError):
        return ""


def _files(folder: str, system: System) -> Dict[str, str]:
    paths = [os.path.join(folder, name) for name in (system.listdir(folder) if os.path.isdir(folder) else [])]
    return {path: system.read_text(path) for path in paths if os.path.isfile(path)}
