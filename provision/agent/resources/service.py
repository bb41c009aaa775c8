"""A systemd service's state, with Ansible's meaning of `service` and `systemd_service`."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Dict, List, Optional, Tuple

from .. import systemd, units
from ..record import record
from ..resource import Action, Emit, Refusal, Verb
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe", "questions"]

_STATES = ("started", "stopped", "restarted", "reloaded")
_UP = ("active", "activating", "reloading")


@record(frozen=True)
class Spec:
    """A unit by name; without a suffix it is a service. Without a name systemd itself is reloaded.

    - service:
        name: nvidia-persistenced
        state: started
        enabled: true
    """

    name: str = ""
    state: Optional[str] = None
    enabled: Optional[bool] = None
    daemon_reload: bool = False
    daemon_reexec: bool = False
    masked: Optional[bool] = None

    def __post_init__(self) -> None:
        asks = self.state or self.enabled is not None or self.masked is not None
        if not self.name and (asks or not (self.daemon_reload or self.daemon_reexec)):
            raise ValueError("name is missing")
        if self.name.startswith("-") or any(character in self.name for character in "/ \t\n*?["):
            raise ValueError("%r is no name of a unit" % self.name)
        if self.state is not None and self.state not in _STATES:
            raise ValueError("state is one of %s" % ", ".join(_STATES))


@record(frozen=True)
class State:
    """What systemd shows. `pending`: an earlier step of this check would write the unit."""

    shown: Dict[str, str] = field(default_factory=dict)
    pending: bool = False


def questions(spec: Spec) -> List[Tuple[str, str]]:
    """One `systemctl show` serves all units of a batch."""
    return [("unit", units.full(spec.name))] if spec.name else []


def observe(spec: Spec, system: System) -> State:
    """Ask systemd."""
    units.needs_systemd(system, "service `%s`" % spec.name if spec.name else "reloading systemd")
    if not spec.name:
        return State()
    return State(units.show(system, [spec.name])[spec.name], systemd.path(spec.name) in system.pending)


def decide(spec: Spec, state: State) -> List[Action]:
    """What brings the unit into its state; `restarted` and `reloaded` are done every time. Refusal for no such unit."""
    found = [_action(Verb.RUN, spec, "daemon-reexec")] if spec.daemon_reexec else []
    if not spec.name:
        return found + ([_action(Verb.RUN, spec, "daemon-reload")] if spec.daemon_reload else [])
    is_masked = "masked" in (state.shown.get("LoadState"), state.shown.get("UnitFileState"))
    if spec.masked is not None and spec.masked != is_masked:
        word, now, then = ("mask", "", "masked") if spec.masked else ("unmask", "masked", "")
        found.append(_action(Verb.CHANGE, spec, word, now, then))
    if spec.daemon_reload and state.shown.get("NeedDaemonReload") == "yes":
        found.append(_action(Verb.CHANGE, spec, "daemon-reload"))
    elif state.shown.get("LoadState") == "not-found" and not state.pending and (spec.state or spec.enabled is not None):
        raise Refusal(
            "there is no unit `%s`" % units.full(spec.name),
            "systemd knows none of that name",
            "install what brings it, or look at its name with `systemctl list-unit-files`",
        )
    if spec.enabled is not None and spec.enabled != (
        state.shown.get("UnitFileState") in ("enabled", "enabled-runtime")
    ):
        found += _enabling(spec, state)
    return found + _running(spec, state.shown.get("ActiveState") in _UP)


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """One `systemctl` call."""
    word = action.arguments["do"]
    if word in ("daemon-reload", "daemon-reexec"):
        systemd.control(system, word)
    else:
        systemd.control(system, word, action.arguments["name"])
    return {}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`name`, `state`, `enabled` and `status` (what systemd shows)."""
    up = state.shown.get("ActiveState") in _UP
    enabled = state.shown.get("UnitFileState") in ("enabled", "enabled-runtime")
    return {"name": spec.name, "state": "started" if up else "stopped", "enabled": enabled, "status": state.shown}


def _enabling(spec: Spec, state: State) -> List[Action]:
    now = state.shown.get("UnitFileState", "")
    if now in ("static", "generated", "transient", "indirect", "alias"):
        raise Refusal(
            "`%s` cannot be %s" % (units.full(spec.name), "enabled" if spec.enabled else "disabled"),
            "its unit file is %s" % now,
            "leave `enabled` out",
        )
    if spec.enabled:
        return [_action(Verb.ENABLE, spec, "enable", now, "enabled")]
    return [] if not now else [_action(Verb.CHANGE, spec, "disable", now, "disabled")]


def _running(spec: Spec, up: bool) -> List[Action]:
    if spec.state == "started":
        return [] if up else [_action(Verb.START, spec, "start")]
    if spec.state == "stopped":
        return [_action(Verb.STOP, spec, "stop")] if up else []
    if spec.state == "restarted":
        return [_action(Verb.RESTART, spec, "restart")]
    if spec.state == "reloaded":
        return [_action(Verb.RELOAD, spec, "reload")] if up else [_action(Verb.START, spec, "start")]
    return []


def _action(verb: Verb, spec: Spec, word: str, before: str = "", after: str = "") -> Action:
    shown = [text + "\n" if text else None for text in (before, after)]
    return Action(
        verb, units.full(spec.name) if spec.name else "systemd", {"do": word, "name": spec.name}, shown[0], shown[1]
    )
