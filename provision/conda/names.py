"""One package under its three names: conda's, PyPI's, and what Python imports. Knows the carried table, no network."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

from packaging.utils import canonicalize_name

from provision.conda.environment import Environment

__all__ = ["distributions", "is_python_package", "modules"]


@functools.cache
def _table() -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath("names.toml").read_text("utf-8"))


def is_python_package(record: Mapping[str, Any]) -> bool:
    """Whether a conda package needs Python at run time, which those that hold a distribution do."""
    needs = {str(depends).split()[0].split("=")[0] for depends in record.get("depends", ())}
    return record.get("noarch") == "python" or not needs.isdisjoint({"python", "python_abi"})


def distributions(record: Mapping[str, Any]) -> tuple[tuple[str, ...], bool]:
    """PyPI's names (canonical form) for what a conda package provides, and whether that is known.

    By the package's purls, else by the table. An unknown Python package is taken to have the same name on PyPI.
    """
    purls = [
        str(purl).partition("?")[0].rpartition("@")[0] or str(purl).partition("?")[0]
        for purl in record.get("purls") or ()
    ]
    named = tuple(canonicalize_name(purl.removeprefix("pkg:pypi/")) for purl in purls if purl.startswith("pkg:pypi/"))
    name, table = str(record["name"]), _table()
    if named or name in table["distributions"]:
        return named or tuple(table["distributions"][name]), True
    if not is_python_package(record) or name in table["none"]["names"]:
        return (), True
    same = canonicalize_name(name)
    return (same,), same in table["same"]["names"]


def modules(environment: Environment, records: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """What Python must be able to import of what environment.yml itself asks for, in its order."""
    locked = {str(record["name"]): record for record in records}
    asked = [spec.name for spec in environment.conda if spec.name in locked and is_python_package(locked[spec.name])]
    found = [_module(name) for name in [*asked, *(line.name for line in environment.pip)]]
    return tuple(dict.fromkeys(module for module in found if module))


def _module(name: str) -> str:
    known = _table()["modules"]
    return str(known.get(name, known.get(canonicalize_name(name), name.replace("-", "_"))))
