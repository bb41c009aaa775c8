"""What a host must have for a locked environment (driver, glibc), and which torch and CUDA it must then show. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from provision.conda import recipes
from provision.conda.environment import Environment
from provision.conda.locked import PipPackage
from provision.errors import ProvisionError

__all__ = ["expected", "floor", "locked_cuda", "meant_cuda", "refuse_cpu_torch", "second_cuda"]

GLIBC = "2.17"
"""The glibc that every manylinux2014 wheel and conda-forge package may count on."""
_TOOLKITS = ("pytorch-cuda", "cuda-version", "cudatoolkit", "cuda-toolkit", "cuda-cudart")
_BUILD = re.compile(r"cuda_?(\d{2})\.?(\d)")
_LOCAL = re.compile(r"\+cu(\d{2})(\d)\Z")
_NAME = re.compile(r"(?:cu|cuda)[-_]?(\d{2})\.?(\d)(?!\d)")
_NVIDIA = re.compile(r"nvidia-cuda-runtime(?:-cu\d+)?\Z")
_VIRTUAL = re.compile(r"__(cuda|glibc)\s*>=?\s*([0-9.]+?)(?:\.a0)?(?:,|\s|\Z)")
Record = Mapping[str, Any]


def meant_cuda(environment: Environment) -> str | None:
    """The CUDA that an environment.yml asks for, by its packages or else by its name; None when it asks for none."""
    spec = environment.spec(*_TOOLKITS)
    said = re.search(r"\d+\.\d+", spec.version) if spec else None
    if said:
        return said.group()
    for text in [*(line.exact for line in environment.pip), environment.name]:
        found = _LOCAL.search(text) or (_NAME.search(text) if text == environment.name else None)
        if found:
            return f"{found[1]}.{found[2]}"
    return None


def locked_cuda(records: Iterable[Record], pip: Iterable[PipPackage]) -> str | None:
    """The CUDA that the locked packages bring; None when they bring none."""
    by_name = {str(record["name"]): record for record in records}
    build = str(by_name.get("pytorch", {}).get("build", ""))
    found = _BUILD.search(build)
    if found:
        return f"{found[1]}.{found[2]}"
    for name in _TOOLKITS:
        if name in by_name:
            return ".".join(str(by_name[name]["version"]).split(".")[:2])
    for package in pip:
        local = _LOCAL.search(package.version)
        if local:
            return f"{local[1]}.{local[2]}"
        if _NVIDIA.match(package.name):
            return ".".join(package.version.split(".")[:2])
    return None


def expected(records: Iterable[Record], pip: Iterable[PipPackage]) -> dict[str, str]:
    """What `torch.__version__` and `torch.version.cuda` must be on the host; empty without torch."""
    records, pip = list(records), list(pip)
    version = next((str(r["version"]) for r in records if r["name"] == "pytorch"), None)
    version = version or next((p.version.partition("+")[0] for p in pip if p.name == "torch"), None)
    cuda = locked_cuda(records, pip)
    return ({"torch": version} | ({"cuda": cuda} if cuda else {})) if version else {}


def floor(records: Iterable[Record], pip: Iterable[PipPackage]) -> dict[str, str | None]:
    """The least that a host must have: `driver` (None: none is needed), `glibc`; and `cuda`, `toolkit_driver` to tell.

    A package that asks for `__cuda` itself asks for the driver of that toolkit, since that is what `__cuda` says.
    """
    records, pip = list(records), list(pip)
    asked = [found for record in records for found in _virtual(record)]
    cuda = locked_cuda(records, pip) or recipes.highest(version for name, version in asked if name == "cuda")
    second, _ = second_cuda(records, pip)
    drivers = [recipes.oldest_driver(version) for version in (cuda, second) if version]
    drivers += [recipes.toolkit_driver(version) for name, version in asked if name == "cuda"]
    wheels = [need for package in pip if (need := package.glibc())]
    glibcs = [GLIBC, *(version for name, version in asked if name == "glibc"), *(f"{a}.{b}" for a, b in wheels)]
    return {
        "driver": recipes.highest(driver for driver in drivers if driver),
        "cuda": cuda,
        "toolkit_driver": recipes.toolkit_driver(cuda) if cuda else None,
        "glibc": recipes.highest(glibcs),
    }


def second_cuda(records: Iterable[Record], pip: Iterable[PipPackage]) -> tuple[str | None, list[str]]:
    """A CUDA that some conda packages bring beside torch's (None: they agree), and the names of those packages.

    The channel's `pytorch-cuda` leaves some libraries free, such as libcurand; a solver takes their newest.
    """
    records = list(records)
    cuda = locked_cuda(records, pip)
    other = next((str(record["version"]) for record in records if record["name"] == "cuda-version"), None)
    if not cuda or not other or cuda.split(".")[0] == other.split(".")[0]:
        return None, []
    users = [str(r["name"]) for r in records if any(str(d).split()[0] == "cuda-version" for d in r.get("depends", ()))]
    return ".".join(other.split(".")[:2]), sorted(users)


def refuse_cpu_torch(environment: Environment, records: Iterable[Record], pip: Iterable[PipPackage]) -> None:
    """Raises ProvisionError when CUDA is meant and the locked torch is built without."""
    meant = meant_cuda(environment)
    torch = [
        f"{r['version']} {r['build']}" for r in records if r["name"] == "pytorch" and not _BUILD.search(str(r["build"]))
    ]
    torch += [package.version for package in pip if package.name == "torch" and package.version.endswith("+cpu")]
    if not meant or not torch:
        return
    spec, line = environment.spec("pytorch"), environment.line("torch")
    asked = spec or line
    tag = f"cu{meant.replace('.', '')}"
    raise ProvisionError(
        f"the torch that `{environment.name}` would get is a CPU build",
        where=asked.where if asked else None,
        cause=f"CUDA {meant} is meant, and torch {torch[0]} fits everything that is asked for",
        hint=f"add `pytorch-cuda={meant}` and the channels `pytorch` and `nvidia`, before `conda-forge`"
        if spec or not line
        else f"write `torch==VERSION+{tag}` after `--extra-index-url https://download.pytorch.org/whl/{tag}`",
    )


def _virtual(record: Record) -> list[tuple[str, str]]:
    needs = [*record.get("depends", ()), *record.get("constrains", ())]
    return [(found[1], found[2]) for text in needs if (found := _VIRTUAL.match(str(text)))]
