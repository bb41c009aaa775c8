"""The lab's Python package index (PEP 503 with hashes, PEP 658 metadata): real wheels and stand-ins.

Owns how the index is laid out; what it holds is the business of packages_wheels.
"""

from __future__ import annotations

import hashlib
import html
import os
import zipfile
from collections.abc import Iterable
from pathlib import Path

from packaging.utils import canonicalize_name

from provision.lab import built, packages_wheels, stubs

__all__ = ["build"]

_SOURCES = ("packages_wheels.py", "packages_wheels.yaml", "pyindex.py", "stubs.py", "stubs_torch")


def build(www: Path, cache: Path) -> None:
    """Lay out `www`/simple/NAME/ with the wheels beside the pages; built once for the same inputs, kept in `cache`.

    Raises ProvisionError if the wheels cannot be had.
    """
    key = built.key([], *_SOURCES)
    folder = built.kept(cache, "simple", key, lambda aside: _make(aside, cache))
    built.lay_out(folder, www / "simple")


def _make(top: Path, cache: Path) -> None:
    fetched = packages_wheels.fetch(packages_wheels.real_wheels(), cache / "wheels")
    for wheel in packages_wheels.real_wheels():
        folder = top / wheel.name
        folder.mkdir(exist_ok=True)
        os.link(fetched[wheel.file_name], folder / wheel.file_name)
    for stub in packages_wheels.stubs():
        folder = top / canonicalize_name(stub.name)
        folder.mkdir(exist_ok=True)
        _write(stub, folder / stub.file_name)
    names = sorted(folder.name for folder in top.iterdir())
    for name in names:
        (top / name / "index.html").write_text(
            _page(f"Links for {name}", map(_link, sorted((top / name).glob("*.whl"))))
        )
    (top / "index.html").write_text(_page("Simple index", (f'<a href="{name}/">{name}</a>' for name in names)))


def _write(stub: stubs.Stub, path: Path) -> None:
    """Write the wheel of a stand-in; the same bytes whenever it is made."""
    entries = stubs.wheel_entries(stub)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in entries:
            archive.writestr(_member(entry.path), entry.data)
        archive.writestr(_member(f"{stub.information}/RECORD"), stubs.record(entries, stub.information))


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, (2024, 3, 1, 0, 0, 0))
    member.external_attr = 0o644 << 16
    member.compress_type = zipfile.ZIP_DEFLATED
    return member


def _link(path: Path) -> str:
    """One line of a page, after the wheel's metadata was laid beside it."""
    metadata = _metadata(path)
    path.with_name(f"{path.name}.metadata").write_bytes(metadata)
    attributes = [f'data-core-metadata="sha256={hashlib.sha256(metadata).hexdigest()}"']
    for line in metadata.decode().split("\n\n")[0].splitlines():
        if line.startswith("Requires-Python: "):
            attributes.append(f'data-requires-python="{html.escape(line.split(": ", 1)[1].strip())}"')
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return f'<a href="{path.name}#sha256={sha256}" {" ".join(attributes)}>{path.name}</a>'


def _metadata(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA") and n.count("/") == 1)
        return archive.read(name)


def _page(title: str, links: Iterable[str]) -> str:
    head = (
        f'<!DOCTYPE html>\n<html><head><meta name="pypi:repository-version" content="1.0"><title>{title}</title></head>'
    )
    return f"{head}\n<body>\n<h1>{title}</h1>\n" + "".join(f"{link}<br>\n" for link in links) + "</body></html>\n"
