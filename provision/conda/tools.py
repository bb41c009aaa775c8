"""The installers that are sent to a host: rattler (a zip with an importable package) and uv (one compressed binary).

Packed once and kept in the cache folder, named by what they are; the same input packs to the same bytes. What packing
needs is imported then: every run asks what is packed.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision.agent.record import record
from provision.cache import cache_folder, once
from provision.errors import ProvisionError
from provision.installed import version as installed_version
from provision.whole_file import write_whole

if TYPE_CHECKING:
    import zipfile

__all__ = ["NoInstaller", "Target", "Tool", "kept", "pack_files", "rattler_archive", "uv", "uv_archive"]

OLD_RATTLER = "0.25.0"
"""The last py-rattler for Python 3.8 and 3.9; it reads the lock files of newer ones."""
OLDEST_PYTHON = (3, 8)
_PLATFORMS = {"x86_64": "x86_64-manylinux_2_28", "aarch64": "aarch64-manylinux_2_28"}
_EPOCH = (1980, 1, 1, 0, 0, 0)


@record(frozen=True, slots=True)
class Target:
    """What an installer must run on: the host's own Python and its architecture."""

    python: tuple[int, int]
    architecture: str

    @staticmethod
    def of(facts: Mapping[str, Any] | None) -> Target:
        """The target that a host's facts say; without facts, one that is like this machine."""
        facts = facts or {}
        major, minor = [*str(facts.get("python") or "{}.{}".format(*sys.version_info)).split("."), "0"][:2]
        return Target((int(major), int(minor)), str(facts.get("architecture") or os.uname().machine))

    def __str__(self) -> str:
        return f"Python {self.python[0]}.{self.python[1]}, {self.architecture}"

    @property
    def like_here(self) -> bool:
        """Whether what is installed here runs there."""
        return sys.platform == "linux" and os.uname().machine == self.architecture


@record(frozen=True, slots=True)
class Tool:
    sha256: str
    path: Path


class NoInstaller(ProvisionError):
    """There is no build of an installer for a host's Python and architecture."""


def uv() -> str:
    """The path of the uv binary that came with this program."""
    from uv import find_uv_bin

    return os.fspath(find_uv_bin())


@once
def rattler_archive(target: Target) -> Tool:
    """The zip whose `rattler` is importable once unpacked on `sys.path`.

    Raises NoInstaller where there is none for the target, ProvisionError when it cannot be had.
    """
    if target.python < OLDEST_PYTHON or target.architecture not in _PLATFORMS:
        raise _unsupported("rattler", "needs Python 3.8 or newer on x86_64 or aarch64", target)
    version = installed_version("py-rattler", "rattler") if target.python >= (3, 10) else OLD_RATTLER
    abi = "abi3-310" if target.python >= (3, 10) else "abi3-38"

    def pack(archive: Path) -> None:
        if target.like_here and target.python >= (3, 10):
            spec = find_spec("rattler")
            _zip(Path((spec.submodule_search_locations or [""])[0]) if spec else Path(), archive)
        else:
            import tempfile

            with tempfile.TemporaryDirectory(prefix="provision-") as folder:
                _fetch(f"py-rattler=={version}", target, Path(folder))
                _zip(Path(folder, "rattler"), archive)

    return kept(f"rattler-{version}-{abi}-{target.architecture}.zip", pack)


@once
def uv_archive(target: Target) -> Tool:
    """The gzipped uv binary for an architecture; raises as `rattler_archive` does."""
    if target.architecture not in _PLATFORMS:
        raise _unsupported("uv", "is sent for x86_64 and aarch64", target)
    version = installed_version("uv", "uv")

    def pack(archive: Path) -> None:
        if target.like_here:
            _gzip(Path(uv()), archive)
        else:
            import tempfile

            with tempfile.TemporaryDirectory(prefix="provision-") as folder:
                _fetch(f"uv=={version}", target, Path(folder))
                _gzip(Path(folder, "bin", "uv"), archive)

    return kept(f"uv-{version}-{target.architecture}.gz", pack)


def kept(name: str, pack: Callable[[Path], None]) -> Tool:
    """The archive of that name in the cache folder, packed if it is not there whole; raises what `pack` does."""
    path = cache_folder() / "tools" / name
    note = path.with_name(f"{name}.sha256")
    try:
        digest, size = note.read_text().split()
        if path.stat().st_size == int(size):
            return Tool(digest, path)
    except (OSError, ValueError):
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{name}.{os.getpid()}")
    try:
        pack(aside)
        digest = _sha256(aside)
        size_now = aside.stat().st_size
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    write_whole(note, f"{digest} {size_now}\n", durable=False)
    return Tool(digest, path)


def _zip(package: Path, archive: Path) -> None:
    """The package's files, in order and without times, so that equal content gives an equal archive."""
    import zipfile

    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for path in sorted(package.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                pack_files(packed, {f"{package.name}/{path.relative_to(package).as_posix()}": path.read_bytes()})


def pack_files(archive: zipfile.ZipFile, files: Mapping[str, bytes]) -> None:
    """Add files by their path in the archive, without times or owners."""
    import zipfile

    for name, data in files.items():
        info = zipfile.ZipInfo(name, _EPOCH)
        info.external_attr = 0o644 << 16
        archive.writestr(info, data, zipfile.ZIP_DEFLATED, 1)


def _gzip(binary: Path, archive: Path) -> None:
    import gzip
    import shutil

    with (
        binary.open("rb") as source,
        archive.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0) as packed,
    ):
        shutil.copyfileobj(source, packed, 1 << 20)


def _fetch(requirement: str, target: Target, folder: Path) -> None:
    """One wheel for another Python or architecture, by uv from the index that this machine's settings name."""
    import subprocess

    wanted = _PLATFORMS[target.architecture]
    argv = [uv(), "pip", "install", requirement, "--target", str(folder), "--no-deps", "--only-binary", ":all:"]
    argv += [
        "--python",
        sys.executable,
        "--python-version",
        ".".join(map(str, target.python)),
        "--python-platform",
        wanted,
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=600.0)
    if done.returncode:
        raise ProvisionError(
            f"cannot fetch the installer `{requirement}` for {target}",
            cause=done.stderr.strip(),
            hint="this machine fetches it once from a Python package index: see UV_DEFAULT_INDEX, HTTPS_PROXY",
        )


def _unsupported(tool: str, needs: str, target: Target) -> NoInstaller:
    return NoInstaller(
        f"the installer `{tool}` does not run on {target}",
        cause=f"{tool} {needs}",
        hint="name another Python by `ansible_python_interpreter`, or leave this host out of the play",
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
