"""Installs the conda part of a lock by a conda, mamba or micromamba of the host, from an @EXPLICIT list with hashes.

The packages are fetched and checked before (archives.py); the program sees local files only: it solves nothing,
contacts nobody, and learns no mirror. What it unpacks is searched for link scripts before anything is linked, since it
would run them. Must not judge what came out (inspection.py does).
"""

from __future__ import annotations

import json
import os
from typing import Any, Dict, Iterator, List

from . import archives, condas
from .record import record
from .resource import Emit, Refusal
from .system import System

__all__ = ["Order", "explicit_list", "install"]

_DEADLINE = 3600.0
"""Seconds for unpacking or linking all packages."""
_SCRIPTS = ("pre-link", "post-link")


@record(frozen=True)
class Order:
    """What to install by whom: `packages` are the lock's conda packages, `work` is a folder for this build alone.

    `prefix` must not be there yet. `mirrors` map a channel's URL to where it is fetched.
    """

    program: condas.Program
    packages: List[Dict[str, Any]]
    prefix: str
    work: str
    mirrors: Dict[str, str]


def install(name: str, order: Order, system: System, emit: Emit) -> int:
    """Install; the number of packages. Refusal when one cannot be had, has a link script, or the program fails."""
    folder = os.path.join(order.work, "archives")
    archives.fetch(name, order.packages, folder, order.mirrors, system.environment, emit, system.watch.cancelled)
    text = explicit_list(order.packages, {p["url"]: _checksum(order, folder, p) for p in order.packages}, folder)
    listed = os.path.join(order.work, "explicit.txt")
    system.write(listed, text.encode(), mode=0o600)
    count = len(order.packages)
    emit(done=0, total=count, unit="packages", label="unpacking with %s" % order.program.name)
    _run(name, order, system, listed, os.path.join(order.work, "nowhere"), ["--download-only"])
    _refuse_scripts(name, order)
    emit(done=0, total=count, unit="packages", label="linking with %s" % order.program.name)
    _run(name, order, system, listed, order.prefix, [])
    _name_origins(order, system)
    emit(done=count, total=count, unit="packages", label="linked with %s" % order.program.name)
    return count


def explicit_list(packages: List[Dict[str, Any]], checksums: Dict[str, str], folder: str) -> str:
    """The @EXPLICIT list of packages that lie in `folder`, each with its checksum as `checksums` gives it by URL."""
    from urllib.request import pathname2url

    paths = [(os.path.join(folder, archives.file_name(package)), checksums[package["url"]]) for package in packages]
    return "\n".join(["@EXPLICIT", *("file://%s#%s" % (pathname2url(path), checksum) for path, checksum in paths), ""])


def _checksum(order: Order, folder: str, package: Dict[str, Any]) -> str:
    """As the program reads it. An MD5 is of the file whose SHA-256 was just checked."""
    if condas.reads_sha256(order.program):
        return "sha256:" + str(package["sha256"])
    import hashlib

    digest = hashlib.new("md5")  # noqa: S324 (older condas read nothing else)
    with open(os.path.join(folder, archives.file_name(package)), "rb") as file:
        for chunk in iter(lambda: file.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()


def _run(name: str, order: Order, system: System, listed: str, prefix: str, more: List[str]) -> None:
    """Nothing that people configured for themselves counts, and nothing is left outside `work` and the prefix."""
    home = os.path.join(order.work, "home")
    variables = {
        "HOME": home,
        "CONDA_PKGS_DIRS": os.path.join(order.work, "pkgs"),
        "CONDA_OFFLINE": "true",
        "CONDA_REGISTER_ENVS": "false",
        "CONDA_AUTO_UPDATE_CONDA": "false",
        "PYTHONNOUSERSITE": "1",
    }
    if order.program.name == "micromamba":
        variables["MAMBA_ROOT_PREFIX"] = os.path.join(order.work, "root")
    system.mkdir(home, 0o700)
    argv = [order.program.path, "create", "--prefix", prefix, "--file", listed, "--yes", "--offline", *more]
    ended = system.run(argv, timeout=_DEADLINE, environment=variables, directory=order.work)
    if ended.returncode or ended.timed_out:
        told = (ended.stderr.strip() or ended.stdout.strip())[-1500:] or "exit status %d" % ended.returncode
        raise Refusal(
            "cannot install the conda packages of `%s`" % name,
            "%s says: %s" % (order.program, "nothing within %d s" % _DEADLINE if ended.timed_out else told),
            "what served still serves; a newer %s may do it" % order.program.name,
        )


def _refuse_scripts(name: str, order: Order) -> None:
    """Refusal when a package has a link script, or was not unpacked where it can be looked at."""
    seen = set()
    for folder, package in _unpacked(os.path.join(order.work, "pkgs")):
        seen.add((package["name"], package["version"], package["build"]))
        for kind in _SCRIPTS:
            if os.path.exists(os.path.join(folder, "bin", ".%s-%s.sh" % (package["name"], kind))):
                raise Refusal(
                    "package `%s` of environment `%s` has a %s script" % (package["name"], name, kind),
                    "such scripts run arbitrary commands as root; %s, which installs here, cannot leave them unrun"
                    % order.program.name,
                    "leave the package out, or name a Python that rattler runs on by `ansible_python_interpreter`",
                )
    missing = [p["name"] for p in order.packages if (p["name"], p["version"], p.get("build", "")) not in seen]
    if missing:
        raise Refusal(
            "cannot look into the conda packages of `%s`" % name,
            "%s did not unpack %s below `%s`" % (order.program, ", ".join(missing[:5]), order.work),
            "use another conda, mamba or micromamba on this host",
        )


def _unpacked(top: str) -> Iterator[Any]:
    """Each unpacked package: its folder, and its own `info/index.json`. How deep they lie differs between programs."""
    for folder, below, _ in os.walk(top):
        index = os.path.join(folder, "info", "index.json")
        if os.path.isfile(index):
            below[:] = []
            with open(index, "rb") as file:
                yield folder, json.loads(file.read())


def _name_origins(order: Order, system: System) -> None:
    """Make the prefix's records name the canonical URLs, not the files that were installed."""
    origins = {archives.file_name(package).rpartition("/")[2]: package for package in order.packages}
    folder = os.path.join(order.prefix, "conda-meta")
    for entry in system.listdir(folder):
        path = os.path.join(folder, entry)
        record = json.loads(system.read(path)) if entry.endswith(".json") else {}
        package = origins.get(os.path.basename(str(record.get("url", ""))))
        if package:
            channel = str(package["url"]).rpartition("/")[0].rpartition("/")[0]
            record.update(url=package["url"], channel=channel, sha256=package["sha256"])
            system.write(path, json.dumps(record, indent=2).encode(), mode=0o644)
    system.write(os.path.join(folder, "history"), b"", mode=0o644)
