"""The lock of an environment: made once here, read everywhere, never half-trusted.

Three files: rattler's lock of the conda part, a PEP 751 `pylock.NAME.toml` of the pip part, and a manifest that binds
both to the environment.yml by SHA-256 and says what a host must have and show. Must not contact hosts.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from provision.conda import floor as floors
from provision.conda import names, pip_part, pylock
from provision.conda.environment import Environment
from provision.conda.locked import CONDA_FIELDS, Lock, Paths, PipPackage, content_digest, from_manifest
from provision.conda.mirrors import Settings
from provision.conda.solve import solve, virtual_packages
from provision.errors import ProvisionError
from provision.whole_file import write_whole

__all__ = ["check", "make_lock", "paths", "read_lock"]

FORMAT = 1
STAND_IN = "LicenseRef-provision-stand-in"
"""The licence of packages that only carry the names of others."""
Report = Callable[[str], None]


def paths(environment: Environment, settings: Settings) -> Paths:
    """Where the lock of an environment stands."""
    folder = settings.locks_directory or environment.path.parent
    name = environment.name
    return Paths(
        manifest=folder / f"{name}.lock.json",
        conda=folder / f"{name}.conda.lock",
        pip=folder / f"pylock.{name.replace('.', '-')}.toml",
    )


def make_lock(
    environment: Environment, settings: Settings, *, upgrade: bool = False, report: Report | None = None
) -> Lock:
    """Solve both parts and write the three files, the manifest last; what an existing lock pins stays where it fits.

    `upgrade` takes the newest of everything instead. `report` is told, in a line each, what people should know.
    Raises ProvisionError.
    """
    where = paths(environment, settings)
    kept = None if upgrade else where
    text, records = solve(environment, settings, floors.meant_cuda(environment), _text(kept.conda) if kept else None)
    pip = _pip_packages(environment, settings, records, kept, report) if environment.pip else ()
    floors.refuse_cpu_torch(environment, records, pip)
    second, users = floors.second_cuda(records, pip)
    if report and second:
        named = ", ".join(users)
        report(f"warning: `{environment.name}` gets CUDA {second} beside torch's, by {named}: pin these")
    machine = pip_part.machine_of(settings.platform)
    pip_text = pylock.write(pip, _python(records), machine) if environment.pip else None
    manifest = _manifest(environment, settings, records, pip, text, pip_text)
    lock = from_manifest({**manifest, "locked": _locked(where, content_digest(manifest))}, where)
    _write(where, text, pip_text, {"format": FORMAT, "digest": lock.digest, "locked": lock.locked, **manifest})
    return lock


def read_lock(environment: Environment, settings: Settings) -> Lock | None:
    """The lock of an environment as its files say, None when it has none.

    Raises ProvisionError when a file is missing, is not what the manifest says, or is of another format. Whether the
    lock still fits its environment.yml says `check`.
    """
    where = paths(environment, settings)
    try:
        text = _text(where.manifest)
        if text is None:
            return None
        manifest = json.loads(text)
        if manifest["format"] != FORMAT:
            raise _unusable(where.manifest, f"it is of format {manifest['format']}, this program reads {FORMAT}")
        lock = from_manifest(manifest, where)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _unusable(where.manifest, f"it cannot be read: {error!r}") from None
    if lock.digest != manifest["digest"]:
        raise _tampered(where.manifest, "its digest is not that of its content")
    for path, wanted in ((where.conda, lock.files["conda"]), (where.pip, lock.files["pip"])):
        if wanted:
            _check_file(path, wanted)
    return lock


def check(environment: Environment, lock: Lock, settings: Settings | None = None) -> list[str]:
    """Why a lock does not fit its environment.yml (and the system floor of `settings`); empty when it does.

    A file in which only comments or layout changed still fits.
    """
    reasons = [] if environment.sha256 == lock.environment_sha256 else _differences(lock.asks, environment.asks())
    if settings:
        offered = tuple(_offered(environment, settings))
        if settings.platform != lock.platform:
            reasons.append(f"it is for {lock.platform}, {settings.platform} is declared")
        elif offered != lock.virtual_packages:
            lost, gained = set(lock.virtual_packages) - set(offered), set(offered) - set(lock.virtual_packages)
            reasons.append(f"the system floor was {_listed(lost)}, {_listed(gained)} is declared")
    return reasons


def _check_file(path: Path, wanted: str) -> None:
    try:
        found = _sha256(path.read_bytes())
    except FileNotFoundError:
        raise _tampered(path, "it is missing") from None
    if found != wanted:
        raise _tampered(path, f"its SHA-256 is {found[:12]}…, the manifest says {wanted[:12]}…")


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


def _pip_packages(
    environment: Environment,
    settings: Settings,
    records: list[dict[str, Any]],
    kept: Paths | None,
    report: Report | None,
) -> tuple[PipPackage, ...]:
    conda, unmapped = pip_part.provided(records)
    if report and unmapped:
        report(f"`{environment.name}`: taken to have the same name on PyPI as in conda: {', '.join(unmapped)}")
    python = _python(records)
    if python is None:
        raise ProvisionError(
            f"`{environment.name}` has a pip part and no Python",
            where=environment.pip[0].where,
            cause="none of its conda packages brings one",
            hint="add `python=3.11` to `dependencies`",
        )
    previous = kept.pip if kept and kept.pip.exists() else None
    return pip_part.resolve(environment, settings, python, conda, previous)


def _python(records: list[dict[str, Any]]) -> str | None:
    return next((str(record["version"]) for record in records if record["name"] == "python"), None)


def _manifest(
    environment: Environment,
    settings: Settings,
    records: list[dict[str, Any]],
    pip: tuple[PipPackage, ...],
    text: str,
    pip_text: str | None,
) -> dict[str, Any]:
    """All that a manifest says, but for its format, its digest and when it was locked."""
    return {
        "name": environment.name,
        "environment": {"sha256": environment.sha256, "asks": environment.asks()},
        "platform": settings.platform,
        "virtual_packages": _offered(environment, settings),
        "python": _python(records),
        "floor": floors.floor(records, pip),
        "expect": floors.expected(records, pip),
        "imports": list(names.modules(environment, records)),
        "simulated": any(record.get("license") == STAND_IN for record in records),
        "variables": dict(environment.variables),
        "provided": sorted(pip_part.provided(records)[0]),
        "files": {"conda": _sha256(text.encode()), "pip": _sha256(pip_text.encode()) if pip_text is not None else None},
        "packages": [
            {key: record.get(key) or 0 if key == "size" else record[key] for key in CONDA_FIELDS} for record in records
        ],
        "pip": [asdict(package) for package in pip],
    }


def _locked(where: Paths, digest: str) -> str:
    """When a lock with this digest was locked: now, or when the one that is there was, if it holds the same.

    Never before that one, whatever a clock says: of two locks the later is the one that was made from the other.
    """
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    try:
        before = json.loads(where.manifest.read_text("utf-8"))
        then = str(before["locked"])
        return then if content_digest(before) == digest else max(then, now)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return now


def _write(where: Paths, conda: str, pip: str | None, manifest: Mapping[str, Any]) -> None:
    """The manifest comes last: a lock that was only half written does not fit it. What is signed no more says so."""
    where.manifest.parent.mkdir(parents=True, exist_ok=True)
    write_whole(where.conda, conda)
    if pip is None:
        where.pip.unlink(missing_ok=True)
    else:
        write_whole(where.pip, pip)
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    if text != _text(where.manifest):
        where.signature.unlink(missing_ok=True)
    write_whole(where.manifest, text)


def _offered(environment: Environment, settings: Settings) -> list[str]:
    return ["=".join(package) for package in virtual_packages(settings, floors.meant_cuda(environment))]


def _listed(packages: set[str]) -> str:
    return ", ".join(sorted(package.rpartition("=")[0] for package in packages)) or "nothing"


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _unusable(path: Path, cause: str) -> ProvisionError:
    return ProvisionError(f"the lock `{path}` cannot be used", cause=cause, hint="make it again with `provision lock`")


def _tampered(path: Path, cause: str) -> ProvisionError:
    return ProvisionError(
        f"the lock file `{path}` is not what was locked",
        cause=cause,
        hint="take it from version control again, or make it again with `provision lock`",
    )
