"""What a hand-built server holds that a playbook could say: environments, servers that run, links; changes nothing.

Owns the whole of one look; the looking is in survey/. Gives out no secret: of those, names only.
"""

from __future__ import annotations

import os
from dataclasses import field
from typing import Any, Dict, List, Tuple

from .. import app_view, units
from ..record import record
from ..resource import Action, Emit, Refusal
from ..survey import places, servers
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]

_PATIENCE = 180.0
_STARTS = ("/root", "/home", "/srv", "/opt", "/workspace", "/app")


@record(frozen=True)
class Spec:
    """Where to look: folders that hold `envs`, shared directories, and folders that may hold links into these.

    - survey:
        roots: [/opt/conda]
        shared: [/data]
    """

    roots: List[str] = field(default_factory=lambda: ["/opt/conda"])
    shared: List[str] = field(default_factory=lambda: ["/data"])

    def __post_init__(self) -> None:
        for path in [*self.roots, *self.shared]:
            if not os.path.isabs(path):
                raise ValueError("`%s` is not an absolute path" % path)


@record(frozen=True)
class State:
    """What is there. `environments`: path and kind; `servers`: as servers.py says; `whole`: all links were looked for.

    `devices`: index and UUID of the GPUs.
    """

    roots: List[str] = field(default_factory=list)
    environments: List[Dict[str, str]] = field(default_factory=list)
    servers: List[Dict[str, Any]] = field(default_factory=list)
    shared: List[str] = field(default_factory=list)
    links: List[Dict[str, Any]] = field(default_factory=list)
    whole: bool = True
    devices: List[Dict[str, Any]] = field(default_factory=list)
    simulated: bool = False


def observe(spec: Spec, system: System) -> State:
    """Look at everything once."""
    ours = [units.full(name) for name in app_view.installed(system)]
    running = servers.found(_gpu_processes(system), ours)
    try:
        roots, found, shared, links, whole = system.within(_PATIENCE, lambda: _places(spec, running, system))
    except TimeoutError:
        raise Refusal(
            "the folders of this host could not be looked through",
            "there is no end of it within %g s: a file system may hang" % _PATIENCE,
            "`provision verify` names mounts that do not answer",
        ) from None
    gpu = system.facts.get("gpu") or {}
    return State(
        roots=roots,
        environments=found,
        servers=running,
        shared=shared,
        links=links,
        whole=whole,
        devices=[{key: device.get(key) for key in ("index", "uuid")} for device in gpu.get("devices") or []],
        simulated=bool(gpu.get("simulated")),
    )


def decide(spec: Spec, state: State) -> List[Action]:
    """Nothing, ever."""
    return []


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """There is nothing to apply."""
    return {}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`roots`, `environments`, `servers`, `shared`, `links`, `whole`, `devices` and `simulated`."""
    return dict(state.__dict__)


def _places(spec: Spec, running: List[Dict[str, Any]], system: System) -> Tuple[Any, ...]:
    """Roots, environments, shared directories, links, and whether all links were looked for."""
    homes, used = _homes(), [os.path.dirname(one["prefix"]) for one in running if one["prefix"]]
    beside = [os.path.dirname(folder) for folder in used if os.path.basename(folder) == "envs"]
    roots = places.roots([*spec.roots, *beside], homes)
    shared = places.shared(system, spec.shared)
    starts = [*(path for path in (*_STARTS, *homes) if os.path.isdir(path)), *(one["directory"] for one in running)]
    links, whole = places.links([start for start in starts if start not in ("", "/")], shared, roots)
    return roots, places.prefixes(roots), shared, links, whole


def _homes() -> List[str]:
    """The homes of root and of people."""
    import pwd

    found = [entry.pw_dir for entry in pwd.getpwall() if entry.pw_uid == 0 or 1000 <= entry.pw_uid < 60000]
    return [path for path in dict.fromkeys(found) if path not in ("", "/") and os.path.isdir(path)]


def _gpu_processes(system: System) -> Dict[int, List[str]]:
    """UUIDs of the GPUs that processes compute on, as nvidia-smi names them."""
    try:
        argv = ["nvidia-smi", "--query-compute-apps=pid,gpu_uuid", "--format=csv,noheader"]
        ended = system.run(argv, timeout=20.0, directory="/")
    except FileNotFoundError:
        return {}
    found: Dict[int, List[str]] = {}
    for line in ended.stdout.splitlines() if not ended.returncode else []:
        pid, sign, uuid = (part.strip() for part in line.partition(","))
        if sign and pid.isdigit():
            found.setdefault(int(pid), []).append(uuid)
    return found
