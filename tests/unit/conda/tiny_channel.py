"""A conda channel and a package index of a few made-up packages, as files that any web server serves."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PYTHON_311 = "python >=3.11,<3.12.0a0"
TORCH_BUILD = "py3.11_cuda11.8_cudnn8.7.0_0"


def record(name: str, version: str, build: str, *depends: str, **more: Any) -> dict[str, Any]:
    """One package of repodata.json."""
    file_name = f"{name}-{version}-{build}.conda".encode()
    return {
        "name": name,
        "version": version,
        "build": build,
        "build_number": 0,
        "depends": list(depends),
        "subdir": "linux-64",
        "size": 10,
        "sha256": hashlib.sha256(file_name).hexdigest(),
        "md5": hashlib.md5(file_name).hexdigest(),
        **more,
    }


CHANNELS = {
    "pytorch": [
        record("pytorch", "2.0.1", TORCH_BUILD, PYTHON_311, "pytorch-cuda >=11.8,<11.9", "numpy", "torchtriton 2.0.0"),
        record("pytorch", "2.0.1", "py3.11_cpu_0", PYTHON_311, "numpy"),
        record("torchtriton", "2.0.0", "py311", PYTHON_311),
        record("pytorch-cuda", "11.8", "h7e8668a_5", "cuda-cudart >=11.8,<12.0"),
    ],
    "nvidia": [record("cuda-cudart", "11.8.89", "0")],
    "conda-forge": [
        record("python", "3.11.2", "h1_0", "__glibc >=2.17,<3.0.a0"),
        record("pip", "24.0", "pyh_0", "python >=3.7"),
        record("numpy", "1.26.4", "py311_0", PYTHON_311),
        record("numpy", "1.26.3", "py311_0", PYTHON_311),
        record("oddly-named", "1.0", "py311_0", PYTHON_311),
        record("certifi", "2024.8.30", "pyh_0", "python >=3.7", purls=["pkg:pypi/certifi"]),
        record("certifi", "2024.2.2", "pyh_0", "python >=3.7", purls=["pkg:pypi/certifi"]),
        record("needs-new-glibc", "1.0", "0", "__glibc >=2.34"),
        record("needs-cuda", "1.0", "0", "__cuda >=12.4"),
        record("stand-in", "1.0", "0", license="LicenseRef-provision-stand-in"),
    ],
}

NVIDIA = ("nvidia-cublas-cu11==11.10.3.66", "nvidia-cuda-runtime-cu11==11.7.99", "triton==2.0.0")
INDEXES = {
    "pypi": [
        ("torch", "2.0.1", NVIDIA, "cp311-cp311-manylinux2014_x86_64"),
        ("torch", "2.0.1+cpu", (), "cp311-cp311-manylinux2014_x86_64"),
        ("triton", "2.0.0", (), "py3-none-any"),
        ("nvidia-cublas-cu11", "11.10.3.66", (), "py3-none-manylinux1_x86_64"),
        ("nvidia-cuda-runtime-cu11", "11.7.99", (), "py3-none-manylinux1_x86_64"),
        ("diffusers", "0.26.3", ("torch>=1.4", "numpy", "certifi"), "py3-none-any"),
        ("diffusers", "0.27.0", ("torch>=1.4", "numpy", "certifi"), "py3-none-any"),
        ("wants-new-torch", "1.0", ("torch>=2.1",), "py3-none-any"),
        ("wants-cublas", "1.0", ("nvidia-cublas-cu11",), "py3-none-any"),
        ("new-glibc", "1.0", (), "cp311-cp311-manylinux_2_28_x86_64"),
        ("both-machines", "1.0", (), "cp311-cp311-manylinux_2_17_x86_64"),
        ("both-machines", "1.0", (), "cp311-cp311-manylinux_2_17_aarch64"),
        ("certifi", "2024.8.30", (), "py3-none-any"),
        ("numpy", "1.26.4", (), "cp311-cp311-manylinux_2_17_x86_64"),
        ("shared-name", "2.0", (), "py3-none-any"),
    ],
    "private": [("shared-name", "1.0", (), "py3-none-any")],
    "wheels": [("only-a-link", "1.0", (), "py3-none-any")],
}


def write(www: Path) -> None:
    """Lay out `conda/CHANNEL`, `INDEX/simple` and `INDEX/files` (a page of wheels) under `www`."""
    for name, records in CHANNELS.items():
        _channel(www / "conda" / name, records)
    for name, wheels in INDEXES.items():
        _index(www / name, [_wheel(www / name / "files", *wheel) for wheel in wheels])
    sdist = www / "pypi" / "files" / "only-sdist-1.0.tar.gz"
    sdist.write_bytes(b"not opened")
    _page(www / "pypi" / "simple" / "only-sdist", [sdist])


def _channel(folder: Path, records: Iterable[dict[str, Any]]) -> None:
    arm = [{**record, "subdir": "linux-aarch64"} for record in records if record["name"] in ("python", "pip")]
    for subdir, some in (("linux-64", records), ("linux-aarch64", arm), ("noarch", ())):
        (folder / subdir).mkdir(parents=True)
        listed = {f"{r['name']}-{r['version']}-{r['build']}.conda": r for r in some}
        content = {"info": {"subdir": subdir}, "packages": {}, "packages.conda": listed, "repodata_version": 1}
        (folder / subdir / "repodata.json").write_text(json.dumps(content))


def _wheel(folder: Path, name: str, version: str, requires: Iterable[str], tag: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{name.replace('-', '_')}-{version}"
    path = folder / f"{stem}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
        wheel.writestr(
            f"{stem}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
        )
        wheel.writestr(f"{stem}.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        wheel.writestr(f"{stem}.dist-info/RECORD", "")
    return path


def _index(folder: Path, wheels: list[Path]) -> None:
    for name in {wheel.name.split("-")[0] for wheel in wheels}:
        _page(folder / "simple" / name.replace("_", "-"), [w for w in wheels if w.name.split("-")[0] == name])
    _page(folder / "files", wheels, "")


def _page(folder: Path, files: Iterable[Path], where: str = "../../files/") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    links = (
        f'<a href="{where}{f.name}#sha256={hashlib.sha256(f.read_bytes()).hexdigest()}">{f.name}</a>' for f in files
    )
    (folder / "index.html").write_text("\n".join(links))
