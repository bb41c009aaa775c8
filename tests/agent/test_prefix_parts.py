"""The pieces that a build is made of: scripts, activation, wheels' judgement, space, and conda's root."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from provision.agent import activation, inspection, prefix, wheels
from provision.agent.resource import Refusal
from provision.agent.resources import conda_base
from provision.agent.system import System

GROUP = {"index": "https://pypi.org/simple", "packages": [{"name": "delta", "version": "1", "hashes": ["sha256:aa"]}]}


@pytest.fixture
def system() -> System:
    return System(blob=str)


def script(prefix: Path, name: str, first: bytes) -> Path:
    path = prefix / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(first + b"\nbody\n\xff")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("first", "mended"),
    [
        (b"#!/usr/bin/env python", b"#!PREFIX/bin/python"),
        (b"#! /usr/bin/env python", b"#!PREFIX/bin/python"),
        (b"#!/usr/bin/env -S python -u", b"#!PREFIX/bin/python -u"),
        (b"#!/usr/bin/env sh", b"#!/usr/bin/sh"),
        (b"#!/usr/bin/env nowhere", b"#!PREFIX/bin/nowhere"),
        (b"#!/bin/sh", b"#!/bin/sh"),
        (b"#!/opt/environment/bin/python", b"#!/opt/environment/bin/python"),
    ],
)
def test_a_script_gets_an_interpreter_of_its_own(system: System, tmp_path: Path, first: bytes, mended: bytes) -> None:
    (tmp_path / ".provision").mkdir()
    script(tmp_path, "python", b"\x7fELF")
    path = script(tmp_path, "tool", first)
    done = inspection.mend_scripts(system, str(tmp_path))
    assert path.read_bytes() == mended.replace(b"PREFIX", os.fsencode(tmp_path)) + b"\nbody\n\xff"
    assert path.stat().st_mode & 0o777 == 0o755
    assert done == ([] if first == mended else ["bin/tool"])


def test_a_missing_or_shortened_file_is_damage(system: System, tmp_path: Path) -> None:
    entry = {"_path": "share/file", "path_type": "hardlink", "size_in_bytes": 4}
    record = {"name": "alpha", "paths_data": {"paths": [entry]}}
    with pytest.raises(inspection.Damaged, match="`share/file` of package alpha is missing"):
        inspection.check_files(system, str(tmp_path), [record])
    (tmp_path / "share").mkdir()
    (tmp_path / "share/file").write_text("x")
    with pytest.raises(inspection.Damaged, match="another size"):
        inspection.check_files(system, str(tmp_path), [record])


def test_pips_packages_are_compared_by_name_and_condas_by_build() -> None:
    locked = [
        {"kind": "conda", "name": "a", "version": "1", "build": "0"},
        {"kind": "pip", "name": "Some.Thing", "version": "1.0"},
    ]
    assert inspection.differences(locked, [("conda", "a", "1", "0"), ("pip", "some-thing", "1.0.0", "")]) == []
    assert inspection.differences(locked, [("conda", "a", "1", "1")]) == [
        "missing: a 1 0",
        "missing: some-thing",
        "not in the lock: a 1 1",
    ]


def test_activation_is_what_a_shell_would_have(system: System, tmp_path: Path) -> None:
    folder = tmp_path / "etc/conda/activate.d"
    folder.mkdir(parents=True)
    (folder / "1.sh").write_text('export ONE="$CONDA_PREFIX/one"; PATH="$CONDA_PREFIX/more:$PATH"; local=2\n')
    (folder / "2.sh").write_text('export TWO="$ONE and $SET"; echo noise; read answer\n')
    (folder / "3.csh").write_text("setenv THREE 3\n")
    (tmp_path / "conda-meta").mkdir()
    (tmp_path / "conda-meta/state").write_text('{"env_vars": {"SET": "here"}, "version": 1}')
    found = activation.compute(system, "env", str(tmp_path))
    assert found == {
        "CONDA_DEFAULT_ENV": "env",
        "CONDA_PREFIX": str(tmp_path),
        "CONDA_SHLVL": "1",
        "ONE": f"{tmp_path}/one",
        "PATH": f"{tmp_path}/more:{tmp_path}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "SET": "here",
        "TWO": f"{tmp_path}/one and here",
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("owned", [".", "etc/conda/activate.d"])
def test_what_somebody_else_made_is_activated_as_that_user(system: System, tmp_path: Path, owned: str) -> None:
    folder = tmp_path / "etc/conda/activate.d"
    folder.mkdir(parents=True)
    (folder / "1.sh").write_text('export WHO="$(id -un)"\n')
    for above in (tmp_path, *list(tmp_path.parents)[:-2]):
        above.chmod(above.stat().st_mode | 0o055)
    nobody = pwd.getpwnam("nobody").pw_uid
    os.chown(tmp_path / owned, nobody, -1)
    assert activation.compute(system, "env", str(tmp_path))["WHO"] == "nobody"


def test_an_activation_that_ends_the_shell_is_refused(system: System, tmp_path: Path) -> None:
    folder = tmp_path / "etc/conda/activate.d"
    folder.mkdir(parents=True)
    (folder / "1.sh").write_text("echo broken >&2; exit 3\n")
    with pytest.raises(Refusal, match="cannot activate `env`"):
        activation.compute(system, "env", str(tmp_path))


CHECK = """\
Checked 3 packages in 1ms
Found 2 incompatibilities
The package `delta` requires `gamma>=3`, but it's not installed
The package `omega` requires `alpha>=2`, but `1.0` is installed
"""


def test_what_conda_provides_is_not_missing() -> None:
    assert wheels.complaints(CHECK, set()) == CHECK.splitlines()[2:]
    assert wheels.complaints(CHECK, {"gamma"}) == CHECK.splitlines()[3:]


def test_requirements_carry_hashes() -> None:
    assert wheels.requirements(GROUP) == b"delta==1 --hash=sha256:aa\n"


@pytest.mark.parametrize(
    ("kind", "variables"),
    [
        ("index", {"UV_INDEX_URL": "http://u:p@mirror/x"}),
        ("links", {"UV_NO_INDEX": "1", "UV_FIND_LINKS": "http://u:p@mirror/x"}),
    ],
)
def test_an_address_with_credentials_is_no_argument(kind: str, variables: dict[str, str], tmp_path: Path) -> None:
    """A stand-in for uv writes down how it was called; it fails with an address in its words."""
    program = tmp_path / "uv"
    program.write_text(
        f'#!/bin/sh\necho "$@" >{tmp_path}/arguments\nenv >{tmp_path}/env\necho at $0 http://u:p@mirror >&2\nexit 1\n'
    )
    program.chmod(0o755)
    order = wheels.Wheels(
        str(program), [{**GROUP, "kind": kind}], "/p", "/c", {GROUP["index"]: "http://u:p@mirror/x"}, False, True
    )  # type: ignore[dict-item]
    with pytest.raises(Refusal) as caught:
        wheels.install("env", order, System(blob=str), lambda **what: None)
    assert "u:p" not in (tmp_path / "arguments").read_text()
    seen = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
    assert {key: value for key, value in seen.items() if key in variables} == variables
    assert "u:p" not in caught.value.cause + caught.value.hint and "http://mirror" in caught.value.cause


def test_a_uv_that_does_not_start_is_refused(tmp_path: Path) -> None:
    program = tmp_path / "uv"
    program.write_bytes(b"\x7fELF of another machine")
    program.chmod(0o755)
    order = wheels.Wheels(str(program), [GROUP], "/p", "/c", {}, False, True)
    with pytest.raises(Refusal, match="uv does not run on this host"):
        wheels.install("env", order, System(blob=str), lambda **what: None)


def test_space_counts_what_the_cache_lacks_and_copies() -> None:
    packages = [
        {"kind": "conda", "name": "a", "version": "1", "build": "0", "size": 10},
        {"kind": "pip", "name": "b", "version": "1", "size": 100},
    ]
    assert prefix.space_needed(packages, [], True) == 440
    assert prefix.space_needed(packages, ["a-1-0"], True) == 400
    assert prefix.space_needed(packages, ["a-1-0"], False) == 840


def converge(spec: conda_base.Spec, system: System) -> list[Any]:
    actions = conda_base.decide(spec, conda_base.observe(spec, system))
    for action in actions:
        conda_base.apply(action, system, lambda **what: None)
    assert conda_base.decide(spec, conda_base.observe(spec, system)) == []
    return [(action.verb.word, os.path.relpath(action.target, spec.root)) for action in actions]


def test_the_root_is_made_and_frozen(system: System, tmp_path: Path) -> None:
    root = tmp_path / "conda"
    spec = conda_base.Spec(root=str(root), condarc="channels: [conda-forge]\n")
    assert [name for _, name in converge(spec, system)] == [
        ".",
        "envs",
        "pkgs",
        "conda-meta",
        "conda-meta/frozen",
        ".condarc",
    ]
    assert (root / ".condarc").read_text() == "channels: [conda-forge]\n"
    assert converge(spec, system) == []


def test_a_base_that_is_there_is_frozen_for_pip_too(system: System, tmp_path: Path) -> None:
    (tmp_path / "lib/python3.12").mkdir(parents=True)
    marker = tmp_path / "lib/python3.12/EXTERNALLY-MANAGED"
    converge(conda_base.Spec(root=str(tmp_path)), system)
    assert marker.read_text().startswith("[externally-managed]\nError=")
    assert not (tmp_path / ".condarc").exists()
    assert converge(conda_base.Spec(root=str(tmp_path), frozen=False), system) == [
        ("remove", "conda-meta/frozen"),
        ("remove", "lib/python3.12/EXTERNALLY-MANAGED"),
    ]


def test_a_base_environment_is_linked_and_unlinked(system: System, tmp_path: Path) -> None:
    link = tmp_path / "condabin"
    converge(conda_base.Spec(root=str(tmp_path), environment="conda-base"), system)
    assert str(link.readlink()) == "envs/conda-base/condabin"
    assert converge(conda_base.Spec(root=str(tmp_path), environment="other"), system) == [("change", "condabin")]
    assert converge(conda_base.Spec(root=str(tmp_path)), system) == [("remove", "condabin")]


@pytest.mark.parametrize("there", ["folder", "link"])
def test_another_base_keeps_its_programs(system: System, tmp_path: Path, there: str) -> None:
    place = tmp_path / "condabin"
    place.mkdir() if there == "folder" else place.symlink_to("/srv/miniconda/condabin")
    with pytest.raises(Refusal, match="has a base environment of its own"):
        converge(conda_base.Spec(root=str(tmp_path), environment="conda-base"), system)
    assert "condabin" not in dict(map(reversed, converge(conda_base.Spec(root=str(tmp_path)), system)))
    assert os.path.lexists(place)


def test_a_file_where_a_folder_belongs_is_refused(system: System, tmp_path: Path) -> None:
    (tmp_path / "envs").touch()
    with pytest.raises(Refusal, match="is no directory"):
        converge(conda_base.Spec(root=str(tmp_path)), system)


def test_a_group_without_packages_is_left_out() -> None:
    groups = wheels.read_groups(b'[{"index": "a", "packages": []}, {"index": "b", "packages": [{"name": "x"}]}]')
    assert [group["index"] for group in groups] == ["b"]
