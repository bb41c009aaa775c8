"""Conda packages that stand in for real ones: name, version and dependencies of a row of the data file, few files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from packaging.utils import canonicalize_name

from provision.lab import stubs
from provision.lab.packages import Entry, Package

__all__ = ["stand_in"]

_SITE_PACKAGES = "lib/python3.11/site-packages"
_BUNDLED = re.compile(r"(nvidia-|(triton|cmake|lit)\b)")


def stand_in(row: Mapping[str, Any], known: Iterable[stubs.Stub] = ()) -> Package:
    """The package of a row; its Python modules require what the index's stub of the same version does.

    CUDA, triton and what only triton's wheel asks for are left out of that: conda's torch has them as conda packages.
    """
    python = _python(row, known) if "python" in row else ()
    return Package(
        name=row["name"],
        version=row["version"],
        build=row["build"],
        depends=row.get("depends", ()),
        constrains=row.get("constrains", ()),
        noarch=row.get("noarch", ""),
        entries=[*_marks(row), *_programs(row), *_activation(row), *_post_link(row), *python],
        extra={"summary": f"a stand-in of {row['name']}"} | _features(row),
    )


def _features(row: Mapping[str, Any]) -> dict[str, str]:
    return {"track_features": row["track_features"]} if "track_features" in row else {}


def _marks(row: Mapping[str, Any]) -> Iterator[Entry]:
    text = f"{row['name']} {row['version']} {row['build']}: a stand-in of provision's lab\n"
    yield Entry(f"share/provision-stand-in/{row['name']}", text.encode())


def _programs(row: Mapping[str, Any]) -> Iterator[Entry]:
    for name in row.get("programs", ()):
        text = f'#!/bin/sh\necho "{name} {row["version"]}: a stand-in of provision\'s lab"\n'
        yield Entry(f"bin/{name}", text.encode(), 0o755)


def _activation(row: Mapping[str, Any]) -> Iterator[Entry]:
    variables: Mapping[str, str] = row.get("activate", {})
    if variables:
        sets = "".join(f'export {name}="{value}"\n' for name, value in variables.items())
        unsets = "".join(f"unset {name}\n" for name in variables)
        yield Entry(f"etc/conda/activate.d/{row['name']}_activate.sh", sets.encode())
        yield Entry(f"etc/conda/deactivate.d/{row['name']}_deactivate.sh", unsets.encode())


def _post_link(row: Mapping[str, Any]) -> Iterator[Entry]:
    if "post_link" in row:
        yield Entry(f"bin/.{row['name']}-post-link.sh", f"#!/bin/sh\n{row['post_link']}\n".encode(), 0o755)


def _python(row: Mapping[str, Any], known: Iterable[stubs.Stub]) -> Sequence[Entry]:
    top = "site-packages" if row.get("noarch") == "python" else _SITE_PACKAGES
    modules: Mapping[str, Mapping[str, Any]] = row["python"]
    name, fields = next(iter(modules.items()))
    stub = stubs.Stub(
        name=name,
        version=row["version"],
        modules=tuple(modules),
        requires=_requires(name, row["version"], known),
        **fields,
    )
    entries = [Entry(f"{top}/{entry.path}", entry.data, entry.mode) for entry in stubs.wheel_entries(stub)]
    return [*entries, Entry(f"{top}/{stub.information}/INSTALLER", b"conda\n")]


def _requires(name: str, version: str, known: Iterable[stubs.Stub]) -> Sequence[str]:
    for stub in known:
        if (canonicalize_name(stub.name), stub.version) == (canonicalize_name(name), version):
            return [text for text in stub.requires if not _BUNDLED.match(text)]
    return ()
