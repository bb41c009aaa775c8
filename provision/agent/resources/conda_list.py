"""What is installed in an environment, read from `conda-meta` and from pip's `*.dist-info`; changes nothing.

Any prefix will do: our generations, hand-built conda environments, virtual environments. Must not judge what it finds.
"""

from __future__ import annotations

import json
import os
from dataclasses import field
from typing import Any, Dict, List, Optional, Set, Tuple

from ..record import record
from ..resource import Action, Emit, Refusal
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe"]

_KEPT = ("name", "version", "build", "channel", "subdir", "url", "sha256", "md5", "noarch")
_METADATA_LIMIT = 64 * 1024


@record(frozen=True)
class Spec:
    """The environment: a name under `ROOT/envs`, "base" for the root itself, or an absolute path of any prefix.

    - conda_list:
        root: /opt/conda
        prefix: img2video-torch20-cu118
      register: installed
    """

    prefix: str
    root: str = "/opt/conda"

    def __post_init__(self) -> None:
        if not os.path.isabs(self.root):
            raise ValueError("root: `%s` is not an absolute path" % self.root)
        if not self.prefix or (not os.path.isabs(self.prefix) and ("/" in self.prefix or self.prefix.startswith("."))):
            raise ValueError("prefix: `%s` is neither an environment's name nor an absolute path" % self.prefix)


@record(frozen=True)
class State:
    """What is there. `packages` are conda's records, `pip` what conda's records do not own, each by name.

    `path` is where links lead to. `broken`: files of records that cannot be read. `variables` are those that
    activation sets. `requested`: the dependencies that people asked conda for, where its history tells.
    """

    path: str
    packages: List[Dict[str, Any]] = field(default_factory=list)
    pip: List[Dict[str, Any]] = field(default_factory=list)
    python: Optional[str] = None
    variables: Dict[str, str] = field(default_factory=dict)
    requested: List[str] = field(default_factory=list)
    broken: List[str] = field(default_factory=list)


def observe(spec: Spec, system: System) -> State:
    """Read the records; Refusal where no environment is there, naming those that are."""
    path = os.path.realpath(_place(spec))
    if not _is_prefix(path):
        raise _nothing(spec, path)
    records, broken = _records(system, path)
    owned = {str(name) for record in records for name in record.get("files", ())}
    folder, minor = _site_packages(path, records)
    pip = _distributions(system, path, folder, owned) if folder else []
    return State(
        path=path,
        packages=[_shown(record) for record in records],
        pip=pip,
        python=_python(system, path, records, minor),
        variables=_variables(system, path),
        requested=_requested(system, path),
        broken=broken,
    )


def decide(spec: Spec, state: State) -> List[Action]:
    """Nothing, ever."""
    return []


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """There is nothing to apply."""
    return {}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`path`, `packages`, `pip`, `python`, `variables`, `requested` and `broken`."""
    return dict(state.__dict__)


def _place(spec: Spec) -> str:
    if os.path.isabs(spec.prefix):
        return spec.prefix
    return spec.root if spec.prefix == "base" else os.path.join(spec.root, "envs", spec.prefix)


def _is_prefix(path: str) -> bool:
    marks = ("conda-meta", "pyvenv.cfg", "bin/python")
    return os.path.isdir(path) and any(os.path.lexists(os.path.join(path, mark)) for mark in marks)


def _nothing(spec: Spec, path: str) -> Refusal:
    try:
        names = sorted(name for name in os.listdir(os.path.join(spec.root, "envs")) if not name.startswith("."))
    except OSError:
        names = []
    return Refusal(
        "there is no environment `%s`" % spec.prefix,
        "`%s` holds neither `conda-meta` nor a Python" % path
        if os.path.isdir(path)
        else "`%s` is not a directory" % path,
        "below `%s/envs` are: %s" % (spec.root, ", ".join(names) or "none"),
    )


def _records(system: System, path: str) -> Tuple[List[Dict[str, Any]], List[str]]:
    """Conda's records by name, and the files of those that cannot be read."""
    folder = os.path.join(path, "conda-meta")
    found: List[Dict[str, Any]] = []
    broken: List[str] = []
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    for name in names:
        if not name.endswith(".json"):
            continue
        try:
            record = json.loads(system.read(os.path.join(folder, name)))
            found += [record] if record["name"] and record["version"] else []
        except (OSError, ValueError, KeyError, TypeError):
            broken.append(os.path.join("conda-meta", name))
    return sorted(found, key=lambda record: str(record["name"])), broken


def _shown(record: Dict[str, Any]) -> Dict[str, Any]:
    kept = {key: record[key] for key in _KEPT if record.get(key)}
    # conda 3 wrote the build with another word
    kept.setdefault("build", record.get("build_string", ""))
    kept.setdefault("channel", record.get("schannel", ""))
    kept.update({key: _public(kept[key]) for key in ("url", "channel") if key in kept}, kind="conda")
    return kept


def _public(url: str) -> str:
    """A URL without credentials: those before the server's name, and conda's `/t/TOKEN/`."""
    scheme, sign, rest = url.partition("://")
    if not sign:
        return url
    server, slash, path = rest.partition("/")
    parts = path.split("/")
    return scheme + sign + server.rpartition("@")[2] + slash + "/".join(parts[2:] if parts[0] == "t" else parts)


def _site_packages(path: str, records: List[Dict[str, Any]]) -> Tuple[str, str]:
    """The folder of the prefix's own Python and its "3.11"; both "" where there is none."""
    said = next((str(record["version"]) for record in records if record["name"] == "python"), "")
    wanted = ".".join(said.split(".")[:2])
    try:
        names = [name[len("python") :] for name in os.listdir(os.path.join(path, "lib")) if name.startswith("python3.")]
    except OSError:
        names = []
    minors = [name for name in names if name[2:].isdigit()]
    minors.sort(key=lambda name: (name == wanted, int(name[2:])))
    for minor in reversed(minors):
        folder = os.path.join(path, "lib", "python" + minor, "site-packages")
        if os.path.isdir(folder):
            return folder, minor
    return "", ""


def _distributions(system: System, path: str, folder: str, owned: Set[str]) -> List[Dict[str, Any]]:
    found = []
    for entry in sorted(os.listdir(folder)):
        place = os.path.join(folder, entry)
        if entry.endswith(".dist-info"):
            one = _described(system, path, place, "METADATA", owned)
        elif entry.endswith(".egg-info"):
            one = _described(system, path, place, "PKG-INFO" if os.path.isdir(place) else "", owned)
        elif entry.endswith(".egg-link"):
            one = _linked(system, place)
        else:
            continue
        if one:
            found.append(one)
    return sorted(found, key=lambda each: str(each["name"]).lower())


def _described(system: System, path: str, place: str, file: str, owned: Set[str]) -> Optional[Dict[str, Any]]:
    """What a folder (or file) of metadata says, None where conda owns it or it says no name."""
    metadata = os.path.join(place, file) if file else place
    if os.path.relpath(metadata, path) in owned:
        return None
    headers = _headers(system, metadata)
    if "name" not in headers:
        return None
    origin = _origin(system, place)
    return {
        "name": headers["name"],
        "version": headers.get("version", ""),
        "editable": bool((origin or {}).get("dir_info", {}).get("editable")),
        "direct_url": origin,
        "installer": _text(system, os.path.join(place, "INSTALLER")).strip(),
        "requested": os.path.exists(os.path.join(place, "REQUESTED")),
    }


def _linked(system: System, place: str) -> Optional[Dict[str, Any]]:
    """A project that `setup.py develop` linked; its metadata stands beside its source."""
    source = (_text(system, place).splitlines() or [""])[0].strip()
    name = os.path.basename(place)[: -len(".egg-link")]
    headers: Dict[str, str] = {}
    for entry in sorted(os.listdir(source)) if os.path.isdir(source) else []:
        if entry.endswith(".egg-info"):
            headers = headers or _headers(system, os.path.join(source, entry, "PKG-INFO"))
    return {
        "name": headers.get("name", name),
        "version": headers.get("version", ""),
        "editable": True,
        "direct_url": {"url": "file://" + source, "dir_info": {"editable": True}},
        "installer": "setuptools",
        "requested": True,
    }


def _headers(system: System, path: str) -> Dict[str, str]:
    headers: Dict[str, str] = {}
    for line in _text(system, path).splitlines():
        if not line.strip():
            break
        key, sign, value = line.partition(":")
        if sign and key in ("Name", "Version"):
            headers.setdefault(key.lower(), value.strip())
    return headers


def _origin(system: System, place: str) -> Optional[Dict[str, Any]]:
    """PEP 610's record of a package that came from a URL or folder; credentials that stand in it stay here."""
    try:
        origin = json.loads(_text(system, os.path.join(place, "direct_url.json")) or "null")
    except ValueError:
        return None
    if not isinstance(origin, dict) or not isinstance(origin.get("url"), str):
        return None
    return {**origin, "url": _public(origin["url"])}


def _python(system: System, path: str, records: List[Dict[str, Any]], minor: str) -> Optional[str]:
    for found in records:
        if found["name"] == "python":
            return str(found["version"])
    for line in _text(system, os.path.join(path, "pyvenv.cfg")).splitlines():
        key, _, value = line.partition("=")
        if key.strip() in ("version", "version_info"):
            return ".".join(value.strip().split(".")[:3])
    return minor or None


def _variables(system: System, path: str) -> Dict[str, str]:
    try:
        state = json.loads(_text(system, os.path.join(path, "conda-meta", "state")) or "{}")
        return {str(name): str(value) for name, value in state.get("env_vars", {}).items()}
    except (ValueError, AttributeError):
        return {}


def _requested(system: System, path: str) -> List[str]:
    """The specs of conda's history, later ones in the place of earlier ones of the same package."""
    specs: Dict[str, str] = {}
    for line in _text(system, os.path.join(path, "conda-meta", "history"), None).splitlines():
        word, sign, value = line.partition(" specs: ")
        if not sign or not word.startswith("#"):
            continue
        for spec in _listed(value):
            name = _name(spec)
            if word.endswith(("remove", "neutered")):
                specs.pop(name, None)
            else:
                specs[name] = spec
    return sorted(specs.values())


def _listed(value: str) -> List[str]:
    """The texts of a list as Python prints it, or separated by commas in older histories."""
    if value.strip().startswith("["):
        import ast

        try:
            return [item for item in ast.literal_eval(value.strip()) if isinstance(item, str)]
        except (ValueError, SyntaxError):
            return []
    return [item.strip() for item in value.split(",") if item.strip()]


def _name(spec: str) -> str:
    bare = spec.rpartition("::")[2]
    for at, letter in enumerate(bare):
        if letter in " =<>!~[":
            return bare[:at].lower()
    return bare.lower()


def _text(system: System, path: str, limit: Optional[int] = _METADATA_LIMIT) -> str:
    try:
        return system.read(path, limit).decode("utf-8", "replace")
    except OSError:
        return ""
