"""The lab's channel and index, whole: every shipped environment is solved, installed and imported from them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from uv import find_uv_bin

from provision.lab import channel, pyindex, rootfs
from provision.lab.serve import start
from provision.lab.state import cache_directory

pytestmark = pytest.mark.lab

ROLES = Path(__file__).parents[2] / "roles"
ENVIRONMENTS = sorted(ROLES.glob("*/environment.yml"))
MODULES = {"imageio-ffmpeg": "imageio_ffmpeg", "open-clip-torch": "open_clip", "opencv-python-headless": "cv2"}
MODULES |= {"protobuf": "google.protobuf"}

# In a process that ends at once, as rattler may crash one that ends in the usual way.
INSTALL = """
import asyncio, json, os, sys
from pathlib import Path
from rattler import *

channels, specs, cuda, prefix, cache = json.loads(sys.argv[1])
given = {"__unix": "0", "__linux": "5.10", "__glibc": "2.28", "__cuda": cuda}
virtual = [GenericVirtualPackage(PackageName(n), Version(v), BuildString("0")) for n, v in given.items()]

async def main():
    records = await solve(channels, [MatchSpec(s) for s in specs], gateway=Gateway(cache_dir=Path(cache, "repodata")),
                          platforms=["linux-64", "noarch"], virtual_packages=virtual)
    if prefix:
        await install(records, prefix, cache_dir=Path(cache, "pkgs"), show_progress=False)
    print(json.dumps({r.name.normalized: [str(r.version), str(r.build)] for r in records}))

code = 0
try:
    asyncio.run(main())
except Exception as error:
    print(error, file=sys.stderr)
    code = 1
sys.stdout.flush(); sys.stderr.flush(); os._exit(code)
"""


@pytest.fixture(scope="module")
def www(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("www")
    channel.build(folder, cache_directory(), rootfs.prepare("bookworm", print))
    pyindex.build(folder, cache_directory())
    return folder


@pytest.fixture(scope="module")
def url(www: Path) -> Iterator[str]:
    import socket
    import time

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    process = start(www, "127.0.0.1", port)
    for _ in range(200):
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(timeout=20)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def solved(
    url: str, cache: Path, specs: list[str], prefix: Path | None = None, cuda: str = "12.2"
) -> dict[str, list[str]]:
    channels = [f"{url}/conda/{name}" for name in channel.CHANNELS]
    arguments = json.dumps([channels, specs, cuda, str(prefix or ""), str(cache)])
    done = subprocess.run([sys.executable, "-c", INSTALL, arguments], capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise RuntimeError(done.stderr)
    packages: dict[str, list[str]] = json.loads(done.stdout)
    return packages


def parts(path: Path) -> tuple[str, list[str], list[str]]:
    data: dict[str, Any] = yaml.safe_load(path.read_text())
    assert data["channels"] == [*channel.CHANNELS, "nodefaults"]
    *conda, pip = data["dependencies"]
    return data["name"], conda, pip["pip"]


def uv(cache: Path, *arguments: str) -> str:
    environment = {**os.environ, "UV_NO_CONFIG": "1", "UV_CACHE_DIR": str(cache / "uv")}
    done = subprocess.run([find_uv_bin(), *arguments], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.parent.name)
def test_a_shipped_environment_installs_and_imports(path: Path, url: str, cache: Path, tmp_path: Path) -> None:
    name, conda, pip = parts(path)
    assert name.endswith("-torch20-cu118")
    prefix = tmp_path / "prefix"
    packages = solved(url, cache, conda, prefix)
    assert len(packages) >= 100
    assert packages["pytorch"] == ["2.0.1", "py3.11_cuda11.8_cudnn8.7.0_0"]
    assert "cuda-version" not in packages
    python = str(prefix / "bin/python")
    uv(cache, "pip", "install", "--python", python, "--index-url", f"{url}/simple/", *pip)
    assert "compatible" in uv(cache, "pip", "check", "--python", python)
    modules = [MODULES.get(each.split("==")[0], each.split("==")[0]) for each in pip]
    code = f"import importlib, torch, torchvision, torchaudio\nfor n in {modules!r}: importlib.import_module(n)\n"
    code += "print(torch.__version__, torch.version.cuda)"
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "2.0.1 11.8\n", done.stderr
    site = prefix / "lib/python3.11/site-packages"
    assert not list(site.glob("nvidia*")) + list(site.glob("torch-2.0.1+*"))
    assert not [file for file in (prefix / "bin").iterdir() if file.read_bytes()[:64].startswith(b"#!/usr/bin/env")]


def test_what_the_packages_carry_needs_no_compiling_again(url: str, cache: Path, tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    solved(url, cache, ["python=3.11", "numpy=1.26.4"], prefix)
    library = prefix / "lib/python3.11"
    packed = {file: file.stat().st_mtime_ns for file in library.rglob("*.pyc")}
    subprocess.run([prefix / "bin/python", "-m", "compileall", "-q", library], capture_output=True, timeout=120)
    assert len(packed) > 800
    assert {file: file.stat().st_mtime_ns for file in packed} == packed


def test_packages_of_cuda_12_get_in_where_they_are_not_held_off(url: str, cache: Path) -> None:
    specs = ["python=3.11", "pytorch=2.0.1", "pytorch-cuda=11.8"]
    assert solved(url, cache, specs)["cuda-version"][0] == "12.5"
    assert "cuda-version" not in solved(url, cache, specs, cuda="11.8")
    assert "cuda-version" not in solved(url, cache, [*specs, "libcurand=10.3.0", "libcufile=1.4.0"])


def test_the_often_copied_recipe_cannot_be_solved(url: str, cache: Path) -> None:
    specs = ["python=3.11", "pytorch=2.0.1", "torchvision=0.15.1", "torchaudio=2.0.1", "pytorch-cuda=11.8"]
    with pytest.raises(RuntimeError, match="pytorch"):
        solved(url, cache, specs)


def test_without_its_pin_mkl_is_too_new_for_torch_2_0(url: str, cache: Path, tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    packages = solved(url, cache, ["python=3.11", "pytorch=2.0.1", "cpuonly"], prefix)
    assert packages["mkl"][0] == "2024.2.2"
    assert packages["pytorch"][1] == "py3.11_cpu_0"
    done = subprocess.run([prefix / "bin/python", "-c", "import torch"], capture_output=True, text=True, timeout=60)
    assert "iJIT_NotifyEvent" in done.stderr


def test_whatever_a_wheel_requires_is_in_the_index(www: Path) -> None:
    available: dict[str, set[Version]] = {}
    wheels = sorted((www / "simple").glob("*/*.whl"))
    for wheel in wheels:
        available.setdefault(wheel.parent.name, set()).add(Version(wheel.name.split("-")[1]))
    host = {"python_version": "3.11", "python_full_version": "3.11.2", "sys_platform": "linux"}
    host |= {"platform_system": "Linux", "platform_machine": "x86_64", "extra": ""}
    missing = []
    for wheel in wheels:
        head = wheel.with_name(f"{wheel.name}.metadata").read_text().split("\n\n")[0]
        for line in head.splitlines():
            if line.startswith("Requires-Dist: "):
                wanted = Requirement(line.split(": ", 1)[1])
                if wanted.marker is None or wanted.marker.evaluate(host):
                    found = available.get(canonicalize_name(wanted.name), set())
                    missing += [] if any(wanted.specifier.filter(found)) else [f"{wheel.name}: {wanted}"]
    assert missing == []


def test_a_second_build_changes_nothing(www: Path) -> None:
    before = {path: path.stat().st_ino for path in www.rglob("*")}
    channel.build(www, cache_directory(), rootfs.directory("bookworm"))
    pyindex.build(www, cache_directory())
    assert {path: path.stat().st_ino for path in www.rglob("*")} == before
