"""A parameter of the kernel, in its file and at work, with Ansible's meaning of `sysctl`."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional, Union

from .. import attributes, edited
from ..edited import Edited
from ..record import record
from ..resource import Action, Emit, Refusal, Verb
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]

_DEADLINE = 60.0
_TRUE, _FALSE = ("1", "on", "true", "t", "y", "yes"), ("0", "off", "false", "f", "n", "no")


@record(frozen=True)
class Spec:
    """A parameter and its value.

    - sysctl:
        name: vm.swappiness
        value: "10"
        sysctl_file: /etc/sysctl.d/60-gpu.conf
        sysctl_set: true

    `reload`: the whole file is loaded where its row changed or the value at work differs. `sysctl_set`: the value is
    set itself. `ignoreerrors`: a parameter that this kernel lacks is no error.
    """

    name: str
    value: Optional[Union[str, bool]] = None
    state: str = "present"
    sysctl_file: str = "/etc/sysctl.conf"
    sysctl_set: bool = False
    reload: bool = True
    ignoreerrors: bool = False
    mode: Optional[str] = None
    owner: Optional[str] = None
    group: Optional[str] = None

    def __post_init__(self) -> None:
        name = self.name.strip()
        if not name or name[0] in "-#;/." or any(sign in name for sign in "= \t\n\0") or ".." in name:
            raise ValueError("%r is no name of a parameter" % self.name)
        if self.state not in ("present", "absent"):
            raise ValueError("state is one of present, absent")
        if self.state == "present" and not self.wanted:
            raise ValueError("`value` is missing")
        if "\n" in self.wanted:
            raise ValueError("value is one line")
        if not self.sysctl_file.startswith("/"):
            raise ValueError("sysctl_file is an absolute path")
        attributes.check(self.mode)

    @property
    def wanted(self) -> str:
        """The value as it is written; words for true and false are 1 and 0."""
        if isinstance(self.value, bool):
            return "1" if self.value else "0"
        text = (self.value or "").strip()
        return "1" if text.lower() in _TRUE else "0" if text.lower() in _FALSE else text


@record(frozen=True)
class State:
    """The file, and the value at work, None where this kernel has no such parameter."""

    file: Edited
    now: Optional[str] = None


def observe(spec: Spec, system: System) -> State:
    """Read the file and /proc/sys."""
    return State(edited.look(spec.sysctl_file, system, spec.owner, spec.group), _now(spec.name.strip(), system))


def decide(spec: Spec, state: State) -> List[Action]:
    """The value set, the file written, the file loaded; each only where it is needed."""
    name, target, found = spec.name.strip(), "kernel parameter %s" % spec.name.strip(), []
    differs = spec.state == "present" and (state.now is None or state.now.split() != spec.wanted.split())
    shown = (None if state.now is None else state.now + "\n", spec.wanted + "\n")
    silent = ["-e"] if spec.ignoreerrors else []
    lacking = state.now is None and spec.ignoreerrors
    if spec.sysctl_set and differs and not lacking:
        argv = ["sysctl", *silent, "-w", "%s=%s" % (name, spec.wanted)]
        found.append(Action(Verb.CHANGE, target, {"argv": argv}, *shown))
    rows = edited.actions(state.file, _rewritten(spec, state.file.text or ""), mode=spec.mode)
    loads = bool(rows and rows[0].arguments["do"] == "write") or (differs and not spec.sysctl_set and not lacking)
    if not (spec.reload and loads):
        return found + rows
    argv = ["sysctl", *silent, "-p", spec.sysctl_file]
    if differs and not lacking and not found:
        return [*rows, Action(Verb.CHANGE, target, {"argv": argv}, *shown)]
    return [*found, *rows, Action(Verb.RELOAD, spec.sysctl_file, {"argv": argv})]


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Call sysctl(8), or write the file; Refusal when sysctl fails."""
    if "argv" not in action.arguments:
        edited.write(action, system)
        return {}
    try:
        done = system.run(action.arguments["argv"], timeout=_DEADLINE)
    except FileNotFoundError:
        raise Refusal("cannot run `sysctl`", "there is no such program on this host", "install `procps`") from None
    if done.returncode != 0 or "Invalid argument" in done.stderr or "Read-only file system" in done.stderr:
        why = "no end within %g s" % _DEADLINE if done.timed_out else (done.stderr or done.stdout).strip()
        raise Refusal(
            "`sysctl` failed for `%s`" % action.arguments["argv"][-1],
            why,
            "see that this kernel has the parameter and lets it be set here; a container's kernel often does not",
        )
    return {}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`name`, and its `value` at work."""
    return {"name": spec.name.strip(), "value": state.now}


def _now(name: str, system: System) -> Optional[str]:
    # `/` and `.` stand for each other, whichever comes first being the one between folders
    slash, dot = name.find("/"), name.find(".")
    parts = (
        name.split("/")
        if slash >= 0 and (dot < 0 or slash < dot)
        else [part.replace("/", ".") for part in name.split(".")]
    )
    try:
        return system.read_text(os.path.join("/proc/sys", *parts)).strip()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError):
        return None


def _rewritten(spec: Spec, text: str) -> Optional[str]:
    """The file with the parameter's row as wanted, once; None where it needs no change."""
    name, lines, seen = spec.name.strip(), [], False
    for line in edited.lines_of(text):
        key, sign, value = line.strip().partition("=")
        if not sign or key[:1] in ("#", ";", "") or key.strip() != name:
            lines.append(line)
            continue
        if spec.state == "present" and not seen:
            same = value.strip() == spec.wanted
            lines.append(line if same else "%s=%s\n" % (name, spec.wanted))
        seen = True
    if spec.state == "present" and not seen:
        if lines and not lines[-1].endswith("\n"):
            lines[-1] += "\n"
        lines.append("%s=%s\n" % (name, spec.wanted))
    after = "".join(lines)
    return None if after == text else after
