"""The installer archives: what is in them, that they are packed once, and what they refuse."""

from __future__ import annotations

import gzip
import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.conda import tools
from provision.errors import ProvisionError

HERE = tools.Target.of(None)


def test_rattler_is_an_importable_package_in_a_zip(cache: Path) -> None:
    tool = tools.rattler_archive(HERE)
    assert tool.sha256 == hashlib.sha256(tool.path.read_bytes()).hexdigest()
    with zipfile.ZipFile(tool.path) as archive:
        names = archive.namelist()
    assert "rattler/__init__.py" in names
    assert "rattler/rattler.abi3.so" in names
    assert not [name for name in names if "__pycache__" in name]


def test_uv_is_the_binary(cache: Path) -> None:
    with gzip.open(tools.uv_archive(HERE).path) as binary:
        assert binary.read(4) == b"\x7fELF"


def test_an_archive_is_packed_once_and_again_when_it_is_cut(cache: Path) -> None:
    first = tools.uv_archive(HERE)
    written = first.path.stat().st_mtime_ns
    tools.uv_archive.cache_clear()
    assert tools.uv_archive(HERE) == first
    assert first.path.stat().st_mtime_ns == written
    first.path.write_bytes(b"cut")
    tools.uv_archive.cache_clear()
    assert tools.uv_archive(HERE) == first


@pytest.mark.parametrize(
    "facts", [{"python": "3.7.3", "architecture": "x86_64"}, {"python": "2.7", "architecture": "x86_64"}]
)
def test_a_python_that_nothing_runs_on(facts: dict[str, str]) -> None:
    with pytest.raises(ProvisionError, match="the installer `rattler` does not run on Python"):
        tools.rattler_archive(tools.Target.of(facts))


@pytest.mark.parametrize("archive", [tools.rattler_archive, tools.uv_archive])
def test_an_architecture_that_nothing_runs_on(archive: Callable[[tools.Target], tools.Tool]) -> None:
    with pytest.raises(tools.NoInstaller, match="riscv64"):
        archive(tools.Target((3, 11), "riscv64"))
