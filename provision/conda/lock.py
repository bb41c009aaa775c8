"""The lock of an environment: made once here, read everywhere, never half-trusted.

Three files: rattler's lock of the conda part, a PEP 751 `pylock.NAME.toml` of the pip part, and a manifest that binds
both to the environment.yml by SHA-256 and says what a host must have and show. Must not contact hosts.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from provision.conda import floor as floors
from provision.conda import names, pip_part, pylock
from provision.conda.environment import Environment
from provision.conda.mirrors import Settings
from provision.conda.pip_part import PipPackage, Wheel
from provision.conda.solve import solve, virtual_packages
from provision.errors import ProvisionError

__all__ = ["CondaPackage", "Lock", "Paths", "check", "make_lock", "paths", "read_lock"]

FORMAT = 1
STAND_IN = "LicenseRef-provision-stand-in"
"""The licence of packages that only carry the names of others."""
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class CondaPackage:
    name: str
    version: str
    build: str
    url: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Paths:
    """The three files of a lock."""

    manifest: Path
    conda: Path
    pip: Path


@dataclass(frozen=True)
class Lock:
    """What is installed, and what a host must have (`floor`) and show (`imports`, `expect`) for it.

    `digest` is the SHA-256 (hex) of everything that shapes the environment on a host: an edit of environment.yml that
    changes none of it leaves the digest as it was. `asks` is what environment.yml asked for when it was locked, and
    `environment_sha256` that file. `simulated`: it holds packages that only carry the names of others.
    """

    name: str
    digest: str
    paths: Paths
    packages: tuple[CondaPackage, ...]
    pip: tuple[PipPackage, ...]
    platform: str
    virtual_packages: tuple[str, ...]
    floor: Mapping[str, str | None]
    expect: Mapping[str, str]
    imports: tuple[str, ...]
    simulated: bool
    python: str | None
    variables: Mapping[str, str]
    environment_sha256: str
    asks: Mapping[str, Any] = field(repr=False)
    files: Mapping[str, str | None] = field(repr=False)
    """SHA-256 of the files `conda` and `pip` (None: there is no pip part)."""


def paths(environment: Environment, settings: Settings) -> Paths:
    """Where the lock of an environment stands."""
    folder = settings.locks_directory or environment.path.parent
    name = environment.name
    return Paths(
        manifest=folder / f"{name}.lock.json",
        conda=folder / f"{name}.conda.lock",
        pip=folder / f"pylock.{name.replace('.', '-')}.toml",
    )


def make_lock(environment: Environment, settings: Settings, *, upgrade: bool = False, report: Report | None = None) -> Lock:
    """Solve both parts and write the three files, the manifest last; what an existing lock pins stays where it fits.

    `upgrade` takes the newest of everything instead. `report` is told, in a line each, what people should know.
    Raises ProvisionError.
    """
    where = paths(environment, settings)
    cuda = floors.meant_cuda(environment)
    text, records = solve(environment, settings, cuda, _text(where.conda) if not upgrade else None)
    python = next((str(record["version"]) for record in records if record["name"] == "python"), None)
    provided, unmapped = pip_part.provided(records)
    pip: tuple[PipPackage, ...] = ()
    if environment.pip:
        if report and unmapped:
            report(f"`{environment.name}`: taken to have the same name on PyPI as in conda: {', '.join(unmapped)}")
        kept = where.pip if where.pip.exists() and not upgrade else None
        pip = pip_part.resolve(environment, settings, _needed(python, environment), provided, kept)
    floors.refuse_cpu_torch(environment, records, pip)
    lock = _lock(environment, settings, where, (text, records), pip, python)
    _write(lock, text, pylock.write(lock.pip, python) if environment.pip else None)
    return lock


def read_lock(environment: Environment, settings: Settings) -> Lock | None:
    """The lock of an environment as its files say, None when it has none.

    Raises ProvisionError when a file is missing, is not what the manifest says, or is of another format. Whether the
    lock still fits its environment.yml says `check`.
    """
    where = paths(environment, settings)
    text = _text(where.manifest)
    if text is None:
        return None
    try:
        manifest = json.loads(text)
        if manifest["format"] != FORMAT:
            raise _unusable(where.manifest, f"it is of format {manifest['format']}, this program reads {FORMAT}")
        lock = _from_manifest(manifest, where)
    except (ValueError, KeyError, TypeError) as error:
        raise _unusable(where.manifest, f"it cannot be read: {error!r}") from None
    if lock.digest != manifest["digest"]:
        raise _tampered(where.manifest, "its digest is not that of its content")
    for path, wanted in ((where.conda, lock.files["conda"]), (where.pip, lock.files["pip"])):
        if wanted and _sha256(path) != wanted:
            raise _tampered(path, "its SHA-256 is not the one in the manifest" if path.exists() else "it is missing")
    return lock


def check(environment: Environment, lock: Lock, settings: Settings | None = None) -> list[str]:
    """Why a lock does not fit its environment.yml (and the system floor of `settings`); empty when it does.

    A file in which only comments or layout changed still fits.
    """
    reasons = [] if environment.sha256 == lock.environment_sha256 else _differences(lock.asks, environment.asks())
    if settings:
        offered = tuple("=".join(p) for p in virtual_packages(settings, floors.meant_cuda(environment)))
        if settings.platform != lock.platform:
            reasons.append(f"it is for {lock.platform}, {settings.platform} is declared")
        elif offered != lock.virtual_packages:
            lost, gained = set(lock.virtual_packages) - set(offered), set(offered) - set(lock.virtual_packages)
            reasons.append(f"the system floor was {_listed(lost)}, {_listed(gained)} is declared")
    return reasons


def _differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    reasons = []
    for key in now:
        old, new = then.get(key), now[key]
        if old == new:
            continue
        if isinstance(new, list):
            removed = [item for item in old or () if item not in new]
            added = [item for item in new if item not in (old or ())]
            reasons += [f"{key}: `{item}` is gone" for item in removed] + [f"{key}: `{item}` is new" for item in added]
            reasons += [] if removed or added else [f"{key}: the order changed"]
        else:
            reasons.append(f"{key} changed")
    return reasons


def _lock(
    environment: Environment,
    settings: Settings,
    where: Paths,
    solution: tuple[str, list[dict[str, Any]]],
    pip: tuple[PipPackage, ...],
    python: str | None,
) -> Lock:
    text, records = solution
    written = pylock.write(pip, python) if environment.pip else None
    manifest = {
        "name": environment.name,
        "platform": settings.platform,
        "virtual_packages": ["=".join(p) for p in virtual_packages(settings, floors.meant_cuda(environment))],
        "python": python,
        "floor": floors.floor(records, pip),
        "expect": floors.expected(records, pip),
        "imports": list(names.modules(environment, records)),
        "simulated": any(record.get("license") == STAND_IN for record in records),
        "variables": dict(environment.variables),
        "files": {"conda": _digest(text), "pip": _digest(written) if written is not None else None},
        "packages": [{key: record[key] for key in CondaPackage.__slots__} for record in records],
        "pip": [asdict(package) for package in pip],
        "environment": {"sha256": environment.sha256, "asks": environment.asks()},
    }
    return _from_manifest(manifest, where)
