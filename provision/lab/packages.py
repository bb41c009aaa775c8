"""The .conda archives of the lab's channel: what a package is, and how it is written.

Owns the format only; what goes into a package is decided by the modules that describe one. The same package gives the
same bytes on every machine, so that a lock made against one lab holds on the next.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import tarfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["EPOCH", "PLACEHOLDER", "STAND_IN_LICENSE", "Entry", "Package", "sorted_entries", "write"]

PLACEHOLDER = "/opt/" + "placehold_" * 25
"""What text files carry in place of the prefix; 255 characters, as conda-build has it."""

EPOCH = 1_709_251_200
"""The one time stamp of everything built here (2024-03-01), in seconds."""

STAND_IN_LICENSE = "LicenseRef-provision-stand-in"

_STAND_IN_NOTE = """\
This package is a stand-in, made by provision's lab. It carries the name, version and dependencies of a real package,
and nothing of what the real one does. It is not for use outside the lab.
"""


@dataclass(frozen=True)
class Entry:
    """A file of a package, or (with `target`) a symbolic link; `text` says that it carries the placeholder."""

    path: str
    data: bytes = b""
    mode: int = 0o644
    target: str = ""
    text: bool = False


@dataclass(frozen=True)
class Package:
    """One conda package: its record, and its files.

    `noarch` is "", "generic" or "python"; of a "python" one, `scripts` ("name = module:function") are made by the
    installer.
    """

    name: str
    version: str
    build: str
    depends: Sequence[str] = ()
    constrains: Sequence[str] = ()
    noarch: str = ""
    license: str = STAND_IN_LICENSE
    entries: Sequence[Entry] = ()
    scripts: Sequence[str] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stem(self) -> str:
        return f"{self.name}-{self.version}-{self.build}"

    @property
    def subdir(self) -> str:
        return "noarch" if self.noarch else "linux-64"

    @property
    def stand_in(self) -> bool:
        return self.license == STAND_IN_LICENSE


def sorted_entries(entries: Iterable[Entry]) -> list[Entry]:
    """The entries in the order of their paths; raises ValueError if two have the same one."""
    ordered = sorted(entries, key=lambda entry: entry.path)
    for one, other in itertools.pairwise(ordered):
        if one.path == other.path:
            raise ValueError(f"`{one.path}` is there twice")
    return ordered


def write(package: Package, folder: Path, *, level: int = 6) -> Path:
    """Write the package into the folder of its channel (under linux-64/ or noarch/) and return the archive's path."""
    path = folder / package.subdir / f"{package.stem}.conda"
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = sorted_entries(package.entries)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        _put(archive, "metadata.json", b'{"conda_pkg_format_version": 2}')
        _put(archive, f"pkg-{package.stem}.tar.zst", _compressed(entries, level))
        _put(archive, f"info-{package.stem}.tar.zst", _compressed(_info(package, entries), level))
    return path


def _put(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, (2024, 3, 1, 0, 0, 0)), data)


def _compressed(entries: Iterable[Entry], level: int) -> bytes:
    import zstandard

    return bytes(zstandard.ZstdCompressor(level=level).compress(_tar(entries)))


def _tar(entries: Iterable[Entry]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for entry in entries:
            member = tarfile.TarInfo(entry.path)
            member.mtime, member.mode = EPOCH, entry.mode
            if entry.target:
                member.type, member.linkname, member.mode = tarfile.SYMTYPE, entry.target, 0o777
            member.size = len(entry.data)
            archive.addfile(member, io.BytesIO(entry.data))
    return buffer.getvalue()


def _info(package: Package, entries: Sequence[Entry]) -> list[Entry]:
    info = [
        Entry("info/about.json", _json({"license": package.license, "summary": package.extra.get("summary", "")})),
        Entry("info/files", "".join(f"{entry.path}\n" for entry in entries).encode()),
        Entry("info/index.json", _json(_index(package))),
        Entry("info/paths.json", _json({"paths": [_path(entry) for entry in entries], "paths_version": 1})),
    ]
    if package.noarch == "python":
        noarch = {"type": "python", "entry_points": list(package.scripts)}
        info.append(Entry("info/link.json", _json({"noarch": noarch, "package_metadata_version": 1})))
    if package.stand_in:
        info.append(Entry("info/provision-stand-in", _STAND_IN_NOTE.encode()))
    return sorted_entries(info)


def _index(package: Package) -> dict[str, Any]:
    index: dict[str, Any] = {
        "name": package.name,
        "version": package.version,
        "build": package.build,
        "build_number": package.extra.get("build_number", _build_number(package.build)),
        "depends": list(package.depends),
        "constrains": list(package.constrains),
        "license": package.license,
        "subdir": package.subdir,
        "arch": None if package.noarch else "x86_64",
        "platform": None if package.noarch else "linux",
        "timestamp": EPOCH * 1000,
    }
    if package.noarch:
        index["noarch"] = package.noarch
    if "track_features" in package.extra:
        index["track_features"] = package.extra["track_features"]
    return index


def _build_number(build: str) -> int:
    last = build.removesuffix("_cpython").rsplit("_", 1)[-1]
    return int(last) if last.isdigit() else 0


def _path(entry: Entry) -> dict[str, Any]:
    if entry.target:
        return {"_path": entry.path, "path_type": "softlink", "sha256": _sha256(b""), "size_in_bytes": 0}
    path: dict[str, Any] = {
        "_path": entry.path,
        "path_type": "hardlink",
        "sha256": _sha256(entry.data),
        "size_in_bytes": len(entry.data),
    }
    if entry.text:
        path |= {"prefix_placeholder": PLACEHOLDER, "file_mode": "text"}
    return path


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True).encode() + b"\n"
