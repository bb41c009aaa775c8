"""The pip part: resolved by uv for the host's Python, platform and glibc, beside what conda provides.

What conda provides enters as stub wheels `NAME-VERSION+conda` without dependencies, pinned and never emitted. Holding
conda's torch by a constraint alone would still lock triton and the `nvidia-*` wheels: a second CUDA.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from provision.agent import reached
from provision.cache import cache_folder
from provision.conda.environment import Environment, Index
from provision.conda.locked import PipPackage, Wheel
from provision.conda.mirrors import Settings, canonical_url, clean, mirrored
from provision.conda.names import distributions
from provision.conda.tools import uv
from provision.errors import ProvisionError
from provision.network import here

__all__ = ["provided", "resolve"]

TIMEOUT = 900.0
_SECOND_CUDA = re.compile(r"(torch|triton|pytorch-triton|nvidia-.+)\Z")
_PINNED = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>\S+)")
_UV_GLIBC = (17, 28, *range(31, 41))
"""Minor versions of glibc 2 that `uv --python-platform` knows."""


def provided(records: Iterable[Mapping[str, Any]]) -> tuple[dict[str, str], list[str]]:
    """The distributions (name -> version) that the conda part provides, and conda names that nobody mapped."""
    known: dict[str, str] = {}
    unmapped = []
    for record in records:
        names, certain = distributions(record)
        if not certain:
            unmapped.append(str(record["name"]))
        for name in names:
            known.setdefault(name, _public(str(record["version"])))
    return known, unmapped


def resolve(
    environment: Environment,
    settings: Settings,
    python: str,
    conda: Mapping[str, str],
    previous: Path | None = None,
) -> tuple[PipPackage, ...]:
    """The distributions that pip's part adds to those of conda, each bound to the first index that has it.

    `python` is the host's version; `previous` an earlier pylock, kept to where it still fits. Raises ProvisionError.
    """
    with tempfile.TemporaryDirectory(prefix="provision-") as name:
        folder = Path(name)
        stubs = _stubs(folder / "stubs", conda)
        (folder / "asked.in").write_text("".join(f"{line.text}\n" for line in environment.pip))
        (folder / "provided.in").write_text("".join(f"{name}=={version}+conda\n" for name, version in conda.items()))
        output = folder / "pylock.toml"
        if previous:
            output.write_bytes(previous.read_bytes())
        run = _Uv(environment, settings, folder, stubs, python)
        run("--format", "pylock.toml", "--output-file", str(output))
        locked = tomllib.loads(output.read_text("utf-8")).get("packages", [])
        (folder / "provided.in").write_text("".join(f"{p['name']}=={p['version']}\n" for p in locked))
        bound = _bindings(run("--format", "requirements.txt", "--emit-index-annotation"))
    packages = tuple(_package(item, bound, environment, settings) for item in locked if not _is_stub(item))
    _refuse_second_cuda(environment, conda, packages)
    return packages


class _Uv:
    """`uv pip compile` for one environment; indexes go by variables: an argument list is no place for passwords."""

    def __init__(self, environment: Environment, settings: Settings, folder: Path, stubs: Path, python: str) -> None:
        self.environment, self.settings, self.folder, self.python = environment, settings, folder, python
        places = {
            kind: [self._address(i) for i in environment.indexes if i.kind == kind] for kind in ("index", "links")
        }
        self.variables = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("UV_", "PIP_"))},
            **here(settings.network),
            "UV_INDEX": " ".join(places["index"][:-1]),
            "UV_DEFAULT_INDEX": places["index"][-1],
            "UV_FIND_LINKS": ",".join([str(stubs), *places["links"]]),
            "UV_CACHE_DIR": str(cache_folder() / "uv"),
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_NO_PROGRESS": "1",
            "UV_NO_WRAP": "1",
            "NO_COLOR": "1",
        }

    def _address(self, index: Index) -> str:
        return self.settings.index_address(index.url)

    def __call__(self, *options: str) -> str:
        argv = [uv(), "pip", "compile", "asked.in", "--constraints", "provided.in", "--no-config", "--generate-hashes"]
        argv += ["--only-binary", ":all:", "--index-strategy", "first-index", "--python", sys.executable]
        argv += ["--python-version", self.python, "--python-platform", _platform(self.settings), *options]
        try:
            done = subprocess.run(
                argv, cwd=self.folder, env=self.variables, capture_output=True, text=True, timeout=TIMEOUT
            )
        except subprocess.TimeoutExpired:
            raise self._failed(f"uv gave no answer in {TIMEOUT:.0f} s") from None
        if done.returncode:
            raise self._failed(done.stderr)
        return done.stdout

    def _failed(self, text: str) -> ProvisionError:
        """uv's own words without mirrors, with the line that they are about; who cannot be reached is the mirror."""
        said = clean(text)
        if hint := reached.hint(said, "index_credentials", ""):
            summary = f"cannot resolve the pip part of `{self.environment.name}`"
            # of a login that lacks, uv speaks only in its hint
            return ProvisionError(summary, cause=_plain(said.replace("hint: ", "")), hint=hint)
        for canonical, mirror in self.settings.index_mirrors.items():
            text = text.replace(mirror, canonical).replace(clean(mirror), canonical)
        text = _plain(clean(text))
        named = (
            line for line in self.environment.pip if re.search(rf"(?<![\w-]){re.escape(line.name)}(?![\w-])", text)
        )
        where = next((line.where for line in named), None)
        return ProvisionError(
            f"cannot resolve the pip part of `{self.environment.name}`",
            where=where,
            cause=text,
            hint=_advice(text, self.python, self.settings.glibc),
        )


def _plain(text: str) -> str:
    """uv's message without its signs, indentation and hints (which are about its own options)."""
    lines = [
        re.sub(r"^(error|cause|Caused by):\s*|^[×╰─▶]+\s*", "", line.strip()) for line in text.strip().splitlines()
    ]
    end = next((number for number, line in enumerate(lines) if line.startswith("hint:")), len(lines))
    return "\n".join(line for line in lines[:end] if line)


def _advice(text: str, python: str, glibc: str) -> str:
    if "+conda" in text:
        return "versions that end in `+conda` are what the conda part provides: change its pin, or that of the pip part"
    if (
        "no usable wheels" in text
        or "no wheels" in text
        or "building is disabled" in text.lower()
        or "no-build" in text
    ):
        return (
            "pip's part is wheels only: take the package from a conda channel,\n"
            "or build its wheel once, put it on a server and name that by `--find-links URL`"
        )
    return f"resolved for Python {python} and glibc {glibc} (variable `system_floor`)"


def _platform(settings: Settings) -> str:
    """uv's name for the platform, with its glibc or the nearest older one."""
    minor, machine = int(settings.glibc.split(".")[1]), machine_of(settings.platform)
    return f"{machine}-manylinux_2_{max((known for known in _UV_GLIBC if known <= minor), default=_UV_GLIBC[0])}"


def machine_of(platform: str) -> str:
    """The architecture of a conda platform, as Python's markers name it."""
    return "aarch64" if platform == "linux-aarch64" else "x86_64"


def _stubs(folder: Path, conda: Mapping[str, str]) -> Path:
    folder.mkdir()
    for name, version in conda.items():
        stem = f"{name.replace('-', '_')}-{version}+conda"
        with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
            info = f"{stem}.dist-info"
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}+conda\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
    return folder


def _is_stub(item: Mapping[str, Any]) -> bool:
    return str(item["version"]).endswith("+conda")


def _bindings(text: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """From uv's annotated output: name -> (the index's address, who asked for it)."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    name, index = "", ""
    by: list[str] = []
    for line in [*text.splitlines(), "end==0"]:
        pin = _PINNED.match(line)
        if pin:
            found[name] = (index, tuple(by))
            name, index, by = canonicalize_name(pin["name"]), "", []
        comment = line.strip().removeprefix("#").strip().removeprefix("via").strip()
        if comment.startswith("from "):
            index = comment.removeprefix("from ")
        elif line.strip().startswith("#") and comment:
            by += [] if comment.startswith("-c ") else ["" if comment.startswith("-r ") else comment]
    return found


def _package(
    item: Mapping[str, Any],
    bound: Mapping[str, tuple[str, tuple[str, ...]]],
    environment: Environment,
    settings: Settings,
) -> PipPackage:
    name = canonicalize_name(str(item["name"]))
    address, by = bound[name]
    index = next(
        (
            i
            for i in environment.indexes
            if clean(mirrored(i.url, settings.index_mirrors)).rstrip("/") == clean(address).rstrip("/")
        ),
        environment.indexes[-1],
    )
    wheels = tuple(
        Wheel(canonical_url(wheel["url"], settings.index_mirrors), wheel["hashes"]["sha256"], wheel.get("size", 0))
        for wheel in item["wheels"]
    )
    return PipPackage(name, str(item["version"]), index.url, index.kind, wheels, by)


def _refuse_second_cuda(environment: Environment, conda: Mapping[str, str], packages: Iterable[PipPackage]) -> None:
    """No torch, triton or nvidia wheel may stand beside conda's torch."""
    second = [package for package in packages if "torch" in conda and _SECOND_CUDA.match(package.name)]
    if not second:
        return
    asked = environment.line(second[0].name, *second[0].by)
    raise ProvisionError(
        f"the pip part of `{environment.name}` would bring a second CUDA beside conda's torch {conda['torch']}",
        where=asked.where if asked else None,
        cause="\n".join(
            f"{p.name} {p.version} comes in by {', '.join(p.by).strip(', ') or 'environment.yml'}" for p in second
        ),
        hint="remove it from the pip part, or take torch from one of the two only",
    )


def _public(version: str) -> str:
    """A conda version as PyPI's rules allow it beside `+conda`."""
    try:
        return Version(version).public
    except InvalidVersion:
        return ".".join(re.findall(r"\d+", version)) or "0"
