"""What package managers wrote down in a prefix: conda's records, and what uv or pip installed.

Reads only `conda-meta/*.json` and `*.dist-info`; must not judge.
"""

from __future__ import annotations

import json
import os
from typing import Any, Dict, Iterator, List, Optional, Tuple

from .system import System

__all__ = ["checksums", "conda_records", "installed", "normalized", "pip_folders", "site_packages"]


def conda_records(system: System, path: str) -> List[Dict[str, Any]]:
    """The records of `conda-meta`, sorted by name."""
    folder = os.path.join(path, "conda-meta")
    try:
        names = [name for name in os.listdir(folder) if name.endswith(".json")]
    except OSError:
        return []
    records = [json.loads(system.read(os.path.join(folder, name))) for name in names]
    return sorted((record for record in records if "name" in record), key=lambda record: str(record["name"]))


def site_packages(path: str) -> Optional[str]:
    """The prefix's site-packages, or None where there is no python."""
    try:
        versions = [name for name in os.listdir(os.path.join(path, "lib")) if name.startswith("python3.")]
    except OSError:
        return None
    folders = [os.path.join(path, "lib", name, "site-packages") for name in sorted(versions)]
    return next((folder for folder in folders if os.path.isdir(folder)), None)


def pip_folders(path: str, records: List[Dict[str, Any]]) -> Iterator[Tuple[str, str, str]]:
    """`(name, version, dist-info folder)` of what uv or pip installed and none of conda's `records` owns."""
    folder = site_packages(path)
    if folder is None:
        return
    owned = {file for record in records for file in record.get("files", ())}
    for entry in sorted(os.listdir(folder)):
        metadata = os.path.relpath(os.path.join(folder, entry, "METADATA"), path)
        if entry.endswith(".dist-info") and metadata not in owned:
            name, _, version = entry[: -len(".dist-info")].partition("-")
            yield normalized(name), version, os.path.join(folder, entry)


def installed(system: System, path: str) -> List[Tuple[str, str, str, str]]:
    """`(kind, name, version, build)` of every package in a prefix; build is "" for pip's."""
    records = conda_records(system, path)
    conda = [("conda", str(record["name"]), str(record["version"]), str(record.get("build", ""))) for record in records]
    return sorted(conda + [("pip", name, version, "") for name, version, _ in pip_folders(path, records)])


def checksums(system: System, path: str) -> Dict[str, str]:
    """Relative path to SHA-256 (hex) of every file that a package's records give one for."""
    sums: Dict[str, str] = {}
    records = conda_records(system, path)
    for record in records:
        for entry in record.get("paths_data", {}).get("paths", ()):
            digest = entry.get("sha256_in_prefix") or entry.get("sha256")
            if digest and entry.get("path_type") != "softlink":
                sums[entry["_path"]] = digest
    for _, _, folder in pip_folders(path, records):
        sums.update(_wheel_checksums(system, path, folder))
    sums.update(_rewritten(system, path))
    return sums


def normalized(name: str) -> str:
    """A Python package's name as indexes compare it (PEP 503)."""
    return "-".join(part for part in name.lower().replace("_", "-").replace(".", "-").split("-") if part)


def _wheel_checksums(system: System, path: str, folder: str) -> Dict[str, str]:
    import base64
    import csv

    base, sums = os.path.dirname(folder), {}
    for row in csv.reader(system.read_text(os.path.join(folder, "RECORD")).splitlines()):
        if len(row) > 1 and row[1].startswith("sha256="):
            digest = row[1][len("sha256=") :]
            name = os.path.relpath(os.path.normpath(os.path.join(base, row[0])), path)
            sums[name] = base64.urlsafe_b64decode(digest + "=" * (-len(digest) % 4)).hex()
    return sums


def _rewritten(system: System, path: str) -> Dict[str, str]:
    """Scripts whose first line was changed at build, with the content's new checksum."""
    try:
        return dict(json.loads(system.read_text(os.path.join(path, ".provision", "rewritten.json"))))
    except (OSError, ValueError):
        return {}
