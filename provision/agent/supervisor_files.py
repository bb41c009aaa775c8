"""Where supervisor and the apps that it keeps have their files on a host without systemd, and what those say.

Must not start or ask anything.
"""

from __future__ import annotations

import os
import shlex
from typing import Dict, List, Optional, Tuple

from .system import System

__all__ = [
    "BINARIES",
    "LOG",
    "LOGS",
    "START",
    "UNITS",
    "enabled",
    "forget_starts",
    "last_exit",
    "log",
    "program",
    "programs",
    "starts",
    "tail",
    "text",
    "unit",
    "wanted",
    "write_program",
]

_HOME = "/opt/provision"
UNITS = _HOME + "/apps"
BINARIES = _HOME + "/bin"
START = BINARIES + "/start-apps"
LOGS = "/var/log/provision"
LOG = LOGS + "/supervisord.log"
_RUN = "/run/provision"
_CONFIGURATION = _HOME + "/supervisor.conf"
_LOGIN = "/etc/profile.d/provision-apps.sh"
_TAIL = 256 * 1024
STARTED = "provision: starts at "
"""How the line begins that run-app logs at every start; seconds since the epoch follow."""

_MAIN = """; Made by provision; the next apply overwrites changes.
[unix_http_server]
file = {run}/supervisor.sock
chmod = 0700
[supervisord]
user = root
directory = /
logfile = {log}
logfile_maxbytes = 10MB
logfile_backups = 2
pidfile = {run}/supervisord.pid
childlogdir = {logs}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl = unix://{run}/supervisor.sock
[include]
files = {units}/*.conf
"""
_PROGRAM = """; Made by provision; the next apply overwrites changes. What runs is said in {name}.service beside this.
[program:{name}]
command = {binaries}/run-app {name}
autostart = {enabled}
autorestart = true
startsecs = 0
stopsignal = TERM
stopwaitsecs = 30
killasgroup = true
redirect_stderr = true
stdout_logfile = {log}
stdout_logfile_maxbytes = 50MB
stdout_logfile_backups = 4
"""
_PROGRAMS = {
    "start-apps": ("Starts supervisor, and with it all apps that are enabled, unless it runs.", "keep.py", ""),
    "run-app": ("Becomes the app of that name, as its unit says; supervisor calls this.", "launch.py", ' "$@"'),
    "supervisorctl": ("Asks and tells supervisor: `supervisorctl status`.", "ask.py", ' "$@"'),
}
_WRAPPER = "#!/bin/sh\n# Made by provision; the next apply overwrites changes.\n# {about}\nexec {argv}{rest}\n"
_AT_LOGIN = """# Made by provision; the next apply overwrites changes.
# There is no systemd here that starts apps at boot: a login of root does, where the container's entry script did not.
if [ "$(id -u)" = 0 ] && [ -x {start} ]; then
  {start} >/dev/null 2>&1 </dev/null || :
fi
"""


def unit(name: str) -> str:
    """The unit of an app: the text that systemd would have."""
    return os.path.join(UNITS, name + ".service")


def program(name: str) -> str:
    """Supervisor's own configuration of an app."""
    return os.path.join(UNITS, name + ".conf")


def log(name: str) -> str:
    """What an app writes to its standard output and error."""
    return os.path.join(LOGS, name + ".log")


def programs(system: System) -> List[str]:
    """The apps that supervisor is to know."""
    if not system.exists(UNITS):
        return []
    return [entry[: -len(".conf")] for entry in system.listdir(UNITS) if entry.endswith(".conf")]


def wanted(system: System, archive: str) -> Dict[str, Tuple[str, int]]:
    """Text and mode of every file that supervisor itself needs, by path; `archive` is the SHA-256 of what is sent."""
    folder = os.path.join(system.state_directory, "tools", archive[:12])
    python = str(system.facts.get("python_path") or "/usr/bin/python3")
    made = {os.path.join(BINARIES, name): (_wrapper(python, folder, *said), 0o755) for name, said in _PROGRAMS.items()}
    made[_CONFIGURATION] = (_MAIN.format(run=_RUN, log=LOG, logs=LOGS, units=UNITS), 0o644)
    made[_LOGIN] = (_AT_LOGIN.format(start=START), 0o644)
    return made


def _wrapper(python: str, folder: str, about: str, program: str, rest: str) -> str:
    argv = [python, "-IS", os.path.join(folder, program)]
    told = {
        "keep.py": [folder, _CONFIGURATION, UNITS, _RUN, LOGS],
        "launch.py": [UNITS, _RUN],
        "ask.py": [folder, _CONFIGURATION],
    }
    words = " ".join(shlex.quote(word) for word in [*argv, *told[program]])
    return _WRAPPER.format(about=about, argv=words, rest=rest)


def write_program(system: System, name: str, *, enabled: bool) -> None:
    """Supervisor's configuration of an app; one that runs is told of it when supervisor starts next."""
    said = _PROGRAM.format(name=name, binaries=BINARIES, log=log(name), enabled="true" if enabled else "false")
    system.write(program(name), said.encode(), mode=0o644, uid=0, gid=0)


def enabled(system: System, name: str) -> str:
    """Whether an app starts by itself, in systemd's word; "" where supervisor does not know it."""
    said = text(system, program(name))
    return "" if not said else "enabled" if "\nautostart = true\n" in said else "disabled"


def starts(system: System, name: str) -> int:
    """How often an app started since somebody last said so; run-app counts."""
    said = text(system, _starts(name))
    return int(said) if said.strip().isdigit() else 0


def forget_starts(system: System, name: str) -> None:
    """Count the starts of an app from zero again."""
    if system.lstat(_starts(name)) is not None:
        system.unlink(_starts(name))


def _starts(name: str) -> str:
    return os.path.join(_RUN, name + ".starts")


def last_exit(name: str) -> str:
    """How an app last ended, as supervisor logged it: an exit status, or the name of a signal."""
    head = " exited: %s (" % name
    line = next((line for line in reversed(tail(LOG, 200)) if head in line), "")
    what = line.partition(head)[2].partition(";")[0]
    return what.replace("exit status ", "").replace("terminated by ", "") or "0"


def tail(path: str, lines: int, since: Optional[float] = None) -> List[str]:
    """The last lines of a log, from the first start on that is not older than `since`."""
    found = _end(path).splitlines()
    if since is not None:
        begins = [at for at, line in enumerate(found) if line.startswith(STARTED) and _time(line) >= int(since)]
        found = found[begins[0] :] if begins else found if not _marked(found) else []
    return found[-lines:]


def _marked(lines: List[str]) -> bool:
    return any(line.startswith(STARTED) for line in lines)


def _time(line: str) -> int:
    word = line[len(STARTED) :].split(" ")[0]
    return int(word) if word.isdigit() else 0


def _end(path: str) -> str:
    """The last part of a file, without the line that it begins in the middle of."""
    try:
        with open(path, "rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(size - _TAIL, 0))
            data = stream.read(_TAIL)
    except OSError:
        return ""
    if size > _TAIL:
        data = data.partition(b"\n")[2]
    return data.decode("utf-8", "replace")


def text(system: System, path: str) -> str:
    """The text of a small file, "" where there is none."""
    try:
        return system.read_text(path)
    except (FileNotFoundError, NotADirectoryError):
        return ""
