"""Two apps of one host that want the same port or the same GPU, in whichever plays they stand.

Looked for before any host is contacted, and again with a host's facts where its apps depend on them. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from provision.agent.record import record
from provision.errors import Mark, ProvisionError
from provision.playbook import Play, Task
from provision.render import KnownAfterApply, Unsettled
from provision.scopes import HostVariables, Run, Scopes
from provision.variables import Scope

__all__ = ["UNKNOWN", "clashes", "clashes_on", "item_scopes"]

UNKNOWN = (ProvisionError, Unsettled, KnownAfterApply)
"""What a rendering raises that needs facts or results which are not there yet."""
_OPTIONS = ("name", "port", "gpus", "share_gpus", "state")


@record(frozen=True, slots=True)
class _App:
    name: str
    port: Any
    gpus: tuple[str, ...]
    shared: bool
    runs: bool
    where: Mark
    title: str


@record(slots=True)
class _Apps:
    """The apps of one host by name, each as its last task wants it; `settled`: there cannot be more to know of them."""

    by_name: dict[str, _App]
    settled: bool = True


def clashes(plays: Sequence[Play], run: Run, hosts: Mapping[Play, Sequence[str]]) -> list[ProvisionError]:
    """What can be told without facts, the same on many hosts once; hosts of which more is to be known go to
    `run.unsettled`."""
    found: dict[tuple[str, str, str], tuple[ProvisionError, list[str]]] = {}
    own = [play for play in plays if any(task.module == "app" for task in play.tasks)]
    everyone = dict.fromkeys(host for play in own for host in hosts.get(play, ()))
    for host in everyone:
        apps = _apps(own, run, host, hosts, {})
        if not apps.settled:
            run.unsettled.add(host)
        for pair, what, error in _among(list(apps.by_name.values()), {}):
            found.setdefault((*pair, what), (error, []))[1].append(host)
    for error, names in found.values():
        error.summary += f" on {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
    return [error for error, _ in found.values()]


def clashes_on(
    host: str, facts: Mapping[str, Any], plays: Sequence[Play], run: Run, hosts: Mapping[Play, Sequence[str]]
) -> list[ProvisionError]:
    """What one host's facts show; GPUs are the same by index and by UUID then."""
    devices = (facts.get("gpu") or {}).get("devices") or []
    same = {str(device["uuid"]): str(device["index"]) for device in devices}
    apps = _apps(plays, run, host, hosts, facts)
    found = []
    for _, _, error in _among(list(apps.by_name.values()), same):
        error.summary += f" on {host}"
        error.exit_code = 2
        found.append(error)
    return found


def item_scopes(task: Task, scopes: Scopes) -> Iterator[Scope]:
    """The scope of each item of a task, without a loop its one scope; raises one of `UNKNOWN`."""
    scope = scopes.of(task)
    if task.loop is None:
        yield scope
        return
    values = scope.render(task.loop)
    for index, value in enumerate(values if isinstance(values, list) else ()):
        yield scopes.inner(task, {task.loop_var: value, **({task.index_var: index} if task.index_var else {})})


def _apps(
    plays: Iterable[Play], run: Run, host: str, hosts: Mapping[Play, Sequence[str]], facts: Mapping[str, Any]
) -> _Apps:
    found = _Apps({})
    for play in plays:
        play_hosts = tuple(hosts.get(play, ()))
        if host not in play_hosts:
            continue
        scopes = Scopes(play, HostVariables(run, host, facts, play_hosts), {})
        for task in play.tasks:
            if task.module == "app":
                _add(task, scopes, found)
    return found


def _add(task: Task, scopes: Scopes, found: _Apps) -> None:
    try:
        for scope in item_scopes(task, scopes):
            app = _app(task, scope)
            if app is None:
                continue
            found.by_name[app.name] = app
            # by a UUID it may be the GPU that another app names by its index
            found.settled = found.settled and all(gpu.isdigit() or gpu == "all" for gpu in app.gpus)
    except UNKNOWN:
        found.settled = False


def _app(task: Task, scope: Scope) -> _App | None:
    """The app as a task wants it, None where its `when` is false; raises one of `UNKNOWN`."""
    if not all(scope.renderer.test(item.expression, scope, item.where) for item in task.when):
        return None
    values = {key: scope.render(task.arguments.get(key)) for key in _OPTIONS}
    gpus = values["gpus"] if isinstance(values["gpus"], list) else []
    return _App(
        str(values["name"]),
        None if values["port"] is None else str(values["port"]),
        tuple(map(str, gpus)),
        bool(values["share_gpus"]),
        values["state"] not in ("absent", "stopped"),
        task.arguments.value_mark("port"),
        task.title,
    )


def _among(apps: Sequence[_App], same: Mapping[str, str]) -> Iterator[tuple[tuple[str, str], str, ProvisionError]]:
    running = [app for app in apps if app.runs]
    for index, app in enumerate(running):
        for other in running[:index]:
            for what, error in _clash(app, other, same):
                yield (other.name, app.name), what, error


def _clash(app: _App, other: _App, same: Mapping[str, str]) -> Iterator[tuple[str, ProvisionError]]:
    if app.port is not None and app.port == other.port:
        yield "port", _error(app, other, f"port {app.port}", "give one of them another port")
    if app.shared and other.shared:
        return
    gpus, others = ({same.get(gpu, gpu) for gpu in one.gpus} for one in (app, other))
    both = gpus & others
    if gpus and others and "all" in gpus | others:
        both = gpus | others
    if both:
        hint = "give one of them another GPU, or say `share_gpus: true` at both"
        yield "gpu", _error(app, other, "GPU " + ", ".join(sorted(both)), hint)


def _error(app: _App, other: _App, what: str, hint: str) -> ProvisionError:
    return ProvisionError(
        f"apps `{other.name}` and `{app.name}` have the same {what}",
        where=app.where,
        context=f'task "{app.title}"',
        cause=f"the other is at {other.where}",
        hint=hint,
    )
