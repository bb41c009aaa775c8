"""The lab's apt repository: packages that dpkg takes, and an index that tells them as they are."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from provision.lab import debs, gpus


def test_the_index_names_every_package_with_its_size_and_hash(tmp_path: Path) -> None:
    debs.build(tmp_path / "www", tmp_path / "cache")
    index = (tmp_path / "www/apt/Packages").read_text()
    entries = [dict(line.split(": ", 1) for line in entry.splitlines()) for entry in index.strip().split("\n\n")]
    assert {entry["Filename"][2:] for entry in entries} == {path.name for path in (tmp_path / "www/apt").glob("*.deb")}
    for entry in entries:
        data = (tmp_path / "www/apt" / entry["Filename"]).read_bytes()
        assert (entry["Size"], entry["SHA256"]) == (str(len(data)), hashlib.sha256(data).hexdigest())
        assert entry["Description"] == "simulated by the lab of provision"
    release = (tmp_path / "www/apt/Release").read_text()
    assert hashlib.sha256(index.encode()).hexdigest() in release


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="there is no dpkg-deb to read with")
def test_dpkg_reads_a_package_as_it_was_meant(tmp_path: Path) -> None:
    files = {"/usr/bin/tool": "#!/bin/sh\n", "/usr/share/tool/text": "odd"}
    deb = debs.Deb("tool", "1.0-1", "libc6 (>= 2)", files, postinst="#!/bin/sh\n")
    path = tmp_path / deb.file_name
    debs.write(deb, path)
    subprocess.run(["dpkg-deb", "--extract", str(path), str(tmp_path / "root")], check=True)
    subprocess.run(["dpkg-deb", "--control", str(path), str(tmp_path / "control")], check=True)
    assert (tmp_path / "root/usr/share/tool/text").read_text() == "odd"
    assert (tmp_path / "root/usr/bin/tool").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "control/control").read_text() == deb.control()
    assert (tmp_path / "control/postinst").stat().st_mode & 0o777 == 0o755
    other = tmp_path / "again.deb"
    debs.write(deb, other)
    assert other.read_bytes() == path.read_bytes()


def test_every_program_of_a_driver_package_is_marked_as_simulated(tmp_path: Path) -> None:
    debs.build(tmp_path / "www", tmp_path / "cache")
    for package in (tmp_path / "www/apt").glob("nvidia-driver-*.deb"):
        root = tmp_path / package.stem
        subprocess.run(["dpkg-deb", "--extract", str(package), str(root)], check=True)
        programs = [path for path in root.rglob("*") if path.is_file() and path.stat().st_mode & 0o100]
        assert len(programs) == 3
        assert all(gpus.MARK in path.read_text() for path in programs)
