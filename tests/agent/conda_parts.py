"""A small real channel and index, and specs of environments locked against them, for tests of the host's half."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from provision.agent.resources import conda_env
from provision.agent.system import System
from provision.lab.packages import PLACEHOLDER, Entry, Package, write
from provision.lab.packages_debian import Debian

CHANNEL = "https://conda.example.org/lab"
INDEX = "https://pypi.example.org/simple"
SITE = "lib/python3.11/site-packages"

_LOCK = """
import asyncio, json, os, sys
from pathlib import Path
from rattler import Gateway, LockFile, LockPlatform, MatchSpec, solve
from rattler.index.index import index_fs
from rattler.lock import LockChannel

async def main(folder, canonical, wanted):
    channel = Path(folder, "channel")
    await index_fs(channel, force=True, write_shards=False)
    gateway = Gateway(cache_dir=Path(folder, "gateway"))
    for name, specs in wanted.items():
        records = await solve([channel.as_uri()], [MatchSpec(s) for s in specs], gateway=gateway,
                              platforms=["linux-64", "noarch"], virtual_packages=[])
        platform = LockPlatform("linux-64")
        lock = LockFile([platform])
        lock.set_channels("default", [LockChannel(canonical)])
        listing = []
        for record in records:
            record.url = record.url.replace(channel.as_uri(), canonical)
            lock.add_conda_package("default", platform, record)
            identity = {"name": record.name.normalized, "version": str(record.version), "build": str(record.build)}
            content = {"url": record.url, "sha256": record.sha256.hex(), "size": record.size, "kind": "conda"}
            listing.append({**identity, **content})
        lock.to_path(Path(folder, name + ".lock"))
        Path(folder, name + ".json").write_text(json.dumps(listing))

try:
    asyncio.run(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
    code = 0
except BaseException as error:
    print(repr(error), file=sys.stderr)
    code = 1
sys.stderr.flush()
os._exit(code)
"""


def build(folder: Path, many: int = 3, small: bool = False) -> None:
    """The channel, the index, and the locks `one`, `two` and `broken`; once for all processes of a test run.

    `small`: of Python's own library only what installing needs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "building").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            _build(folder, many, small)
            (folder / "done").touch()


def _build(folder: Path, many: int, small: bool) -> None:
    rest = {"build": "0", "depends": ["python"]}
    for package in _packages(many, small):
        write(package, folder / "channel", level=1)
    write(
        Package("linked", "1.0", "0", entries=[Entry("bin/.linked-post-link.sh", b"exit 1\n", 0o755)]),
        folder / "channel",
    )
    write(Package("torch", "2.0.1", **rest, entries=[_module("torch", _TORCH)]), folder / "channel")
    _wheel(folder / "index", "delta", "1.5", {"delta/__init__.py": "import gamma\n"}, ["gamma>=3", "alpha"])
    _wheel(folder / "index", "gamma", "3.1", {"gamma/__init__.py": "value = 3\n"}, [])
    plain = ["python", *(f"beta{number}" for number in range(many))]
    wanted = {
        "one": [*plain, "alpha=1"],
        "two": [*plain, "alpha=2"],
        "broken": ["python", "alpha=3"],
        "linked": ["linked"],
        "torch": ["python", "torch"],
    }
    argv = [sys.executable, "-c", _LOCK, str(folder), CHANNEL, json.dumps(wanted)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


_TORCH = """__version__ = "2.0.1"
__provision_simulated__ = True
class version:
    cuda = "11.8"
"""


_SPARED = re.compile(
    r"lib/python3.11/(?:(pydoc_data|distutils|asyncio|test|xml|lib2to3|unittest|http|xmlrpc|wsgiref|html|sqlite3|curses"
    r"|zoneinfo|venv|dbm|tkinter|idlelib|turtledemo|ensurepip)/|encodings/(?!__init__|aliases|utf_8|ascii|latin_1|cp437"
    r"|idna)|(turtle|pydoc|doctest|pdb|tarfile|smtplib|imaplib|ftplib|telnetlib|nntplib|mailbox|cgi|cgitb|optparse|_pydecimal"
    r"|_pyio|aifc|wave|sunau|pickletools|ipaddress|statistics|fractions|poplib|plistlib|trace|profile|cProfile|pstats"
    r"|datetime|difflib|configparser|mimetypes|code|cmd|netrc|uuid|xdrlib|chunk|colorsys|crypt|tty|pty|sched|shelve)\.py)"
)


def _packages(many: int, small: bool) -> Iterator[Package]:
    python = Debian(Path("/")).python_package({"build": "0", "depends": []})
    yield replace(python, entries=[entry for entry in python.entries if not (small and _SPARED.match(entry.path))])
    activate = Entry("etc/conda/activate.d/alpha.sh", b'export ALPHA_HOME="$CONDA_PREFIX/share"\n')
    script = Entry("bin/alpha", b"#!/usr/bin/env python\nimport alpha\nprint(alpha.value)\n", 0o755)
    own = Entry("bin/own", f"#!{PLACEHOLDER}/bin/python\nimport alpha\n".encode(), 0o755, text=True)
    for value in ("1", "2"):
        module = _module("alpha", f"value = {value}\n")
        yield Package("alpha", f"{value}.0", "0", ["python"], entries=[module, activate, script, own])
    yield Package("alpha", "3.0", "0", ["python"], entries=[_module("alpha", "raise ImportError('nothing works')\n")])
    for number in range(many):
        files = [Entry(f"share/beta{number}/{i}/file", os.urandom(500)) for i in range(5)]
        yield Package(f"beta{number}", "1.0", "0", ["python"], entries=[_module(f"beta{number}", "x = 1\n"), *files])


def _module(name: str, text: str) -> Entry:
    return Entry(f"{SITE}/{name}/__init__.py", text.encode())


def _wheel(index: Path, name: str, version: str, files: dict[str, str], requires: list[str]) -> None:
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {other}\n" for other in requires)
    wheel = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    scripts = f"[console_scripts]\n{name}-tool = {name}:main\n"
    content = {
        **files,
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": wheel,
        f"{info}/entry_points.txt": scripts,
    }
    (index / name).mkdir(parents=True, exist_ok=True)
    path = index / name / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in content.items():
            archive.writestr(file, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{file},,\n" for file in [*content, f"{info}/RECORD"]))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (index / name / "index.html").write_text(f'<a href="{path.name}#sha256={digest}">{path.name}</a>')


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder over HTTP on a free port; its URL."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    class Patient(ThreadingHTTPServer):
        request_queue_size = 256  # an installer opens many connections at once; a lost one costs seconds

    server = Patient(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Host:
    """A root to install into and what a control node would send to it."""

    def __init__(self, folder: Path, parts: Path, url: str) -> None:
        self.parts, self.url, self.root, self.folder = parts, url, str(folder / "conda"), folder
        self.blobs: dict[str, str] = {}
        self.shown: list[dict[str, Any]] = []

    def system(self, **options: Any) -> System:
        facts = {"glibc": "2.36", "gpu": {"driver": "535.104.05"}}
        state = str(self.parts / "state")
        return System(**{"blob": self.blobs.__getitem__, "facts": facts, "state_directory": state, **options})

    def emit(self, **what: Any) -> None:
        self.shown.append(what)

    def blob(self, data: bytes, name: str) -> str:
        digest = hashlib.sha256(data).hexdigest()
        path = self.folder / f"{digest[:12]}-{name}"
        path.write_bytes(data)
        self.blobs[digest] = str(path)
        return digest

    def spec(self, lock: str, *, name: str = "env", pip: tuple[str, ...] = (), **options: Any) -> conda_env.Spec:
        """The spec of an environment that holds lock `one` or `two` and these wheels."""
        conda = (self.parts / f"{lock}.lock").read_bytes()
        listing = json.loads((self.parts / f"{lock}.json").read_bytes())
        group = {"index": INDEX, "packages": [self.locked(wheel) for wheel in pip]}
        listing += [{**package, "build": "", "size": 0, "kind": "pip"} for package in group["packages"]]
        pip_blob = self.blob(json.dumps([group]).encode(), "pip") if pip else None
        fields: dict[str, Any] = {
            "name": name,
            "root": self.root,
            "lock": hashlib.sha256(conda + json.dumps(listing).encode()).hexdigest(),
            "listing_blob": self.blob(json.dumps(listing).encode(), "listing"),
            "conda_blob": self.blob(conda, "conda"),
            "pip_blob": pip_blob,
            "rattler_blob": self._rattler(),
            "uv_blob": self._uv() if pip else None,
            "channel_mirrors": {CHANNEL: f"{self.url}/channel"},
            "index_mirrors": {INDEX: f"{self.url}/index"},
            "floor": {"glibc": "2.17"},
            "imports": ["alpha"] if lock in ("one", "two") else [],
        }
        return conda_env.Spec(**{**fields, **options})

    def locked(self, wheel: str) -> dict[str, Any]:
        name, _, version = wheel.partition("==")
        path = self.parts / "index" / name / f"{name}-{version}-py3-none-any.whl"
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return {"name": name, "version": version, "hashes": [f"sha256:{digest}"]}

    def _rattler(self) -> str:
        import importlib.util

        found = importlib.util.find_spec("rattler")
        assert found is not None and found.origin is not None
        return self._archive(self.parts / "rattler.zip", partial(_zipped, Path(found.origin).parent))

    def _uv(self) -> str:
        from uv import find_uv_bin

        return self._archive(self.parts / "uv.gz", partial(_gzipped, Path(find_uv_bin())))

    def _archive(self, path: Path, make: Any) -> str:
        with (self.parts / "building").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                make(path)
        digest = _digest(path)
        self.blobs[digest] = str(path)
        return digest


def _digest(path: Path) -> str:
    note = path.with_suffix(".sha256")
    if not note.exists():
        note.write_text(hashlib.sha256(path.read_bytes()).hexdigest())
    return note.read_text()


def _zipped(package: Path, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(package.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                archive.write(file, file.relative_to(package.parent))


def _gzipped(binary: Path, path: Path) -> None:
    with gzip.open(path, "wb", compresslevel=1) as packed:
        packed.write(binary.read_bytes())
