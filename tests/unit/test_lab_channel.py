"""The lab's conda packages: their format, and that the data file is whole."""

from __future__ import annotations

import io
import itertools
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import zstandard

from provision.errors import ProvisionError
from provision.lab import built, channel, packages_debian, packages_wheels
from provision.lab.packages import PLACEHOLDER, STAND_IN_LICENSE, Entry, Package, sorted_entries, write
from provision.lab.packages_stand_ins import stand_in


def unpacked(path: Path, part: str) -> dict[str, tarfile.TarInfo | bytes]:
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.startswith(f"{part}-"))
        data = zstandard.ZstdDecompressor().decompress(archive.read(name))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        files = [(member, tar.extractfile(member)) for member in tar.getmembers()]
        return {member.name: file.read() if file else member for member, file in files}


def information(path: Path, name: str) -> Any:
    data = unpacked(path, "info")[f"info/{name}"]
    assert isinstance(data, bytes)
    return json.loads(data)


def row(**fields: Any) -> dict[str, Any]:
    return {"name": "demo", "version": "1.0", "build": "h1_3"} | fields


def test_a_package_has_the_same_bytes_whenever_it_is_written(tmp_path: Path) -> None:
    package = stand_in(row(programs=["demo"]))
    one, other = write(package, tmp_path / "a"), write(package, tmp_path / "b")
    assert one.read_bytes() == other.read_bytes()
    assert one.relative_to(tmp_path / "a") == Path("linux-64/demo-1.0-h1_3.conda")


def test_the_record_says_what_a_solver_needs(tmp_path: Path) -> None:
    package = stand_in(row(depends=["python >=3.11"], constrains=["other <0"], track_features="demo"))
    index = information(write(package, tmp_path), "index.json")
    assert index["depends"] == ["python >=3.11"]
    assert index["constrains"] == ["other <0"]
    assert (index["build_number"], index["subdir"], index["track_features"]) == (3, "linux-64", "demo")


def test_a_stand_in_is_marked_three_times(tmp_path: Path) -> None:
    path = write(stand_in(row(python={"demo": {}})), tmp_path)
    assert information(path, "index.json")["license"] == STAND_IN_LICENSE
    assert "info/provision-stand-in" in unpacked(path, "info")
    module = unpacked(path, "pkg")["lib/python3.11/site-packages/demo/__init__.py"]
    assert isinstance(module, bytes)
    assert b"__provision_simulated__ = True" in module


def test_a_real_package_is_not_marked(tmp_path: Path) -> None:
    path = write(Package("demo", "1", "0", license="MIT"), tmp_path)
    assert "info/provision-stand-in" not in unpacked(path, "info")


def test_noarch_python_leaves_programs_to_the_installer(tmp_path: Path) -> None:
    package = Package("demo", "1", "0", noarch="python", license="MIT", scripts=["demo = demo:main"])
    path = write(package, tmp_path)
    assert path.parent.name == "noarch"
    assert information(path, "link.json")["noarch"] == {"type": "python", "entry_points": ["demo = demo:main"]}


def test_only_text_with_the_placeholder_is_said_to_have_it(tmp_path: Path) -> None:
    entries = [
        Entry("bin/demo", f"#!{PLACEHOLDER}/bin/python\n".encode(), 0o755, text=True),
        Entry("bin/demo1", target="demo"),
        Entry("share/plain", b"plain"),
    ]
    path = write(Package("demo", "1", "0", license="MIT", entries=entries), tmp_path)
    paths = {each["_path"]: each for each in information(path, "paths.json")["paths"]}
    assert paths["bin/demo"]["prefix_placeholder"] == PLACEHOLDER
    assert len(PLACEHOLDER) == 255
    assert "prefix_placeholder" not in paths["share/plain"]
    assert paths["bin/demo1"]["path_type"] == "softlink"


def test_two_files_of_one_path_are_refused() -> None:
    with pytest.raises(ValueError, match="`bin/demo` is there twice"):
        sorted_entries([Entry("bin/demo"), Entry("bin/demo", b"2")])


def test_activation_and_post_link_are_where_conda_looks(tmp_path: Path) -> None:
    files = unpacked(write(stand_in(row(activate={"DEMO": "1"}, post_link="true")), tmp_path), "pkg")
    assert files["etc/conda/activate.d/demo_activate.sh"] == b'export DEMO="1"\n'
    assert files["etc/conda/deactivate.d/demo_deactivate.sh"] == b"unset DEMO\n"
    assert "bin/.demo-post-link.sh" in files


ROWS = [(name, row) for name, rows in channel.contents()["stand-ins"].items() for row in rows]


@pytest.fixture(scope="module")
def names() -> set[str]:
    data = channel.contents()
    real = {row["name"] for row in data["debian"]["libraries"]} | {"python"}
    wheels = {row.get("name", row["wheel"].rsplit("-", 1)[0]) for row in data["wheels"]}
    return real | wheels | {row["name"] for _, row in ROWS}


def test_every_dependency_is_in_the_channels(names: set[str]) -> None:
    data = channel.contents()
    rows = [*(row for _, row in ROWS), *data["debian"]["libraries"], data["debian"]["python"], *data["wheels"]]
    wanted = {text.split()[0] for row in rows for text in row.get("depends", ())}
    assert {name for name in wanted if not name.startswith("__")} <= names


def test_no_package_is_there_twice() -> None:
    stems = sorted((name, row["name"], row["version"], row["build"]) for name, row in ROWS)
    assert [one for one, other in itertools.pairwise(stems) if one == other] == []
    assert all(isinstance(row["version"], str) for _, row in ROWS)


def test_repacked_wheels_are_among_the_real_ones() -> None:
    real = {f"{wheel.name}-{wheel.version}" for wheel in packages_wheels.real_wheels()}
    assert {row["wheel"] for row in channel.contents()["wheels"]} <= real


def test_a_wheel_for_one_python_becomes_a_package_for_it(tmp_path: Path) -> None:
    path = tmp_path / "Demo-1.0-cp311-cp311-manylinux_2_17_x86_64.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("demo/__init__.py", "")
        archive.writestr("demo/__pycache__/x.cpython-311.pyc", "")
        archive.writestr("Demo-1.0.dist-info/METADATA", "Name: Demo\nVersion: 1.0\nLicense: MIT\n")
        archive.writestr("Demo-1.0.dist-info/RECORD", "")
        archive.writestr("Demo-1.0.dist-info/entry_points.txt", "[console_scripts]\ndemo = demo.cli:App.run\n")
    fields = {"wheel": "demo-1.0", "build": "py311_0", "depends": ["python_abi 3.11.* *_cp311"]}
    package = packages_wheels.repacked(path, fields)
    entries = {entry.path: entry for entry in package.entries}
    program = entries["bin/demo"]
    assert program.text
    assert program.data.startswith(f"#!{PLACEHOLDER}/bin/python\n".encode())
    assert b"from demo.cli import App\n" in program.data
    assert b"sys.exit(App.run())" in program.data
    top = "lib/python3.11/site-packages"
    assert entries[f"{top}/Demo-1.0.dist-info/INSTALLER"].data == b"conda\n"
    assert not [name for name in entries if "RECORD" in name or "__pycache__" in name]
    assert package.license == "MIT"


def test_a_folder_without_debian_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ProvisionError) as caught:
        packages_debian.Debian(tmp_path)
    assert str(caught.value).replace(str(tmp_path), "ROOT") == (
        "error: there is no Debian Python 3.11 under `ROOT`\n"
        "cause: `usr/bin/python3.11` is missing\n"
        "hint: install python3.11 there, or name the lab's root file system"
    )


def test_version_and_build_tell_the_debian_package(tmp_path: Path) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/python3.11").touch()
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    status = (
        "Package: zlib1g\nStatus: install ok installed\nVersion: 1:1.2.13.dfsg-1+deb12u1\n\nPackage: gone\nVersion: 1\n"
    )
    (tmp_path / "var/lib/dpkg/status").write_text(status)
    debian = packages_debian.Debian(tmp_path)
    assert debian.version("zlib1g") == ("1.2.13", "debian_1_deb12u1")
    with pytest.raises(ProvisionError, match="`gone` is not installed"):
        debian.version("gone")


def test_the_key_changes_with_the_debian_packages_that_are_packed(tmp_path: Path) -> None:
    status = tmp_path / "var/lib/dpkg/status"
    status.parent.mkdir(parents=True)

    def fingerprint(**versions: str) -> str:
        packages = (
            f"Package: {name}\nStatus: install ok installed\nVersion: {each}\n" for name, each in versions.items()
        )
        status.write_text("\n".join(packages))
        return packages_debian.fingerprint(tmp_path, ["zlib1g"])

    assert fingerprint(zlib1g="1") != fingerprint(zlib1g="2")
    assert fingerprint(zlib1g="1") == fingerprint(zlib1g="1", other="1")


def test_a_kept_folder_is_made_once_and_never_half(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "file").write_text("content")

    def fail(folder: Path) -> None:
        make(folder)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        built.kept(tmp_path, "demo", "k1", fail)
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == []
    first = built.kept(tmp_path, "demo", "k1", make)
    assert built.kept(tmp_path, "demo", "k1", make) == first
    assert len(made) == 2
    second = built.kept(tmp_path, "demo", "k2", make)
    assert second.is_dir()
    assert not first.exists()


def test_laying_out_replaces_what_was_there_and_is_free_the_second_time(tmp_path: Path) -> None:
    def make(folder: Path) -> None:
        (folder / "file").write_text(folder.parent.name)

    target = tmp_path / "www" / "demo"
    target.mkdir(parents=True)
    (target / "old").touch()
    kept = built.kept(tmp_path / "cache", "demo", "k1", make)
    built.lay_out(kept, target)
    assert sorted(path.name for path in target.iterdir()) == [".key", "file"]
    before = target.stat().st_ino
    built.lay_out(kept, target)
    assert target.stat().st_ino == before
    assert [path.name for path in target.parent.iterdir()] == ["demo"]
