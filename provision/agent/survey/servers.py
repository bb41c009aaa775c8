"""Servers that people started: processes that hold a port or a GPU, as apps could say them. Reads only.

Secrets stay here: of a word or variable that is one, only the name is given out.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Set, Tuple

from .. import processes
from . import running, secret

__all__ = ["DROPPED", "HARMFUL", "SHELL", "found"]

SHELL = frozenset(
    (
        *("_", "HOME", "HOSTNAME", "LANG", "LANGUAGE", "LOGNAME", "MAIL", "OLDPWD", "PATH", "PWD", "SHELL", "SHLVL"),
        *("USER", "COLORTERM", "DISPLAY", "EDITOR", "LESSCLOSE", "LESSOPEN", "LS_COLORS", "PS1", "STY", "TERM"),
        *("TERMCAP", "TMUX", "TMUX_PANE", "VISUAL", "WINDOW", "DBUS_SESSION_BUS_ADDRESS", "INVOCATION_ID", "MAINPID"),
        *("JOURNAL_STREAM", "MANAGERPID", "MOTD_SHOWN", "NOTIFY_SOCKET", "SYSTEMD_EXEC_PID", "container"),
        *("CUDA_VISIBLE_DEVICES", "PYTHONNOUSERSITE", "PYTHONUNBUFFERED"),
    )
)
"""What a login, a terminal or systemd sets, and what an app sets by itself."""
_SHELL_BEGINNINGS = (
    "SSH_",
    "XDG_",
    "LC_",
    "CONDA_",
    "_CE_",
    "MAMBA_",
    "SUDO_",
    "container_",
    "BASH_FUNC_",
    "GSETTINGS_",
)
HARMFUL = ("LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH", "PYTHONHOME")
"""Variables that make a program run something else than its environment."""
_LOOPBACK = ("0100007F", "00000000000000000000000001000000")
DROPPED = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
"""Variables that an app sets to this value by itself."""


def found(gpus: Dict[int, List[str]], ours: Iterable[str], proc: str = "/proc") -> List[Dict[str, Any]]:
    """Each server once, with the ports and GPUs of all its processes.

    `gpus`: UUIDs of those that nvidia-smi names, by process. `ours`: units that provision made, whose processes are
    left out.
    """
    listening = running.listening(proc)
    known = set(ours)
    members: Dict[int, Set[int]] = {}
    for pid in sorted({*listening, *gpus}):
        if running.argv(pid, proc) and unit_of(pid, proc) not in known:
            members.setdefault(running.main_of(pid, proc), set()).add(pid)
    return [_server(main, pids, listening, gpus, proc) for main, pids in sorted(members.items())]


def unit_of(pid: int, proc: str = "/proc") -> str:
    """The unit of a service that a process belongs to, "" for one of a login or of nobody's."""
    if proc == "/proc":
        return processes.unit_of(pid) or ""
    return ""


def _server(
    main: int, pids: Set[int], listening: Dict[int, Any], gpus: Dict[int, List[str]], proc: str
) -> Dict[str, Any]:
    program = running.program(main, proc)
    prefix = None if running.contained(main, proc) else running.prefix_of(program)
    words = running.argv(main, proc)
    environment = running.environment(main, proc)
    plain, secrets = secret.variables(_own(environment))
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    sockets = sorted({each for pid in pids for each in listening.get(pid, [])}, key=lambda each: each[1])
    return {
        "pid": main,
        "program": program,
        "prefix": prefix or "",
        "words": [list(pair) for pair in secret.split(running.normal(words, prefix) if prefix else words)],
        "directory": running.directory(main, proc),
        "user": running.user(main, proc),
        "variables": {name: value for name, value in plain.items() if name not in HARMFUL},
        "harmful": {name: value for name, value in plain.items() if name in HARMFUL},
        "secrets": secrets,
        "ports": _ports(sockets),
        "visible": None if visible is None else [part.strip() for part in visible.split(",") if part.strip()],
        "used": sorted({uuid for pid in pids for uuid in gpus.get(pid, [])}),
        "unit": unit_of(main, proc),
        "contained": running.contained(main, proc),
        "started_by": started_by(main, environment, proc),
    }


def _ports(sockets: List[Tuple[str, int]]) -> List[int]:
    """The ports that others can reach; those of the loopback only where there is no other."""
    open_to_all = [port for address, port in sockets if address not in _LOOPBACK]
    return sorted(set(open_to_all or (port for _, port in sockets)))


def started_by(pid: int, environment: Dict[str, str], proc: str = "/proc") -> str:
    """How a process came to run, in a word: systemd, screen, tmux, or by hand (nohup and the like)."""
    unit = unit_of(pid, proc)
    if unit and unit not in ("ssh.service", "sshd.service", "cron.service", "crond.service"):
        return "systemd"
    return "screen" if "STY" in environment else "tmux" if "TMUX" in environment else "hand"


def _own(environment: Dict[str, str]) -> Dict[str, str]:
    """The variables that somebody set for this program."""
    return {
        name: value
        for name, value in environment.items()
        if name not in SHELL
        and not name.startswith(_SHELL_BEGINNINGS)
        and DROPPED.get(name) != value
        and name.isidentifier()
        and name.isascii()
    }
