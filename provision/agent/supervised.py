"""Units that supervisor keeps, on a host without systemd (a rented container); must not decide what is wanted.

The unit's text is the same as under systemd. Supervisor runs `run-app NAME`, which reads that text and becomes the
app; so supervisor's own configuration of an app says only its name and whether it starts by itself. The programs are
those of provision/plain, sent along with supervisor. One of the two keepers behind units.py.
"""

from __future__ import annotations

import os
import stat
import time
from typing import Dict, List, Optional, Sequence, Tuple

from . import processes
from . import supervisor_files as files
from . import supervisor_rpc as rpc
from .resource import Refusal
from .system import System

__all__ = [
    "PROGRAM",
    "bring",
    "control",
    "install",
    "log",
    "log_argv",
    "log_place",
    "names",
    "outdated",
    "path",
    "properties",
    "remove",
    "restart",
]

PROGRAM = files.BINARIES + "/supervisorctl"
_STATES = {
    "STOPPED": ("inactive", "dead"),
    "STARTING": ("activating", "start"),
    "RUNNING": ("active", "running"),
    "BACKOFF": ("activating", "auto-restart"),
    "STOPPING": ("deactivating", "stop-sigterm"),
    "EXITED": ("activating", "auto-restart"),
}
"""Supervisor's states as systemd names them; whatever else there is has failed."""
_START_DEADLINE = 30.0
_STOP_DEADLINE = 60.0
_LOOK = 0.1


def path(name: str) -> str:
    """Where the unit of an app lives; `name` without or with its suffix."""
    return files.unit(_bare(name))


def names(system: System) -> List[str]:
    """The apps that have a unit here, sorted."""
    if not system.exists(files.UNITS):
        return []
    return [_bare(entry) for entry in system.listdir(files.UNITS) if entry.endswith(".service")]


def properties(system: System, names: Sequence[str]) -> Dict[str, Dict[str, str]]:
    """What `systemctl show` would say of units, by one question to supervisor where it runs."""
    running = rpc.processes() or {}
    return {name: _shown(system, _bare(name), running.get(_bare(name))) for name in names}


def _shown(system: System, name: str, told: Optional[rpc.Told]) -> Dict[str, str]:
    there = system.lstat(files.unit(name)) is not None
    state = _STATES.get(told.state, ("failed", "failed")) if told else ("inactive", "dead")
    starts = files.starts(system, name)
    return {
        "Id": name + ".service",
        "LoadState": "loaded" if there else "not-found",
        "ActiveState": state[0],
        "SubState": state[1],
        "UnitFileState": files.enabled(system, name),
        "FragmentPath": files.unit(name) if there else "",
        "MainPID": str(told.pid) if told and state[0] != "inactive" else "0",
        "NRestarts": str(max(starts - 1, 0)),
        "ControlGroup": "",
        "Result": "supervisor calls it %s" % told.state if told and state[0] == "failed" else "success",
        "ExecMainStatus": files.last_exit(name),
    }


def install(system: System, name: str, text: str) -> None:
    """Put a unit's text in place, and supervisor's own configuration of it where there is none; what runs goes on."""
    system.mkdir(files.UNITS, 0o755)
    system.write(files.unit(name), text.encode(), mode=0o644, uid=0, gid=0)
    if system.lstat(files.program(name)) is None:
        files.write_program(system, name, enabled=False)


def remove(system: System, name: str) -> None:
    """Take a unit away; supervisor ends with the last one, its own files stay."""
    if rpc.processes() is not None:
        _stop(name)
        rpc.call("removeProcessGroup", name, ignoring=rpc.BAD_NAME)
    for file in (files.program(name), files.unit(name)):
        if system.lstat(file) is not None:
            system.unlink(file)
    files.forget_starts(system, name)
    if not files.programs(system) and rpc.processes() is not None:
        rpc.call("shutdown")


def restart(system: System, name: str) -> None:
    """Start an app afresh from its unit as it is now, with its count of restarts at zero."""
    if not _woken(system):
        _stop(name)
    files.forget_starts(system, name)
    _start(name)


def control(system: System, verb: str, *names: str) -> None:
    """start, stop, enable or disable units; Refusal when supervisor does not come up or says no."""
    for name in names:
        if verb in ("enable", "disable"):
            files.write_program(system, name, enabled=verb == "enable")
        elif verb == "start":
            _woken(system)
            _start(name)
        elif rpc.processes() is not None:
            _stop(name)


def _woken(system: System) -> bool:
    """Start supervisor where it does not run; whether that was needed. It starts all apps that are enabled."""
    if rpc.processes() is not None:
        return False
    begun = time.time()
    try:
        done = system.run([files.START], timeout=_START_DEADLINE)
    except FileNotFoundError:
        raise Refusal(
            "there is no supervisor on this host",
            "`%s` does not exist, and process 1 is not systemd" % files.START,
            "`provision apply` a playbook with the app: it brings supervisor along",
        ) from None
    if done.returncode or rpc.processes() is None:
        lines = [done.stderr.strip(), *files.tail(files.LOG, 10, begun)]
        raise Refusal("supervisor does not start", "\n".join(line for line in lines if line), "see `%s`" % files.LOG)
    return True


def _start(name: str) -> None:
    """Start a program that supervisor may not know yet, in one that is there already: nothing."""
    rpc.call("reloadConfig")
    rpc.call("addProcessGroup", name, ignoring=rpc.ALREADY_ADDED)
    rpc.call("startProcess", name, False, ignoring=rpc.ALREADY_STARTED)


def _stop(name: str) -> None:
    """Stop a program, also one that is between an end and its next start."""
    deadline = time.monotonic() + _STOP_DEADLINE
    while True:
        told = (rpc.processes() or {}).get(name)
        if told is None or told.state == "STOPPED":
            _end_leftovers(name)
            return
        if time.monotonic() > deadline:
            raise Refusal("`%s` does not stop" % name, "supervisor calls it %s" % told.state, "see `%s`" % files.LOG)
        rpc.call("stopProcess", name, True, ignoring=rpc.NOT_RUNNING)
        time.sleep(_LOOK)


def _end_leftovers(name: str) -> None:
    """What an app's main process left behind it ends too, as under systemd (KillMode=mixed)."""
    for pid in processes.of_app(name):
        try:
            os.kill(pid, 9)
        except OSError:
            pass


def log(system: System, name: str, lines: int, since: Optional[float] = None) -> List[str]:  # noqa: ARG001
    """The last lines that an app logged, of its starts since `since` (seconds since the epoch) only."""
    return [line for line in files.tail(files.log(name), lines, since) if line.strip()]


def log_argv(name: str, lines: int, follow: bool) -> List[str]:
    """The command that prints the last lines of an app's log, and with `follow` those that come."""
    how = ["-F"] if follow else []
    return ["tail", "-n", str(lines), *how, "--", files.log(name)]


def log_place(name: str) -> str:
    """Where people find an app's log."""
    return "`%s`" % files.log(name)


def _bare(name: str) -> str:
    return name[: -len(".service")] if name.endswith(".service") else name


def outdated(system: System, archive: str) -> List[Tuple[str, str, str]]:
    """Supervisor's own files that are not as wanted: path, text now ("" for none), wanted text."""
    wanted = files.wanted(system, archive)
    found = [(file, files.text(system, file), text) for file, (text, _) in sorted(wanted.items())]
    return [item for item in found if item[1] != item[2]]


def _need_own(folder: str) -> None:
    """Refusal for a folder, made by others, in which they could change what root runs."""
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
        raise Refusal(
            "`%s` is not trusted" % folder,
            "others than root could change what root runs there",
            "see whose it is; it is to be a directory of root that nobody else may write",
        )


def bring(system: System, archive: str) -> None:
    """Unpack supervisor and write its own files; apps that run go on."""
    from . import tools

    tools.supervisor_directory(system, archive)
    for folder in (files.UNITS, files.BINARIES):
        system.mkdir(folder, 0o755)
    for folder in (os.path.dirname(files.UNITS), files.UNITS, files.BINARIES):
        _need_own(folder)
    system.mkdir(files.LOGS, 0o750)  # what apps say may hold what is not for every user of the host
    for file, (text, mode) in sorted(files.wanted(system, archive).items()):
        system.mkdir(os.path.dirname(file), 0o755)
        system.write(file, text.encode(), mode=mode, uid=0, gid=0)
