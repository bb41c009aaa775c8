"""What a lock holds, as its manifest says; quick to import, since a run with good locks needs no more of this package.

Pure. Whether a lock is what was locked, and whether it still fits its environment.yml, `lock.py` says.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import field, fields
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from provision.agent.record import record
from provision.kinds import conform

__all__ = ["CONDA_FIELDS", "CondaPackage", "Lock", "Paths", "PipPackage", "Wheel", "content_digest", "from_manifest"]

_GLIBC = re.compile(r"manylinux_(\d+)_(\d+)_")
_OLD_TAGS = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}


@record(frozen=True, slots=True)
class Wheel:
    """`url` is canonical; `size` is 0 where the index does not say."""

    url: str
    sha256: str
    size: int = 0

    @property
    def file_name(self) -> str:
        return unquote(self.url.partition("#")[0].rpartition("/")[2])


@record(frozen=True, slots=True)
class PipPackage:
    """One distribution of the pip part. `index` is the canonical URL that it is bound to; `kind` as in Index."""

    name: str
    version: str
    index: str
    kind: str
    wheels: tuple[Wheel, ...]
    by: tuple[str, ...] = ()
    """Who asked for it: names of distributions, "" for environment.yml itself."""

    def glibc(self) -> tuple[int, int] | None:
        """The least glibc that one of the wheels runs on; None where one runs on any."""
        needs = [_glibc_of(wheel.file_name) for wheel in self.wheels]
        return None if None in needs else min((need for need in needs if need), default=None)


@record(frozen=True, slots=True)
class CondaPackage:
    name: str
    version: str
    build: str
    url: str
    sha256: str
    size: int


CONDA_FIELDS = tuple(field.name for field in fields(CondaPackage))


@record(frozen=True, slots=True)
class Paths:
    """The three files of a lock, and the signature of the first."""

    manifest: Path
    conda: Path
    pip: Path

    @property
    def signature(self) -> Path:
        return self.manifest.with_name(self.manifest.name + ".sig")


@record(frozen=True)
class Lock:
    """What is installed, and what a host must have (`floor`) and show (`imports`, `expect`) for it.

    `digest` is the SHA-256 (hex) of everything that shapes the environment on a host: an edit of environment.yml that
    changes none of it leaves the digest as it was. `asks` is what environment.yml asked for when it was locked, and
    `environment_sha256` that file. `locked` is when what it holds last changed, in UTC. `simulated`: it holds packages
    that only carry the names of others.
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
    locked: str
    provided: tuple[str, ...]
    """PyPI's names of what conda's packages provide."""
    asks: Mapping[str, Any] = field(repr=False)
    files: Mapping[str, str | None] = field(repr=False)
    """SHA-256 of the files `conda` and `pip` (None: there is no pip part)."""

    def __hash__(self) -> int:
        return hash(self.digest)


_FORM: dict[str, Any] = {
    "name": str,
    "locked": str,
    "packages": list[dict],  # type: ignore[type-arg]
    "pip": list[dict],  # type: ignore[type-arg]
    "platform": str,
    "virtual_packages": list[str],
    "floor": dict[str, str | None],
    "expect": dict[str, str],
    "imports": list[str],
    "simulated": bool,
    "python": str | None,
    "variables": dict[str, str],
    "provided": list[str],
    "environment": dict[str, Any],
    "files": dict[str, str | None],
}


def from_manifest(manifest: Mapping[str, Any], where: Paths) -> Lock:
    """The lock that a manifest describes; raises KeyError, TypeError and ValueError where it is none."""
    for key, kind in _FORM.items():
        conform(kind, manifest[key])
    conform(str, manifest["environment"]["sha256"])
    conform(dict, manifest["environment"]["asks"])
    wheels = [wheel for package in manifest["pip"] for wheel in package["wheels"]]
    for item in [*manifest["packages"], *wheels]:
        _need_plain(item)
    pip = (
        PipPackage(
            **{**package, "wheels": tuple(Wheel(**wheel) for wheel in package["wheels"]), "by": tuple(package["by"])}
        )
        for package in manifest["pip"]
    )
    return Lock(
        name=manifest["name"],
        locked=manifest["locked"],
        digest=content_digest(manifest),
        paths=where,
        packages=tuple(CondaPackage(**package) for package in manifest["packages"]),
        pip=tuple(pip),
        platform=manifest["platform"],
        virtual_packages=tuple(manifest["virtual_packages"]),
        floor=manifest["floor"],
        expect=manifest["expect"],
        imports=tuple(manifest["imports"]),
        simulated=manifest["simulated"],
        python=manifest["python"],
        variables=manifest["variables"],
        provided=tuple(manifest["provided"]),
        environment_sha256=manifest["environment"]["sha256"],
        asks=manifest["environment"]["asks"],
        files={part: manifest["files"][part] for part in ("conda", "pip")},
    )


def _need_plain(item: Mapping[str, Any]) -> None:
    """ValueError unless the size is a number and all else is text."""
    if any(type(value) is not (int if key == "size" else str) for key, value in item.items()):
        raise ValueError(f"a package of another form: {item!r:.200}")


_OF_THE_FILE = ("format", "digest", "environment", "locked")
"""What a manifest says of itself, and not of the environment."""


def content_digest(manifest: Mapping[str, Any]) -> str:
    """The SHA-256 of what shapes the environment on a host, in one canonical form."""
    content = {key: value for key, value in manifest.items() if key not in _OF_THE_FILE}
    return hashlib.sha256(
        json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    ).hexdigest()


def _glibc_of(file_name: str) -> tuple[int, int] | None:
    from packaging.utils import parse_wheel_filename

    needs = []
    for tag in parse_wheel_filename(file_name)[3]:
        found = _GLIBC.match(tag.platform)
        old = next((need for word, need in _OLD_TAGS.items() if tag.platform.startswith(word + "_")), None)
        needs.append((int(found[1]), int(found[2])) if found else old)
    return None if None in needs else min((need for need in needs if need), default=None)
