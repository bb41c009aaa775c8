"""The lab's conda channels: pytorch, nvidia and conda-forge, built from Debian's Python, wheels of PyPI and stand-ins.

Owns what they hold (packages_conda.yaml) and when they are built again; not how they are served.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from provision.lab import built, packages_debian, packages_wheels
from provision.lab.packages import Package, write
from provision.lab.packages_index import index
from provision.lab.packages_stand_ins import stand_in

__all__ = ["CHANNELS", "build", "contents"]

CHANNELS = ("pytorch", "nvidia", "conda-forge")

_SOURCES = (
    "channel.py",
    "packages.py",
    "packages_conda.yaml",
    "packages_debian.py",
    "packages_stand_ins.py",
    "packages_wheels.py",
    "packages_wheels.yaml",
    "stubs.py",
    "stubs_torch",
)


def build(www: Path, cache: Path, debian: Path) -> None:
    """Lay out `www`/conda/CHANNEL/{linux-64,noarch}; built once for the same inputs, and kept in `cache`.

    `debian` is the root of an installed Debian 12 whose Python is packed. Raises ProvisionError if that is none, or if
    the wheels cannot be had.
    """
    libraries = [row["debian"] for row in contents()["debian"]["libraries"]]
    key = built.key([packages_debian.fingerprint(debian, libraries)], *_SOURCES)
    folder = built.kept(cache, "conda", key, lambda aside: _make(aside, cache, debian))
    built.lay_out(folder, www / "conda")


def contents() -> dict[str, Any]:
    """The data file."""
    text = (resources.files("provision.lab") / "packages_conda.yaml").read_text("utf-8")
    data: dict[str, Any] = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 (a safe loader)
    return data


def _make(top: Path, cache: Path, debian: Path) -> None:
    data = contents()
    for name in CHANNELS:
        for subdir in ("linux-64", "noarch"):
            (top / name / subdir).mkdir(parents=True)
    known = packages_wheels.stubs()
    for name, rows in data["stand-ins"].items():
        for row in rows:
            write(stand_in(row, known), top / name)
    for package in _real(data, cache, debian):
        write(package, top / "conda-forge")
    index(top / name for name in CHANNELS)


def _real(data: dict[str, Any], cache: Path, debian: Path) -> Iterator[Package]:
    system = packages_debian.Debian(debian)
    native = [system.library_package(row) for row in data["debian"]["libraries"]]
    native.append(system.python_package(data["debian"]["python"]))
    with packages_debian.Interpreter.unpacked(native) as interpreter:
        yield from (interpreter.compiled(package) for package in native)
        yield from (interpreter.compiled(package) for package in _wheels(data["wheels"], cache))


def _wheels(rows: list[dict[str, Any]], cache: Path) -> Iterator[Package]:
    paths = packages_wheels.fetch(packages_wheels.real_wheels(), cache / "wheels")
    by_name = {f"{wheel.name}-{wheel.version}": paths[wheel.file_name] for wheel in packages_wheels.real_wheels()}
    for row in rows:
        yield packages_wheels.repacked(by_name[row["wheel"]], row)
