"""Real wheels: taken from PyPI by name and hash, and repacked as conda packages.

Owns the list of wheels (packages_wheels.yaml) and their download; the network is asked for what the cache lacks only.
"""

from __future__ import annotations

import configparser
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from packaging.utils import canonicalize_name

from provision.errors import ProvisionError
from provision.lab.packages import PLACEHOLDER, Entry, Package
from provision.lab.stubs import Stub

__all__ = ["Wheel", "fetch", "real_wheels", "repacked", "stubs"]

_SITE_PACKAGES = "lib/python3.11/site-packages"
_PLATFORMS = (
    "manylinux_2_28",
    "manylinux_2_17",
    "manylinux2014",
    "manylinux_2_12",
    "manylinux2010",
    "manylinux_2_5",
    "manylinux1",
)
_SECONDS = 300

_SCRIPT = """\
#!{prefix}/bin/python
import sys

from {module} import {first}

if __name__ == "__main__":
    sys.exit({function}())
"""


@dataclass(frozen=True)
class Wheel:
    """A wheel of PyPI that the lab takes as it is."""

    file_name: str
    sha256: str

    @property
    def name(self) -> str:
        return canonicalize_name(self.file_name.split("-")[0])

    @property
    def version(self) -> str:
        return self.file_name.split("-")[1]


def real_wheels() -> list[Wheel]:
    """The real wheels of the data file."""
    return [Wheel(name, sha256) for name, sha256 in _data()["real"].items()]


def stubs() -> list[Stub]:
    """The stand-ins of the data file."""
    return [Stub(**row) for row in _data()["stand-ins"]]


def fetch(wheels: Sequence[Wheel], folder: Path) -> dict[str, Path]:
    """Bring the wheels into `folder` where they are not yet, and return their paths by file name.

    Every file's SHA-256 is compared with the list's, also of one that was there. Raises ProvisionError if pip cannot
    get them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [wheel for wheel in wheels if not _right(folder / wheel.file_name, wheel)]
    _download(missing, folder)
    wrong = [wheel.file_name for wheel in missing if not _right(folder / wheel.file_name, wheel)]
    if wrong:
        raise ProvisionError("pip brought other wheels than the lab asked for", cause=", ".join(wrong))
    return {wheel.file_name: folder / wheel.file_name for wheel in wheels}


def repacked(path: Path, row: Mapping[str, Any]) -> Package:
    """The conda package of a wheel; `row` gives build string and dependencies, and the name where conda's differs."""
    name, version = row["wheel"].rsplit("-", 1)
    noarch = not any(dependency.startswith("python_abi ") for dependency in row["depends"])
    top = "site-packages" if noarch else _SITE_PACKAGES
    files, information = _unzipped(path, bool(row.get("pure")))
    scripts = _scripts(files.get(f"{information}/entry_points.txt", b"").decode())
    entries = [
        Entry(f"{top}/{name}", data, _mode(name)) for name, data in files.items() if name != f"{information}/RECORD"
    ]
    entries.append(Entry(f"{top}/{information}/INSTALLER", b"conda\n"))
    return Package(
        name=row.get("name", name),
        version=version,
        build=row["build"],
        depends=row["depends"],
        constrains=row.get("constrains", ()),
        noarch="python" if noarch else "",
        license=_license(files[f"{information}/METADATA"].decode()),
        entries=entries if noarch else [*entries, *(_program(line) for line in scripts)],
        scripts=scripts if noarch else (),
        extra={"summary": f"{name} {version} of PyPI, repacked"},
    )


def _data() -> dict[str, Any]:
    text = (resources.files("provision.lab") / "packages_wheels.yaml").read_text("utf-8")
    data: dict[str, Any] = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 (a safe loader)
    return data


def _right(path: Path, wheel: Wheel) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == wheel.sha256


def _download(wheels: Sequence[Wheel], folder: Path) -> None:
    """Ask pip, two at a time for wheels of different names, into a folder aside, and rename what came."""
    with tempfile.TemporaryDirectory(prefix=".aside-", dir=folder) as name:
        aside = Path(name)
        started = [_pip(part, aside, number) for number, part in enumerate(_parts(wheels))]
        for process in started:
            output, _ = process.communicate(timeout=_SECONDS)
            if process.returncode:
                raise ProvisionError(
                    "pip cannot download the wheels that the lab serves",
                    cause=output.strip()[-2000:],
                    hint="the lab needs PyPI, or a mirror that pip is configured for, the first time",
                )
        for path in aside.glob("*.whl"):
            path.replace(folder / path.name)


def _parts(wheels: Sequence[Wheel]) -> Iterator[list[Wheel]]:
    """The wheels in parts that hold each name once; the first, largest of them in four."""
    rounds: list[dict[str, Wheel]] = []
    for wheel in wheels:
        fresh = next((part for part in rounds if wheel.name not in part), None)
        if fresh is None:
            rounds.append(fresh := {})
        fresh[wheel.name] = wheel
    for number, part in enumerate(rounds):
        values = list(part.values())
        step = 4 if number == 0 else 1
        yield from filter(None, (values[start::step] for start in range(step)))


def _pip(wheels: Iterable[Wheel], folder: Path, number: int) -> subprocess.Popen[str]:
    wanted = folder / f"wanted-{number}.txt"
    wanted.write_text("".join(f"{w.name}=={w.version} --hash=sha256:{w.sha256}\n" for w in wheels))
    argv = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--no-cache-dir"]
    argv += ["--require-hashes", "--disable-pip-version-check", "--python-version", "3.11", "--implementation", "cp"]
    argv += [f"--abi={abi}" for abi in ("cp311", "abi3", "none")]
    argv += [f"--platform={platform}_x86_64" for platform in _PLATFORMS]
    argv += ["--dest", str(folder), "--requirement", str(wanted)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)


def _unzipped(path: Path, pure: bool) -> tuple[dict[str, bytes], str]:
    """A wheel's files and the name of its .dist-info; `pure` leaves out the compiled half of a wheel that has both."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/") and "/__pycache__/" not in name]
        files = {name: archive.read(name) for name in names}
    information = next(name.split("/")[0] for name in names if name.split("/")[0].endswith(".dist-info"))
    if any(name.split("/")[0].endswith(".data") for name in names):
        raise ProvisionError(f"`{path.name}` has a .data folder, which the lab does not repack")
    if pure:
        files = {name: data for name, data in files.items() if not name.endswith(".so")}
    return files, information


def _scripts(text: str) -> list[str]:
    parser = configparser.ConfigParser(delimiters=("=",), strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    section = dict(parser["console_scripts"]) if parser.has_section("console_scripts") else {}
    return [f"{name} = {target.split('[')[0].strip()}" for name, target in sorted(section.items())]


def _program(line: str) -> Entry:
    name, _, target = line.partition(" = ")
    module, _, function = target.partition(":")
    text = _SCRIPT.format(prefix=PLACEHOLDER, module=module, first=function.split(".")[0], function=function)
    return Entry(f"bin/{name}", text.encode(), 0o755, text=True)


def _mode(name: str) -> int:
    return 0o755 if ".so" in Path(name).suffixes else 0o644


def _license(metadata: str) -> str:
    headers = HeaderParser().parsestr(metadata)
    text = headers.get("License-Expression") or headers.get("License") or ""
    if text and "\n" not in text and len(text) < 60:
        return text
    classifiers = [
        line.rsplit(" :: ", 1)[1] for line in headers.get_all("Classifier") or [] if line.startswith("License")
    ]
    return classifiers[0] if classifiers else "see the package's metadata"
