"""A service that runs in a conda environment, as a unit of its own that systemd or supervisor keeps.

Owns what an app is and when it is right: the *running process* carries the digest of the wanted inputs, its unit is
enabled, its port belongs to it and its health check answers. How it is started and watched is in serving.py, what
its files say in app_files.py. Never removes data.
"""

from __future__ import annotations

import os
from dataclasses import field
from typing import Any, Dict, List, Optional, Tuple, Union

from .. import (
    app_files,
    app_found,
    app_needs,
    app_script,
    checkout,
    digest,
    generations,
    hardening,
    ports,
    processes,
    serving,
    unit_text,
    units,
)
from ..record import record
from ..resource import Action, Emit, Refusal, Verb
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "inputs", "observe", "questions", "wanted_files"]

_STATES = ("started", "adopted", "stopped", "absent")
_HEALTH = {
    "path": str,
    "expect": (int, str),
    "start_timeout": (int, float),
    "interval": (int, float),
    "settle": (int, float),
}


@record(frozen=True)
class Spec:
    """What runs where, and when it counts as healthy.

    - app:
        name: img2video
        environment: img2video-torch20-cu118
        directory: /root/Image-to-Video
        command: [python, gradio_app.py, --port, "7860"]
        port: 7860
        gpus: ["0"]
        variables: {GRADIO_ANALYTICS_ENABLED: "False"}
        secrets: {HF_TOKEN: "{{ hf_token }}"}
        health: {path: /, expect: 200, start_timeout: 300, interval: 0.5, settle: 15}
        hardening: {writable: [/scratch], shared_tmp: true}

    `lock`: the environment's lock whose newest generation is used, None for what the link points at. The command's
    first word without a slash is a program of the environment. `gpus`: indexes, UUIDs, [] for none or ["all"].
    `code`: a git checkout whose commit restarts the app (default: none), `configuration`: files whose content does.
    `data`: paths whose mounts the app needs, and which it may write. `hardening`: what it may do beyond what apps may.
    `supervisor_blob`: what keeps apps on a host without systemd.
    `state`: `adopted` leaves a process alone that people started and that is what this says; without one, `started`.
    """

    name: str
    environment: str = ""
    directory: str = ""
    command: List[str] = field(default_factory=list)
    root: str = "/opt/conda"
    lock: Optional[str] = None
    user: str = "root"
    port: Optional[int] = None
    gpus: List[Union[int, str]] = field(default_factory=list)
    share_gpus: bool = False
    variables: Dict[str, Union[int, float, str]] = field(default_factory=dict)
    secrets: Dict[str, str] = field(default_factory=dict)
    code: Optional[str] = None
    configuration: List[str] = field(default_factory=list)
    data: List[str] = field(default_factory=list)
    health: Dict[str, Union[int, float, str]] = field(default_factory=dict)
    hardening: Dict[str, Union[bool, List[str]]] = field(default_factory=dict)
    script_directory: Optional[str] = None
    supervisor_blob: Optional[str] = None
    state: str = "started"

    def __post_init__(self) -> None:
        if (
            not self.name
            or not all(c.isascii() and (c.isalnum() or c in "-_.") for c in self.name)
            or self.name[0] in "-."
        ):
            raise ValueError("name %r: letters, digits, `-`, `_` and `.` make the name of a unit" % self.name)
        if self.state not in _STATES:
            raise ValueError("state is one of %s" % ", ".join(_STATES))
        if self.state in ("started", "adopted"):
            _check_started(self)


def _check_started(spec: Spec) -> None:
    for key in ("environment", "directory", "command"):
        if not getattr(spec, key):
            raise ValueError("`%s` is missing" % key)
    paths = {"directory": spec.directory, "code": spec.code, "script_directory": spec.script_directory}
    paths.update({"configuration %r" % path: path for path in spec.configuration})
    paths.update({"data %r" % path: path for path in spec.data})
    for key, path in paths.items():
        if path is not None and not path.startswith("/"):
            raise ValueError("%s is an absolute path" % key)
    if spec.port is not None and not 0 < spec.port < 65536:
        raise ValueError("port is a number from 1 to 65535")
    for name in [*spec.variables, *spec.secrets]:
        if not name.isidentifier() or not name.isascii():
            raise ValueError("%r is no name of a variable" % name)
    if "all" in spec.gpus and len(spec.gpus) > 1:
        raise ValueError("gpus: `all` stands alone")
    _check_health(spec)
    hardening.check(spec.hardening)


def _check_health(spec: Spec) -> None:
    for key, value in spec.health.items():
        if key not in _HEALTH:
            raise ValueError("health: unknown key `%s`; it knows %s" % (key, ", ".join(_HEALTH)))
        if not isinstance(value, _HEALTH[key]):  # type: ignore[arg-type]
            raise ValueError("health: a wrong `%s`" % key)
    path = str(spec.health.get("path", "/"))
    if not path.startswith("/") or any(ord(character) <= 32 for character in path):
        raise ValueError("health: path starts with a slash and has no spaces")
    if "path" in spec.health and spec.port is None:
        raise ValueError("health: a path needs the app's port")


@record(frozen=True)
class State:
    """What was found. Texts are None where there is no such file; `generation` is None while it is not built yet.

    `problem`: the app judged by the unit that is there. `holder`: who else listens on the port, in words.
    `pending`: inputs that earlier steps of this check would change. `control`: the program by which people start it.
    `keeper`: files of supervisor itself that are not as wanted: path, text now, wanted text. `adopted`: the process
    that people started; `unlike`: how one that has the port is not what the spec says.
    """

    generation: Optional[str] = None
    activation: Dict[str, str] = field(default_factory=dict)
    key: bytes = b""
    code: Optional[str] = None
    configuration: Dict[str, str] = field(default_factory=dict)
    unit: Optional[str] = None
    unit_path: str = ""
    script: Optional[str] = None
    secrets: Optional[str] = None
    secrets_path: str = ""
    shown: Dict[str, str] = field(default_factory=dict)
    pid: int = 0
    carried: Optional[str] = None
    age: float = 0.0
    home: str = ""
    minors: Optional[List[int]] = field(default_factory=list)
    gpu_count: int = 0
    problem: str = ""
    holder: Optional[str] = None
    simulated: bool = False
    pending: List[str] = field(default_factory=list)
    control: str = "systemctl"
    keeper: List[Tuple[str, str, str]] = field(default_factory=list)
    adopted: int = 0
    unlike: List[str] = field(default_factory=list)


def questions(spec: Spec) -> List[Tuple[str, str]]:
    """One question to their keeper, and one to the kernel, serve all apps of a batch."""
    asked = [("unit", units.full(spec.name))]
    return [*asked, ("port", str(spec.port))] if spec.port else asked


def observe(spec: Spec, system: System) -> State:
    """Files, process, port and health of the app. Refusal where it cannot run on this host at all."""
    unlike: List[str] = []
    if spec.state == "adopted":
        process, unlike = app_found.look(app_found.wanted_of(spec), system)
        if process and not unlike:
            return State(pid=process, adopted=process)
    shown, unit_path = units.show(system, [spec.name])[spec.name], units.path(system, spec.name)
    unit, secrets_path = _text(system, unit_path), _secrets_path(spec, system)
    app_needs.need_own_unit(spec.name, unit_path, unit, shown)
    pid = int(shown.get("MainPID") or 0)
    common: Dict[str, Any] = {
        "unit": unit,
        "unit_path": unit_path,
        "script": _text(system, _script_path(spec)) if spec.directory or spec.script_directory else None,
        "secrets": _text(system, secrets_path),
        "secrets_path": secrets_path,
        "shown": shown,
        "pid": pid,
        "carried": processes.environment(pid).get(digest.VARIABLE) if pid else None,
    }
    if spec.state in ("stopped", "absent"):
        return State(**common)
    return State(**common, unlike=unlike, **inputs(spec, system), **_serving(spec, unit, shown, pid, system))


def inputs(spec: Spec, system: System) -> Dict[str, Any]:
    """What the app's files are made of, as fields of a State. Refusal where something that it needs is not there."""
    app_needs.need_user_and_directory(spec.name, spec.user, spec.directory, system)
    app_needs.need_gpus(spec.name, spec.gpus, system.facts.get("gpu") or {})
    generation = app_needs.find_generation(spec.name, spec.root, spec.environment, spec.lock, system)
    watched = [path for path in (spec.directory, spec.code) if path] + list(spec.configuration)
    devices = (system.facts.get("gpu") or {}).get("devices") or []
    return {
        "home": app_needs.home_of(spec.user),
        "minors": None if spec.gpus == ["all"] else hardening.minors(spec.gpus, devices),
        "gpu_count": len(devices),
        "generation": generation.path if generation else None,
        "activation": generations.variables(system, generation) if generation else {},
        "key": digest.load_key(system),
        "simulated": bool(spec.gpus and (system.facts.get("gpu") or {}).get("simulated"))
        or bool(generation and generations.simulated(system, generation.path)),
        "control": units.control_program(system),
        "keeper": units.outdated(system, spec.supervisor_blob) if spec.supervisor_blob else [],
        "code": checkout.head(spec.code) if spec.code else None,
        "configuration": {path: app_needs.file_hash(path, system) for path in spec.configuration},
        "pending": [path for path in watched if path in system.pending] if system.check else [],
    }


def _problem(wanted: serving.Expectation, shown: Dict[str, str], system: System) -> str:
    def listeners(port: int) -> List[ports.Listener]:
        asked: Optional[List[ports.Listener]] = system.answers.get(("port", str(port)))
        return ports.listeners(port) if asked is None else asked

    system.watch.flush()
    return serving.look(wanted, shown, listeners=listeners).problem


def _serving(spec: Spec, unit: Optional[str], shown: Dict[str, str], pid: int, system: System) -> Dict[str, Any]:
    found: Dict[str, Any] = {"age": processes.age(pid) if pid else 0.0}
    found["problem"] = _problem(serving.expectation(spec.name, unit), shown, system) if unit else "it has no unit"
    if found["problem"] and spec.port:
        found["holder"] = app_needs.port_holder(spec.name, spec.port, shown, system)
    return found


def decide(spec: Spec, state: State) -> List[Action]:
    """What is to be done until the wanted digest runs and serves. Refusal where somebody else has the port."""
    if spec.state == "absent":
        return _absent(spec, state)
    if spec.state == "stopped":
        return _stopped(spec, state)
    if state.adopted:
        return []
    if state.holder:
        raise Refusal(
            "app `%s` cannot have port %d" % (spec.name, spec.port or 0),
            "\n".join(["the port belongs to %s" % state.holder, *state.unlike]),
            "stop that process, or give the app another `port`",
        )
    if spec.state == "adopted":
        app_found.need_secrets(spec.name, spec.secrets)
    if state.generation is None:
        return [*_keeper_actions(spec, state), _predicted(spec, state)]
    app_script.need_own(spec.name, _script_path(spec), state.script)
    wanted = wanted_files(spec, state)
    files = [*_keeper_actions(spec, state), *_file_actions(spec, state, wanted)]
    if state.pending and state.unit is not None and state.unit == wanted.unit:
        files.append(_unit_foretold(state))
    actions = [*files, *_process_actions(spec, state, wanted)]
    if state.shown.get("UnitFileState") != "enabled":
        actions.append(Action(Verb.ENABLE, "unit of %s" % spec.name, {"do": "enable", "name": spec.name}))
    return actions


def wanted_files(spec: Spec, state: State) -> app_files.Files:
    """The files that make the app what the spec says, on the generation that was found."""
    return app_files.files(
        app_files.Inputs(
            name=spec.name,
            environment=spec.environment,
            link=generations.link_path(spec.root, spec.environment),
            generation=state.generation or "",
            activation=state.activation,
            command=spec.command,
            directory=spec.directory,
            user=spec.user,
            port=spec.port,
            gpus=[str(gpu) for gpu in spec.gpus],
            variables={key: str(value) for key, value in spec.variables.items()},
            secrets=spec.secrets,
            secrets_path=state.secrets_path,
            mounts=spec.data,
            health=spec.health,
            code=state.code,
            configuration=state.configuration,
            key=state.key,
            control=state.control,
            home=state.home,
            hidden=[os.path.dirname(os.path.dirname(state.secrets_path))],
            minors=state.minors,
            gpu_count=state.gpu_count,
            hardening=spec.hardening,
        )
    )


def _predicted(spec: Spec, state: State) -> Action:
    before = None if state.unit is None else "generation: %s\n" % unit_text.facts_of(state.unit).get("Generation", "?")
    after = "generation: the one of lock %s, known after apply\n" % (spec.lock or "")[:12]
    return Action(
        Verb.CHANGE if state.unit else Verb.START, _target(spec.name), {"do": "nothing"}, before, after, unknown=True
    )


def _unit_foretold(state: State) -> Action:
    """The unit names what the app is started with, which an earlier step of this check would change."""
    after = "with another digest, of %s as changed\n" % ", ".join(state.pending)
    return Action(Verb.CHANGE, state.unit_path, {"do": "nothing"}, "as it is\n", after)


def _keeper_actions(spec: Spec, state: State) -> List[Action]:
    """Supervisor is brought, or its own files are changed, in one action; what runs goes on."""
    if not state.keeper:
        return []
    arguments = {"do": "bring", "archive": spec.supervisor_blob}
    if not any(before for _, before, _ in state.keeper):
        paths = "".join(path + "\n" for path, _, _ in state.keeper)
        return [Action(Verb.INSTALL, units.SUPERVISOR, arguments, None, paths)]
    before, after = ("".join(item[side] for item in state.keeper) for side in (1, 2))
    return [Action(Verb.CHANGE, units.SUPERVISOR, arguments, before, after)]


def _file_actions(spec: Spec, state: State, wanted: app_files.Files) -> List[Action]:
    found = []
    if state.secrets != wanted.secrets:
        found.append(_file(spec, "secrets", state.secrets_path, state.secrets, wanted.secrets))
    if state.unit != wanted.unit:
        found.append(_file(spec, "unit", state.unit_path, state.unit, wanted.unit))
    if state.script != wanted.script:
        found.append(_file(spec, "script", _script_path(spec), state.script, wanted.script))
    return found


def _file(spec: Spec, kind: str, path: str, before: Optional[str], after: Optional[str]) -> Action:
    verb = Verb.CREATE if before is None else Verb.REMOVE if after is None else Verb.CHANGE
    arguments = {
        "do": "write" if after is not None else "remove",
        "kind": kind,
        "path": path,
        "text": after,
        "name": spec.name,
    }
    if kind == "secrets":
        return Action(verb, path, arguments, _veiled(before), _veiled(after))
    return Action(verb, path, arguments, before, after)


def _process_actions(spec: Spec, state: State, wanted: app_files.Files) -> List[Action]:
    right = state.pid != 0 and state.carried == wanted.digest
    if right and not state.problem and not state.pending:
        return []
    timeout = float(spec.health.get("start_timeout", 300))
    starting = right and state.age < timeout and not state.pending
    served = state.unit if state.unit and state.pid and unit_text.digest_of(state.unit) == state.carried else None
    arguments = {
        "do": "serve",
        "name": spec.name,
        "text": wanted.unit,
        "restart": not starting,
        "previous": served,
        "environment": spec.environment,
        "root": spec.root,
        "generation": state.generation,
    }
    if not state.pid or starting:
        return [Action(Verb.START, _target(spec.name), arguments, after="serves" if starting else None)]
    before, after = _difference(state, wanted)
    return [Action(Verb.CHANGE, _target(spec.name), arguments, before, after)]


def _difference(state: State, wanted: app_files.Files) -> Tuple[str, str]:
    if state.pending:
        return "started before the change of %s\n" % ", ".join(state.pending), "started after it\n"
    parts = digest.differing(state.carried, wanted.digest)
    if not parts:
        return "does not serve: %s\n" % state.problem, "serves\n"
    return "started with another %s\n" % ", ".join(parts), "started with the wanted %s\n" % ", ".join(parts)


def _stopped(spec: Spec, state: State) -> List[Action]:
    found = []
    if state.shown.get("ActiveState") in ("active", "activating", "reloading"):
        found.append(Action(Verb.STOP, _target(spec.name), {"do": "stop", "name": spec.name}))
    if state.shown.get("UnitFileState") == "enabled":
        found.append(
            Action(
                Verb.CHANGE, "unit of %s" % spec.name, {"do": "disable", "name": spec.name}, "enabled\n", "disabled\n"
            )
        )
    return found


def _absent(spec: Spec, state: State) -> List[Action]:
    found = _stopped(spec, state)
    if state.secrets is not None:
        found.append(_file(spec, "secrets", state.secrets_path, state.secrets, None))
    if app_script.ours(state.script):
        found.append(_file(spec, "script", _script_path(spec), state.script, None))
    if state.unit is not None:
        found.append(_file(spec, "unit", state.unit_path, state.unit, None))
    return found


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """One file written or removed, or the unit started and watched until it serves."""
    arguments = action.arguments
    if arguments["do"] == "write":
        _write(arguments, system)
    elif arguments["do"] == "remove" and arguments["kind"] == "unit":
        units.remove(system, arguments["name"])
    elif arguments["do"] == "remove":
        system.unlink(arguments["path"])
    elif arguments["do"] == "bring":
        units.bring(system, arguments["archive"])
    elif arguments["do"] == "serve":
        return serving.serve(system, arguments, emit)
    else:
        units.control(system, arguments["do"], arguments["name"])
    return {}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`pid`, `port`, `url`, `digest`, `generation` and `code` of the app."""
    found: Dict[str, Any] = {
        "name": spec.name,
        "pid": state.pid,
        "digest": state.carried,
        "generation": state.generation,
    }
    found.update(code=state.code, simulated=state.simulated)
    if state.adopted:
        found.update(accepted="not a unit", generation=generations.link_path(spec.root, spec.environment))
    if spec.port is not None:
        found.update(port=spec.port, url="http://127.0.0.1:%d%s" % (spec.port, spec.health.get("path", "/")))
    return found


def _write(arguments: Dict[str, Any], system: System) -> None:
    kind, data = arguments["kind"], arguments["text"].encode("utf-8", "surrogateescape")
    digest.store_key(system)
    if kind == "unit":
        units.install(system, arguments["name"], arguments["text"])
        return
    folder = os.path.dirname(arguments["path"])
    if system.lstat(folder) is None:
        system.mkdir(folder, 0o700 if kind == "secrets" else 0o755)
    if kind == "script":
        app_script.write(arguments["path"], data, system)
    else:
        system.write(arguments["path"], data, mode=0o600, uid=0, gid=0)


def _veiled(text: Optional[str]) -> Optional[str]:
    """Names of secrets only."""
    return None if text is None else "".join("%s\n" % line.partition("=")[0] for line in text.split('"\n') if line)


def _target(name: str) -> str:
    return "process of %s" % name


def _secrets_path(spec: Spec, system: System) -> str:
    return os.path.join(system.state_directory, "secrets", spec.name + ".env")


def _script_path(spec: Spec) -> str:
    return os.path.join(spec.script_directory or os.path.join(spec.directory, "bin"), "start_%s.sh" % spec.name)


def _text(system: System, path: str) -> Optional[str]:
    try:
        return system.read(path).decode("utf-8", "surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        return None
