"""The tools that travel to a host: rattler and supervisor (zips with importable packages), uv (a compressed binary).

Owns `STATE/tools/<12 hex of the archive>/`, unpacked once and only ever used whole: a folder appears there by a
rename. Must not run them (installer.py and wheels.py do).
"""

from __future__ import annotations

import os
from typing import Callable

from . import files
from .resource import Refusal
from .system import System

__all__ = ["rattler_directory", "supervisor_directory", "uv_program"]


def rattler_directory(system: System, archive: str) -> str:
    """The folder to put on `sys.path` for the rattler whose archive has this SHA-256; unpacked on first use."""
    return _unpacked(system, archive, _unzip)


def uv_program(system: System, archive: str) -> str:
    """The path of the uv whose compressed binary has this SHA-256; unpacked on first use."""
    return os.path.join(_unpacked(system, archive, _gunzip), "uv")


def supervisor_directory(system: System, archive: str) -> str:
    """The folder with supervisor and its programs whose archive has this SHA-256; unpacked on first use."""
    return _unpacked(system, archive, _unzip)


def _unpacked(system: System, archive: str, unpack: Callable[[str, str], None]) -> str:
    import shutil

    folder = os.path.join(system.state_directory, "tools", archive[:12])
    if os.path.isdir(folder):
        return _trusted(folder)
    source, aside = system.blob(archive), "%s.%d" % (folder, os.getpid())
    _check(source, archive)
    _remove_abandoned(folder)
    os.makedirs(aside, 0o755)
    try:
        unpack(source, aside)
        files.sync_file_system(aside)
        os.rename(aside, folder)
        files.sync_folder(folder)
    except OSError:
        if not os.path.isdir(folder):
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return _trusted(folder)


def _remove_abandoned(folder: str) -> None:
    """What killed unpackings left: those of processes that are no more, and of an earlier one of our number."""
    import shutil

    above, name = os.path.split(folder)
    for entry in os.listdir(above) if os.path.isdir(above) else []:
        start, _, pid = entry.partition(".")
        if start == name and pid.isdigit() and (int(pid) == os.getpid() or not os.path.isdir("/proc/%s" % pid)):
            shutil.rmtree(os.path.join(above, entry), ignore_errors=True)


def _check(path: str, archive: str) -> None:
    import hashlib

    digest = hashlib.sha256()
    with open(path, "rb") as source:
        for chunk in iter(lambda: source.read(1 << 20), b""):
            digest.update(chunk)
    if digest.hexdigest() != archive:
        raise Refusal(
            "an installer archive arrived damaged",
            "SHA-256 is %s, meant is %s" % (digest.hexdigest(), archive),
            "run again",
        )


def _trusted(folder: str) -> str:
    status = os.stat(folder)
    if status.st_uid not in (os.geteuid(), 0) or status.st_mode & 0o022:
        raise Refusal(
            "`%s` is not trusted" % folder,
            "it belongs to user %d with mode %o: others could change what runs there" % (status.st_uid, status.st_mode),
            "remove it and run again",
        )
    return folder


def _unzip(source: str, folder: str) -> None:
    import zipfile

    with zipfile.ZipFile(source) as archive:
        archive.extractall(folder)


def _gunzip(source: str, folder: str) -> None:
    import gzip
    import shutil

    path = os.path.join(folder, "uv")
    with gzip.open(source) as packed, open(path, "wb") as binary:
        shutil.copyfileobj(packed, binary, 1 << 20)
    os.chmod(path, 0o755)  # noqa: S103 (a program that all may run)
