"""A reboot that the play survives: asked for here with a delay, awaited by the control node, which comes back.

A record of it stays until somebody has seen the host come back. So when the control node is killed meanwhile, the next
run's step takes that reboot for its own, unless anything was changed on the host since.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any, Dict, List, Optional

from ..record import record
from ..resource import Action, Emit, Refusal, Verb
from ..spawn import Cancelled
from ..system import System

__all__ = ["LEAD", "Spec", "State", "apply", "decide", "fields", "observe", "probe"]

LEAD = 3
"""Seconds from the request to the reboot: enough for the result to arrive and for this agent to end."""
_BOOT = "/proc/sys/kernel/random/boot_id"
_ASKING = 20.0
_PAUSE = 1.0


@record(frozen=True)
class Spec:
    """What people on the host are told, how long it may take until it answers again, and what must hold then.

    - reboot:
        msg: A new driver is loaded
        reboot_timeout: 900
        test_command: nvidia-smi -L

    Times are in seconds. `test_command` runs without a shell, again and again until it succeeds. `since` is the boot
    that has ended: the host is back, and only what must hold then is left.
    """

    msg: str = "Rebooted by provision"
    reboot_timeout: int = 600
    test_command: Optional[str] = None
    pre_reboot_delay: int = 0
    post_reboot_delay: int = 0
    since: Optional[str] = None

    def __post_init__(self) -> None:
        if self.reboot_timeout < 1:
            raise ValueError("reboot_timeout is at least 1 second")
        if self.pre_reboot_delay < 0 or self.post_reboot_delay < 0:
            raise ValueError("a delay is not negative")
        if self.test_command is not None and not _words(self.test_command):
            raise ValueError("test_command is empty")


@record(frozen=True)
class State:
    """The running boot, the record of a reboot that nobody has seen the end of, and whether that has taken place."""

    host: str
    boot: str
    record: Optional[Dict[str, Any]] = None
    happened: bool = False


def observe(spec: Spec, system: System) -> State:
    """Read the boot's id and the record; Refusal where a reboot would not work."""
    boot = system.read_text(_BOOT).strip()
    record = _record(system)
    host = str(system.facts.get("hostname") or "the host")
    if spec.since is None:
        _can_reboot(system)
    happened = record is not None and record.get("boot") != boot and _last_changed(system) == "reboot"
    return State(host, boot, record, happened)


def decide(spec: Spec, state: State) -> List[Action]:
    """Reboot, every time; or take a reboot that an interrupted run asked for as this one."""
    record = state.record or {}
    if spec.since is not None:
        return [Action(Verb.REMOVE, "the record of the reboot", {"do": "forget"})] if state.record else []
    if state.happened:
        told = "the reboot of %s, whose run did not see its end" % record.get("time", "?")
        return [Action(Verb.RUN, told, {"do": "forget"})]
    asked = {"do": "reboot", "boot": state.boot, "msg": spec.msg, "delay": LEAD + spec.pre_reboot_delay}
    return [Action(Verb.REBOOT, state.host, asked)]


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Ask for the reboot, or forget one that has taken place; Refusal when systemd does not take it."""
    path = _path(system)
    if action.arguments["do"] == "forget":
        system.unlink(path)
        return {"rebooted": True}
    system.mkdir(os.path.dirname(path), 0o700)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    system.write(path, json.dumps({"boot": action.arguments["boot"], "time": now}).encode(), mode=0o600)
    try:
        _ask_for(action, system)
    except Refusal:
        system.unlink(path)
        raise
    return {"rebooted": True}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`boot_id`: the boot that runs now."""
    return {"boot_id": state.boot}


def probe(spec: Spec, state: State, system: System, emit: Emit) -> None:
    """Once the host is back: wait as told, and until the test command succeeds; Refusal when it never does."""
    if spec.since is None:
        return
    deadline = time.monotonic() + spec.reboot_timeout
    _sleep(spec.post_reboot_delay, system)
    while spec.test_command is not None:
        why = _tried(spec.test_command, system, max(1.0, deadline - time.monotonic()))
        if not why:
            return
        if time.monotonic() > deadline:
            raise Refusal(
                "`%s` does not succeed after the reboot" % spec.test_command,
                why,
                "look at the host: `systemctl --failed`, `journalctl -b`; or allow more in `reboot_timeout`",
            )
        _sleep(_PAUSE, system)


def _can_reboot(system: System) -> None:
    if system.facts.get("init", "systemd") != "systemd":
        raise Refusal(
            "this host cannot be rebooted from inside",
            "process 1 is not systemd, as in a container: ending it would end the host for good",
            "restart it where it was started, or leave it out with `when: facts.init == 'systemd'`",
        )
    if os.geteuid() != 0:
        raise Refusal("a reboot needs root", "the step runs as uid %d" % os.geteuid(), "give the task `become: true`")


def _ask_for(action: Action, system: System) -> None:
    argv = ["systemd-run", "--quiet", "--unit=provision-reboot", "--timer-property=AccuracySec=100ms"]
    argv += ["--on-active=%ds" % action.arguments["delay"], "--"]
    argv += ["systemctl", "reboot", "--message=" + action.arguments["msg"]]
    done = system.run(argv, timeout=_ASKING)
    if done.returncode != 0:
        why = "no answer within %g s" % _ASKING if done.timed_out else done.stderr.strip()
        raise Refusal("systemd does not take the request for a reboot", why, "look at `systemctl list-jobs`")


def _tried(command: str, system: System, left: float) -> str:
    """Why the command failed, "" when it did not."""
    try:
        done = system.run(_words(command), timeout=min(left, 60.0))
    except FileNotFoundError:
        return "there is no such program on this host"
    if done.returncode == 0:
        return ""
    said = (done.stderr or done.stdout).strip()[-2000:]
    return said or ("it did not end" if done.timed_out else "it ended with exit status %d" % done.returncode)


def _sleep(seconds: float, system: System) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if system.watch.cancelled():
            raise Cancelled
        time.sleep(min(0.2, max(0.0, end - time.monotonic())))


def _words(command: str) -> List[str]:
    import shlex

    return shlex.split(command)


def _path(system: System) -> str:
    return os.path.join(system.state_directory, "journal", "reboot.json")


def _record(system: System) -> Optional[Dict[str, Any]]:
    try:
        found = json.loads(system.read_text(_path(system)))
    except (FileNotFoundError, PermissionError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _last_changed(system: System) -> str:
    """Which resource changed something last, as the host's journal has it."""
    try:
        with open(os.path.join(system.state_directory, "journal", "changes"), "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 65536))
            last = file.read().rstrip(b"\n").rpartition(b"\n")[2]
        return str(json.loads(last.decode()).get("resource"))
    except (OSError, ValueError, AttributeError):
        return ""
