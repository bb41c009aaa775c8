"""A host without anything that provision made to run there: apps, environments, supervisor, its own state.

Data stays and is told: checkouts, configuration, links, accounts, packages, caches and logs. What an app or an
environment consists of is the matter of `app` and `conda_env`, whose `absent` this asks for.
"""

from __future__ import annotations

import os
from dataclasses import field
from typing import Any, Dict, List, Optional, Tuple

from .. import app_view, leaving, mounts, supervisor_files, trees
from ..record import record
from ..resource import Action, Emit, Verb
from ..system import System
from ..verify import made, traces
from . import app, conda_env

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe", "script_directory"]

_MARK = "Made by provision"
_PATIENCE = 10.0


@record(frozen=True)
class Spec:
    """Where environments live, beside the places that the host's journal names.

    offboard:
      roots: [/opt/conda]
    """

    roots: List[str] = field(default_factory=lambda: ["/opt/conda"])

    def __post_init__(self) -> None:
        for root in self.roots:
            if not root.startswith("/"):
                raise ValueError("roots: `%s` is not an absolute path" % root)


@record(frozen=True)
class State:
    """Specs and states of apps and environments, supervisor's own `files`, what `stays`, and the folder of state."""

    apps: List[Tuple[app.Spec, app.State]] = field(default_factory=list)
    environments: List[Tuple[conda_env.Spec, conda_env.State]] = field(default_factory=list)
    files: List[str] = field(default_factory=list)
    stays: List[str] = field(default_factory=list)
    state: str = ""


def observe(spec: Spec, system: System) -> State:
    """Look at units, generations, supervisor's files and the journal."""
    known = _roots(spec, system)
    roots = [root for root in known if not _shared(root, system)]
    apps = [
        app.Spec(name=name, state="absent", script_directory=script_directory(system, name, unit))
        for name, unit in _units(system)
    ]
    environments = [
        conda_env.Spec(name=name, root=root, state="absent")
        for root in roots
        for name in _names(os.path.join(root, "envs", ".generations"))
        if not name.startswith(".")
    ]
    seen = [(one, conda_env.observe(one, system)) for one in environments]
    # beside what people made where an environment would be, a store may hold no more than a lock file
    ours = [(one, there) for one, there in seen if there.kept or there.there in ("generation", "nothing")]
    stays = _stays(system, roots) + ["environments %s (other hosts may use them)" % root for root in known
                                     if root not in roots]  # fmt: skip
    return State(
        [(each, app.observe(each, system)) for each in apps],
        ours,
        _supervisor(system),
        stays,
        system.state_directory,
    )


def decide(spec: Spec, state: State) -> List[Action]:
    """Apps first, then the environments that they ran in, then what is provision's own."""
    found = [_of("app", action) for each, there in state.apps for action in app.decide(each, there)]
    found += [_of("conda_env", action) for one, there in state.environments for action in conda_env.decide(one, there)]
    found += [Action(Verb.REMOVE, path, {"do": "unlink"}) for path in state.files]
    # an act: the folder goes after the last look
    found.append(Action(Verb.RUN, "remove %s when the agent ends" % state.state, {"do": "leave"}))
    return found


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """One action of an app or an environment, one file, or the mark that the agent's end heeds."""
    what = action.arguments
    if what["do"] == "app":
        app.apply(what["action"], system, emit)
    elif what["do"] == "conda_env":
        conda_env.apply(what["action"], system, emit)
    elif what["do"] == "unlink":
        system.unlink(action.target)
        _remove_empty_folders()
    else:
        trees.need_removable(system.state_directory)
        leaving.mark(system.state_directory, os.getppid())
    return {}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`apps` and `environments` that are there, and what `stays`, a line each."""
    return {
        "apps": [each.name for each, _ in state.apps],
        "environments": [one.name for one, _ in state.environments],
        "stays": state.stays,
    }


def _of(kind: str, action: Action) -> Action:
    arguments = {"do": kind, "action": action}
    # whole texts of units and scripts say nothing to who removes them
    return Action(action.verb, action.target, arguments, None, None, action.must_finish)


def _units(system: System) -> List[Tuple[str, str]]:
    return sorted(app_view.installed(system).items())


def script_directory(system: System, name: str, unit: str) -> Optional[str]:
    """Where the app's start script is, if it is one of ours: beside its directory, or where the journal names it."""
    script = "start_%s.sh" % name
    folders = [os.path.join(path, "bin") for path in _directory(unit)]
    folders += [os.path.dirname(target) for kind, target in _created(system) if kind == "app" and _is(script, target)]
    for folder in folders:
        if _ours(system, os.path.join(folder, script)):
            return folder
    return None


def _directory(unit: str) -> List[str]:
    """Where an app works."""
    head = "WorkingDirectory="
    return [line[len(head) :].replace("%%", "%") for line in unit.splitlines() if line.startswith(head + "/")]


def _is(script: str, target: str) -> bool:
    return target.startswith("/") and os.path.basename(target) == script


def _ours(system: System, path: str) -> bool:
    try:
        return _MARK.encode() in system.read(path, 512)
    except OSError:
        return False


def _roots(spec: Spec, system: System) -> List[str]:
    """Where environments are, by the spec and by what was built here."""
    links = [target for kind, target in _created(system) if kind in ("conda_env", "conda_flip")]
    known = [os.path.dirname(os.path.dirname(link)) for link in links if os.path.dirname(link).endswith("/envs")]
    return sorted({os.path.normpath(root) for root in [*spec.roots, *known]})


def _shared(root: str, system: System) -> bool:
    """Whether a root lies on a file system of the network: what other hosts run cannot be seen from here."""
    table = [mount for mount in mounts.mounts() if mount.point != "/"]
    if mounts.on_network(root, table) or not any(mount.network for mount in table):
        return mounts.on_network(root, table)
    try:
        return mounts.on_network(system.within(_PATIENCE, lambda: os.path.realpath(root)), table)
    except TimeoutError:
        return True


def _supervisor(system: System) -> List[str]:
    """Files of supervisor itself that are marked as ours, on a host without systemd."""
    folders = (supervisor_files.BINARIES, os.path.dirname(supervisor_files.BINARIES), "/etc/profile.d")
    paths = [os.path.join(folder, name) for folder in folders for name in _names(folder)]
    own = [path for path in paths if path.startswith("/opt/") or os.path.basename(path) == "provision-apps.sh"]
    return [path for path in own if os.path.isfile(path) and _ours(system, path)]


def _stays(system: System, roots: List[str]) -> List[str]:
    """What provision made or brought and this leaves, by the journal and by what is there; each line "KIND WHAT"."""
    paths = [(told["resource"], told["path"]) for told in made.paths(system)]
    known = {path for _, path in paths}
    paths += [("directory", path) for _, unit in _units(system) for path in _directory(unit) if path not in known]
    found = ["%s %s" % pair for pair in paths]
    for kind, target in _created(system):
        if kind in ("user", "group", "package") and not target.startswith("hold of"):
            found.append(target if target.startswith(kind + " ") else "%s %s" % (kind, target))
    found += ["cache %s" % path for root in roots for path in (os.path.join(root, "pkgs"),) if _names(path)]
    found += ["logs %s" % supervisor_files.LOGS] if _names(supervisor_files.LOGS) else []
    return list(dict.fromkeys(found))


def _created(system: System) -> List[Tuple[str, str]]:
    """(resource, target) of everything that was made here and not removed since, the oldest first."""
    there: Dict[Tuple[str, str], None] = {}
    for line in traces.changes(system):
        for action in line.get("actions") or []:
            key = (str(line.get("resource")), str(action.get("target", "")))
            if action.get("verb") == "remove":
                there.pop(key, None)
            elif action.get("verb") in ("create", "install", "flip"):
                there[key] = None
    return list(there)


def _remove_empty_folders() -> None:
    """Remove the folders of supervisor that have nothing in them any more."""
    for path in (supervisor_files.UNITS, supervisor_files.BINARIES, os.path.dirname(supervisor_files.UNITS)):
        if os.path.isdir(path) and not os.path.islink(path) and not _names(path):
            os.rmdir(path)


def _names(folder: str) -> List[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
