"""Looks at one app: its unit, its process and what that was started with, its port, its health check."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Dict, List, Optional

from .. import app_files, app_found, app_needs, digest, health, ports, processes, unit_text, units
from ..resource import Refusal
from ..resources import app
from ..system import System
from . import traces
from .environments import APPLY
from .finding import Finding, failed, ok, skipped, warning

if TYPE_CHECKING:
    from ..resources.verify_app import Spec

__all__ = ["look"]

_UNIT = "stop that process and run `provision apply`"


def look(spec: Spec, system: System) -> List[Finding]:
    """Every finding of the app."""
    wanted = app.Spec(**spec.app)
    # what other steps of this look would change is not there yet
    system = replace(system, pending=set(), check=False)
    if wanted.state == "adopted":
        process, unlike = app_found.look(app_found.wanted_of(wanted), system)
        if process and not unlike:
            return [warning("apps.unit", "a process that people started serves; no unit keeps it", wanted.name, _UNIT)]
    try:
        state = app.observe(replace(wanted, state="stopped"), system)
        if wanted.state in ("stopped", "absent"):
            return [_stopped(wanted, state)]
        state = replace(state, **app.inputs(wanted, system))
    except Refusal as refusal:
        summary = "%s: %s" % (refusal.summary, refusal.cause.partition("\n")[0])
        return [failed("apps.unit", summary, wanted.name, refusal.hint)]
    if state.unit is None:
        return [failed("apps.unit", "it has no unit", wanted.name, APPLY)]
    files = app.wanted_files(wanted, state)
    running = _state(wanted, state, system)
    found = [*_unit(wanted, state, files), running, *_port(wanted, state, system, running["status"] == "ok")]
    if running["status"] != "ok":
        return found
    found += [*_restarts(spec, wanted, state), *_digest(wanted, state, files)]
    return found + _health(spec, wanted, state, system, found)


def _stopped(wanted: app.Spec, state: app.State) -> Finding:
    now = state.shown.get("ActiveState", "inactive")
    if now in ("inactive", "failed"):
        return ok("apps.state", "it is stopped, as it should be", wanted.name)
    return failed("apps.state", "it is %s, and should be stopped" % now, wanted.name, APPLY)


def _unit(wanted: app.Spec, state: app.State, files: app_files.Files) -> List[Finding]:
    """The app's files, and whether it starts with the host. The digest in the unit is judged where it counts."""
    check, name = "apps.unit", wanted.name
    found = []
    if _without_digest(state.unit or "") != _without_digest(files.unit):
        since, by = traces.of_files("/", [state.unit_path])
        lines = _changed_lines(state.unit or "", files.unit)
        found.append(failed(check, "its unit is not as the playbook says", name, APPLY, since, by=by, lines=lines))
    if state.secrets != files.secrets:
        since, by = traces.of_files("/", [state.secrets_path])
        found.append(failed(check, "its secrets are not the playbook's", name, APPLY, since, by=by))
    if state.script != files.script:
        found.append(warning(check, "its start script is not as the playbook says", name, APPLY))
    if state.shown.get("UnitFileState") != "enabled":
        mend = "`provision apply`, or `sudo systemctl enable %s`" % units.full(name)
        found.append(failed(check, "it does not start with the host: its unit is not enabled", name, mend))
    if state.shown.get("NeedDaemonReload") == "yes":
        found.append(warning(check, "systemd has not read its unit again", name, "`sudo systemctl daemon-reload`"))
    return found or [ok(check, "its unit is as the playbook says", name)]


def _without_digest(text: str) -> str:
    carried = unit_text.digest_of(text)
    return text.replace(carried, "") if carried else text


def _changed_lines(have: str, want: str) -> List[str]:
    """Which settings differ, by their names: their values may be secret."""
    lines = set(_without_digest(have).splitlines()) ^ set(_without_digest(want).splitlines())
    return sorted({"=".join(line.split("=")[: 2 if line.startswith("Environment=") else 1]) for line in lines})


def _state(wanted: app.Spec, state: app.State, system: System) -> Finding:
    check, name, shown = "apps.state", wanted.name, state.shown
    active, sub = shown.get("ActiveState", "unknown"), shown.get("SubState", "unknown")
    since = _changed_at(state, name, system)
    logs = "see `provision app logs %s`" % name
    status = shown.get("ExecMainStatus", "?")
    if active == "active" and sub == "running" and state.pid:
        detail = {"pid": state.pid, "age": int(processes.age(state.pid)), "simulated": state.simulated}
        return ok(check, "it runs", name, **detail)
    if sub == "auto-restart":
        count = shown.get("NRestarts", "?")
        summary = "it ends again and again: %s restarts, last with exit status %s" % (count, status)
        return failed(check, summary, name, logs, since, restarts=count)
    if active == "failed":
        summary = "its unit failed (%s, exit status %s)" % (shown.get("Result", "unknown"), status)
        return failed(check, summary, name, logs + ", then `provision app start %s`" % name, since)
    summary = "it does not run: its unit is %s (%s)" % (active, sub)
    return failed(check, summary, name, "`provision app start %s`" % name, since)


def _changed_at(state: app.State, name: str, system: System) -> Optional[float]:
    """When the unit came into the state that it is in, which only systemd tells."""
    if state.control != "systemctl" or (state.shown.get("ActiveState"), state.pid > 0) == ("active", True):
        return None
    argv = ["systemctl", "show", "--property=StateChangeTimestampMonotonic", "--value", "--", units.full(name)]
    try:
        told = system.run(argv, timeout=20.0).stdout.strip()
        with open("/proc/uptime", encoding="ascii") as file:
            uptime = float(file.read().split()[0])
    except (OSError, ValueError):
        return None
    return time.time() - uptime + int(told) / 1e6 if told.isdigit() and int(told) else None


def _restarts(spec: Spec, wanted: app.Spec, state: app.State) -> List[Finding]:
    count = int(state.shown.get("NRestarts") or 0)
    if count <= spec.restarts:
        return [ok("apps.restarts", "%d restarts" % count, wanted.name, restarts=count)]
    summary = "it was restarted %d times, last %s ago" % (count, _duration(processes.age(state.pid)))
    mend = "see `provision app logs %s`" % wanted.name
    since = time.time() - processes.age(state.pid)
    return [warning("apps.restarts", summary, wanted.name, mend, since, restarts=count)]


def _digest(wanted: app.Spec, state: app.State, files: app_files.Files) -> List[Finding]:
    """What the process was started with against what it should be."""
    check, name = "apps.digest", wanted.name
    if state.carried == files.digest:
        return [ok(check, "its process was started from what is there now", name)]
    if state.carried is None:
        return [failed(check, "its process was not started by its unit", name, APPLY)]
    parts = digest.differing(state.carried, files.digest)
    started = time.time() - processes.age(state.pid)
    newer = [path for path in wanted.configuration if _modified(path) > started]
    summary = "its process was started with another %s" % ", ".join(parts)
    if "configuration" in parts and newer:
        summary += "; %s changed since" % ", ".join("`%s`" % path for path in newer)
    since, by = traces.of_files("/", newer) if newer else (None, [])
    return [failed(check, summary, name, APPLY, since, parts=parts, newer=newer, by=by, started=int(started))]


def _modified(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def _port(wanted: app.Spec, state: app.State, system: System, running: bool) -> List[Finding]:
    check, name, port = "apps.port", wanted.name, wanted.port
    if port is None:
        return []
    holder = app_needs.port_holder(name, port, state.shown, system)
    if holder:
        mend = "stop that process, then `provision app restart %s`" % name
        return [failed(check, "port %d belongs to %s" % (port, holder), name, mend, port=port)]
    if not running:
        return []
    if ports.known(system, port):
        return [ok(check, "it listens on port %d" % port, name, port=port)]
    age, limit = processes.age(state.pid), float(wanted.health.get("start_timeout", 300))
    if age < limit:
        summary = "it starts since %s and does not listen on port %d yet" % (_duration(age), port)
        return [warning(check, summary, name, "look again", time.time() - age, port=port)]
    mend = "see `provision app logs %s`" % name
    return [failed(check, "nothing listens on port %d" % port, name, mend, port=port)]


def _health(spec: Spec, wanted: app.Spec, state: app.State, system: System, found: List[Finding]) -> List[Finding]:
    check, name, path = "apps.health", wanted.name, wanted.health.get("path")
    if not path or wanted.port is None:
        return [skipped(check, "it has no health check", name)]
    if not any(one["check"] == "apps.port" and one["status"] == "ok" for one in found):
        return [skipped(check, "nothing of it listens", name)]
    began = time.monotonic()
    address = ports.reachable(ports.known(system, wanted.port)[0])
    problem = health.judge(health.ask(address, wanted.port, str(path), spec.deadline), _expected(wanted.health))
    url = "http://127.0.0.1:%d%s" % (wanted.port, path)
    if not problem:
        milliseconds = round((time.monotonic() - began) * 1000)
        return [ok(check, "`%s` answers as expected" % url, name, milliseconds=milliseconds)]
    age, limit = processes.age(state.pid), float(wanted.health.get("start_timeout", 300))
    mend = "see `provision app logs %s`, then `provision app restart %s`" % (name, name)
    if age < limit:
        return [warning(check, "it starts since %s: `%s` %s" % (_duration(age), url, problem), name, "look again")]
    return [failed(check, "`%s` %s" % (url, problem), name, mend, url=url)]


def _expected(asked: Dict[str, Any]) -> Any:
    expect = str(asked.get("expect", 200))
    return int(expect) if expect.isdigit() else expect


def _duration(seconds: float) -> str:
    if seconds < 120:
        return "%d s" % seconds
    return "%d min" % (seconds / 60) if seconds < 7200 else "%d h" % (seconds / 3600)
