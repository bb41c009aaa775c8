"""The lab's Python packages: stand-ins as wheels, and that what they require is in the index."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from provision.lab import packages_wheels, pyindex, stubs

STUBS = packages_wheels.stubs()
HOST = {"python_version": "3.11", "platform_system": "Linux", "platform_machine": "x86_64", "sys_platform": "linux"}


def index() -> dict[str, set[Version]]:
    found: dict[str, set[Version]] = {}
    for wheel in packages_wheels.real_wheels():
        found.setdefault(wheel.name, set()).add(Version(wheel.version))
    for stub in STUBS:
        found.setdefault(canonicalize_name(stub.name), set()).add(Version(stub.version))
    return found


@pytest.mark.parametrize("stub", STUBS, ids=lambda stub: f"{stub.name}-{stub.version}")
def test_what_a_stand_in_requires_is_in_the_index(stub: stubs.Stub) -> None:
    available = index()
    for text in stub.requires:
        requirement = Requirement(text)
        extras = ["", *stub.extras]
        if not requirement.marker or any(requirement.marker.evaluate(HOST | {"extra": extra}) for extra in extras):
            assert any(requirement.specifier.filter(available[canonicalize_name(requirement.name)])), text


@pytest.mark.parametrize("stub", STUBS, ids=lambda stub: f"{stub.name}-{stub.version}")
def test_a_stand_in_is_a_wheel_that_compiles(stub: stubs.Stub) -> None:
    name, version, _, _ = parse_wheel_filename(stub.file_name)
    assert (name, version) == (canonicalize_name(stub.name), Version(stub.version))
    for entry in stubs.wheel_entries(stub):
        if entry.path.endswith(".py"):
            compile(entry.data, entry.path, "exec", dont_inherit=True)


def test_torch_of_the_index_brings_the_cuda_that_pypis_does() -> None:
    torch = next(stub for stub in STUBS if stub.name == "torch")
    brings = {Requirement(text).name for text in torch.requires}
    assert len([name for name in brings if name.startswith("nvidia-") and name.endswith("-cu11")]) == 11
    assert "triton" in brings
    assert (torch.says, torch.cuda) == ("2.0.1+cu117", "11.7")


def test_real_wheels_are_named_once_with_a_hash() -> None:
    wheels = packages_wheels.real_wheels()
    assert len({wheel.file_name for wheel in wheels}) == len(wheels)
    assert all(len(wheel.sha256) == 64 for wheel in wheels)
    assert not {wheel.name for wheel in wheels} & {canonicalize_name(stub.name) for stub in STUBS}


def test_a_page_gives_hash_metadata_and_python(tmp_path: Path) -> None:
    stub = stubs.Stub("Demo", "1.0", ["demo"], python=">=3.8", requires=["other"], scripts=["demo = demo.cli:main"])
    path = tmp_path / stub.file_name
    pyindex._write(stub, path)
    first = path.read_bytes()
    pyindex._write(stub, path)
    assert path.read_bytes() == first
    link = pyindex._link(path)
    assert "#sha256=" in link
    assert 'data-requires-python="&gt;=3.8"' in link
    assert "data-core-metadata=" in link
    assert "Requires-Dist: other" in path.with_name(f"{path.name}.metadata").read_text()


def test_programs_and_classes_say_that_they_are_stand_ins(tmp_path: Path) -> None:
    stub = stubs.Stub("Demo", "1.0", ["demo"], scripts=["demo = demo.commands.cli:main"], classes=["Pipeline"])
    pyindex._write(stub, tmp_path / stub.file_name)
    with zipfile.ZipFile(tmp_path / stub.file_name) as archive:
        archive.extractall(tmp_path / "site")
    code = """
import demo, demo.commands.cli
assert demo.__provision_simulated__ and demo.__version__ == "1.0"
demo.commands.cli.main()
try:
    demo.Pipeline.from_pretrained("x")
except NotImplementedError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "site", capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "Demo 1.0 is a stand-in of provision's lab\n"
    assert done.stderr == "Demo 1.0: a stand-in of provision's lab\n"
