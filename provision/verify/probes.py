"""Which looks a host gets, from the steps of its plays and its variables.

Pure. Knows the specs of the `verify_*` resources; must not know how a look is made or judged.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from provision.errors import Mark, ProvisionError
from provision.outcome import PlannedStep

__all__ = ["Depth", "Expected", "Look", "Named", "app_looks", "expected_gpus", "looks", "made_look"]

FREE = {"root": 1 << 30, "environments": 2 << 30}
"""Bytes that must be free where a host keeps its system, and where it keeps its environments."""
_SHARED = "/data"


@dataclass(frozen=True, slots=True)
class Depth:
    """How deep to look. `deep`: every file's content, everything imported; `busy`: GPUs in use are computed on too."""

    deep: bool = False
    busy: bool = False


@dataclass(frozen=True, slots=True)
class Expected:
    """The GPUs that the inventory says a host has."""

    count: int | None = None
    kind: str | None = None
    mig: bool | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """One look: the resource that makes it, its spec, and the place of the task that says how it should be."""

    resource: str
    spec: Mapping[str, Any]
    title: str
    where: Mark | None = None
    sensitive: bool = False


@dataclass(slots=True)
class Named:
    """What the plays of a host name so far."""

    environments: dict[tuple[str, str], PlannedStep] = field(default_factory=dict)
    apps: dict[str, PlannedStep] = field(default_factory=dict)
    links: dict[str, PlannedStep] = field(default_factory=dict)
    directories: dict[str, PlannedStep] = field(default_factory=dict)
    mounts: dict[str, PlannedStep] = field(default_factory=dict)
    paths: set[str] = field(default_factory=set)
    absent: set[tuple[str, str]] = field(default_factory=set)

    def add(self, steps: Iterable[PlannedStep]) -> None:
        """Take steps of a play into account; those that take something away name it too."""
        for planned in steps:
            spec = planned.step.spec
            there = spec.get("state", "present") not in ("absent", "stopped")
            match planned.step.resource:
                case "conda_env" if there:
                    self.environments[spec.get("root", "/opt/conda"), spec["name"]] = planned
                case "conda_env":
                    self.absent.add(("environment", spec["name"]))
                case "app" if there:
                    self.apps[spec["name"]] = planned
                case "app":
                    self.absent.add(("app", spec["name"]))
                case "link" if there:
                    self.links[spec["path"]] = planned
                case "file" if spec.get("state") == "directory":
                    self.directories[spec["path"].rstrip("/") or "/"] = planned
                case "mounted":
                    self.mounts[spec["path"].rstrip("/")] = planned
            self.paths |= {str(spec[key]).rstrip("/") for key in ("path", "dest") if spec.get(key)}

    def users_of(self, root: str, environment: str) -> list[str]:
        """Who the apps of an environment run as, root where it has none."""
        users = [
            str(app.step.spec.get("user", "root"))
            for app in self.apps.values()
            if (app.step.spec.get("root", "/opt/conda"), app.step.spec.get("environment")) == (root, environment)
        ]
        return list(dict.fromkeys(users)) or ["root"]


def expected_gpus(host: str, value: Any) -> Expected:
    """The variable `gpus` of a host: `{count: 8, kind: "A100"}`; raises ProvisionError for what is none."""
    if value is None:
        return Expected()
    kinds: dict[str, type] = {"count": int, "kind": str, "mig": bool}
    wrong = "it is no mapping" if not isinstance(value, Mapping) else ""
    if isinstance(value, Mapping):
        for key, given in value.items():
            if key not in kinds:
                wrong = f"there is no `{key}` in it"
            elif not isinstance(given, kinds[key]) or (key == "count" and isinstance(given, bool)):
                wrong = f"`{key}` is {given!r}"
    if wrong:
        raise ProvisionError(
            f"the variable `gpus` of `{host}` cannot be used",
            where=getattr(value, "mark", None),
            cause=wrong,
            hint='write it as `gpus: {count: 8, kind: "A100"}`; `mig: true` where MIG mode must be on',
        )
    return Expected(**{str(key): given for key, given in value.items()})


def looks(named: Named, expected: Expected, depth: Depth, *, now: float | None = None) -> Iterator[Look]:
    """All looks but those at apps, from the lowest rung to the highest."""
    yield _system(named, time.time() if now is None else now)
    yield _driver(named, expected, depth)
    yield from _environments(named, depth)
    yield from _imports(named, depth)
    yield from _compute(named, depth)
    yield from _shared_data(named)


def _system(named: Named, now: float) -> Look:
    disks = {"/": FREE["root"], **{f"{root}/envs": FREE["environments"] for root, _ in named.environments}}
    mounts = {path: str(mount.step.spec.get("type") or "") for path, mount in named.mounts.items()}
    return Look("verify_system", {"time": now, "disks": disks, "mounts": mounts}, "the host itself")


def _driver(named: Named, expected: Expected, depth: Depth) -> Look:
    floors = {name: floor for (_, name), step in named.environments.items() if (floor := step.step.spec.get("floor"))}
    spec = {"floors": floors, "deep": depth.deep, **dataclasses.asdict(expected)}
    return Look("verify_driver", spec, "GPUs and driver")


def _environments(named: Named, depth: Depth) -> Iterator[Look]:
    roots: set[str] = set()
    for (root, name), planned in named.environments.items():
        spec = planned.step.spec
        wanted = {
            "name": name,
            "root": root,
            "lock": spec["lock"],
            "listing_blob": spec.get("listing_blob"),
            "users": named.users_of(root, name),
            "base": root not in roots,
            "deep": depth.deep,
        }
        roots.add(root)
        yield Look("verify_environment", wanted, f"environment {name}", planned.where)


def _imports(named: Named, depth: Depth) -> Iterator[Look]:
    for (root, name), planned in named.environments.items():
        spec = planned.step.spec
        for user in named.users_of(root, name):
            wanted = {"name": name, "root": root, "lock": spec["lock"], "user": user, "deep": depth.deep}
            imports = list(spec.get("imports") or [])
            yield Look("verify_imports", {**wanted, "imports": imports}, f"imports of {name}", planned.where)


def _compute(named: Named, depth: Depth) -> Iterator[Look]:
    """A product for each build of torch; another environment with the same build is only asked for its versions."""
    computed: set[tuple[str, str]] = set()
    for (root, name), planned in named.environments.items():
        spec = planned.step.spec
        expect = dict(spec.get("expect") or {})
        build = (expect.get("torch", ""), expect.get("cuda", ""))
        wanted = {
            "name": name,
            "root": root,
            "lock": spec["lock"],
            "expect": expect,
            "user": named.users_of(root, name)[0],
            "busy": depth.busy,
            "product": depth.deep or build not in computed,
        }
        computed.add(build)
        yield Look("verify_compute", wanted, f"torch of {name}", planned.where)


def _shared_data(named: Named) -> Iterator[Look]:
    """One look for each place of shared data: what is mounted, what apps say is their data, and /data."""
    apps = [app.step.spec for app in named.apps.values()]
    roots = dict.fromkeys((*named.mounts, *(str(path).rstrip("/") for app in apps for path in app.get("data") or [])))
    roots.setdefault(_SHARED)
    for root in roots:
        links = {path: link for path, link in named.links.items() if _below(link.step.spec["target"], root)}
        directories = [path for path in named.directories if _below(path, root)]
        mount = named.mounts.get(root)
        if not (links or directories or mount):
            continue
        spec: dict[str, Any] = {"path": root, "directories": directories}
        spec["links"] = {path: link.step.spec["target"] for path, link in links.items()}
        spec["writable"] = _writable(links, apps)
        if mount:
            told = mount.step.spec
            spec |= {"mounted": True, "filesystem": told.get("type"), "source": told.get("source")}
        first = mount or next(iter(links.values()), None) or named.directories[directories[0]]
        yield Look("verify_shared_data", spec, f"shared data in {root}", first.where)


def _writable(links: Mapping[str, PlannedStep], apps: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Targets of links in an app's directory must be writable for its user."""
    found: dict[str, list[str]] = {}
    for path, link in links.items():
        users = [str(app.get("user", "root")) for app in apps if _below(path, str(app.get("directory") or "\0"))]
        if users:
            found.setdefault(link.step.spec["target"], []).extend(dict.fromkeys(users))
    return {target: list(dict.fromkeys(users)) for target, users in found.items()}


def app_looks(named: Named, names: Iterable[str]) -> Iterator[Look]:
    """A look at each of these apps, with the spec of its own step."""
    for name in names:
        planned = named.apps[name]
        yield Look("verify_app", {"app": dict(planned.step.spec)}, f"app {name}", planned.where, planned.step.sensitive)


def made_look(named: Named) -> Look:
    """The look at what provision made on the host."""
    roots = dict.fromkeys(("/opt/conda", *(root for root, _ in named.environments)))
    return Look("verify_made", {"roots": list(roots)}, "what provision made")


def _below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")
