"""Locks, made by the real solver and the real uv from a small served channel and index."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import packaging.pylock
import pytest

from provision.conda import commands, ship
from provision.conda.capability import Use
from provision.conda.environment import Environment
from provision.conda.lock import check, make_lock, paths, read_lock
from provision.conda.mirrors import Settings
from provision.conda.prepare import prepare
from provision.errors import ProvisionError, ProvisionErrors

Make = Callable[..., Environment]
TORCH = ("python=3.11", "pip", "pytorch=2.0.1", "pytorch-cuda=11.8")


def test_no_second_torch_or_cuda_is_locked_beside_condas(environment: Make, settings: Settings) -> None:
    lock = make_lock(environment(*TORCH, pip=("diffusers==0.26.3",)), settings)
    assert [(package.name, package.index) for package in lock.pip] == [
        ("certifi", "https://pypi.org/simple"),
        ("diffusers", "https://pypi.org/simple"),
    ]
    assert {"torch", "triton", "numpy", "pip"} <= set(lock.provided)
    assert lock.expect == {"torch": "2.0.1", "cuda": "11.8"}
    assert lock.floor["driver"] == "450.80.02"
    assert lock.imports == ("pip", "torch", "diffusers")
    assert lock.python == "3.11.2"
    assert not lock.simulated


def test_files_hold_canonical_addresses_and_no_credentials(environment: Make, settings: Settings, server: str) -> None:
    asked = environment(*TORCH, pip=("diffusers==0.26.3",))
    where = paths(asked, settings)
    make_lock(asked, settings)
    text = "".join(path.read_text() for path in dataclasses.astuple(where))
    assert "hunter2" not in text
    assert server.removeprefix("http://") not in text
    assert "https://conda.anaconda.org/pytorch/linux-64/pytorch-2.0.1-py3.11_cuda11.8_cudnn8.7.0_0.conda" in text


def test_the_pip_part_is_a_valid_pep_751_file(environment: Make, settings: Settings) -> None:
    asked = environment(*TORCH, pip=("diffusers==0.26.3",))
    make_lock(asked, settings)
    where = paths(asked, settings)
    assert packaging.pylock.is_valid_pylock_path(where.pip)
    packaging.pylock.Pylock.from_dict(tomllib.loads(where.pip.read_text())).validate()


def test_a_lock_is_read_as_it_was_made(environment: Make, settings: Settings) -> None:
    asked = environment(*TORCH, pip=("diffusers==0.26.3",), more="variables:\n  A: b\n")
    assert read_lock(asked, settings) is None
    made = make_lock(asked, settings)
    assert read_lock(asked, settings) == made
    assert check(asked, made, settings) == []
    assert made.variables == {"A": "b"}


def test_a_second_lock_keeps_what_still_fits_and_upgrade_does_not(environment: Make, settings: Settings) -> None:
    make_lock(
        environment("python=3.11", "pip", "certifi=2024.2.2", "pytorch", "pytorch-cuda", pip=("diffusers<0.27",)),
        settings,
    )
    wider = environment("python=3.11", "pip", "certifi", "pytorch", "pytorch-cuda", pip=("diffusers",))
    kept = make_lock(wider, settings)
    versions = {package.name: package.version for package in (*kept.packages, *kept.pip)}
    assert (versions["certifi"], versions["diffusers"]) == ("2024.2.2", "0.26.3")
    newest = make_lock(wider, settings, upgrade=True)
    versions = {package.name: package.version for package in (*newest.packages, *newest.pip)}
    assert (versions["certifi"], versions["diffusers"]) == ("2024.8.30", "0.27.0")


def test_a_package_is_bound_to_the_first_index_that_has_it(environment: Make, settings: Settings) -> None:
    lines = ("--extra-index-url https://private.example/simple", "--find-links https://wheels.example/page")
    lock = make_lock(
        environment("python=3.11", "pip", pip=(*lines, "shared-name", "only-a-link", "new-glibc")), settings
    )
    assert {package.name: (package.version, package.index, package.kind) for package in lock.pip} == {
        "shared-name": ("1.0", "https://private.example/simple", "index"),
        "only-a-link": ("1.0", "https://wheels.example/page", "links"),
        "new-glibc": ("1.0", "https://pypi.org/simple", "index"),
    }
    assert lock.floor["glibc"] == "2.28"


def test_what_nobody_mapped_is_reported(environment: Make, settings: Settings) -> None:
    told: list[str] = []
    make_lock(environment("python=3.11", "pip", "oddly-named", pip=("shared-name",)), settings, report=told.append)
    assert ["oddly-named" in line for line in told] == [True]


def test_stand_ins_make_a_lock_simulated(environment: Make, settings: Settings) -> None:
    assert make_lock(environment("stand-in"), settings).simulated


def test_comments_leave_a_lock_as_it_was_and_content_does_not(environment: Make, settings: Settings) -> None:
    lock = make_lock(environment("python=3.11"), settings)
    commented = environment("python=3.11", more="# why\n")
    assert check(commented, lock, settings) == []
    assert make_lock(commented, settings).digest == lock.digest
    assert check(environment("python=3.11", "certifi"), lock, settings) == ["dependencies: `certifi` is new"]
    newer = dataclasses.replace(settings, glibc="2.35")
    assert check(commented, lock, newer) == ["the system floor was __glibc=2.28, __glibc=2.35 is declared"]


@pytest.mark.parametrize("part", ["conda", "pip", "manifest"])
def test_a_changed_file_is_named(environment: Make, settings: Settings, part: str) -> None:
    asked = environment(*TORCH, pip=("diffusers==0.26.3",))
    make_lock(asked, settings)
    path: Path = getattr(paths(asked, settings), part)
    path.write_text(path.read_text().replace("0.26.3", "0.26.4").replace("1.26.4", "1.26.5"))
    with pytest.raises(ProvisionError, match="is not what was locked") as caught:
        read_lock(asked, settings)
    assert path.name in str(caught.value)


def test_a_missing_file_and_another_format_are_errors(environment: Make, settings: Settings) -> None:
    asked = environment("python=3.11")
    make_lock(asked, settings)
    where = paths(asked, settings)
    manifest = json.loads(where.manifest.read_text())
    where.manifest.write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(ProvisionError, match="cannot be used"):
        read_lock(asked, settings)
    where.manifest.write_text(json.dumps(manifest))
    where.conda.unlink()
    with pytest.raises(ProvisionError, match="is not what was locked"):
        read_lock(asked, settings)


def test_prepare_locks_what_has_none_and_stops_at_a_stale_one(environment: Make, settings: Settings) -> None:
    asked, told = environment("python=3.11"), list[str]()
    with pytest.raises(ProvisionError, match="has no lock"):
        prepare([asked.path], settings, lock_missing=False, report=told.append)
    assert told == []
    lock = prepare([asked.path], settings, report=told.append)[asked.path]
    assert len(told) == 2
    assert prepare([asked.path], settings, lock_missing=False, report=told.append) == {asked.path: lock}
    environment("python=3.11", "certifi")
    with pytest.raises(ProvisionError, match="is stale"):
        prepare([asked.path], settings, report=told.append)


def test_two_files_of_one_name_cannot_share_a_folder(environment: Make, settings: Settings, tmp_path: Path) -> None:
    one = environment("python=3.11").path
    other = tmp_path / "other.yml"
    other.write_text(one.read_text())
    with pytest.raises(ProvisionError, match="two environments are named"):
        prepare([one, other], settings, report=lambda _: None)


def test_the_errors_of_several_files_are_told_together(settings: Settings, tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.yml" for name in ("one", "two")]
    for file in files:
        file.write_text(f"name: {file.stem}\nchannels: [conda-forge, nodefaults]\ndependencies: [no-such-package]\n")
    with pytest.raises(ProvisionErrors) as caught:
        prepare(files, settings, report=lambda _: None)
    assert len(caught.value.errors) == 2


def test_the_command(environment: Make, settings: Settings) -> None:
    path = environment("python=3.11", "certifi=2024.2.2").path

    def run(**options: bool) -> commands.Locked:
        return commands.lock([path], settings, report=lambda _: None, **options)[0]

    assert (run(check_only=True).state, run(check_only=True).fits) == ("missing", False)
    assert "certifi 2024.2.2" in run().gained
    assert (run(check_only=True).state, run().state) == ("current", "current")
    environment("python=3.11", "certifi=2024.8.30")
    assert run(check_only=True).reasons == (
        "dependencies: `certifi=2024.2.2` is gone",
        "dependencies: `certifi=2024.8.30` is new",
    )
    changed = run()
    assert (changed.gained, changed.lost) == (("certifi 2024.8.30",), ("certifi 2024.2.2",))


def test_the_spec_for_a_host(environment: Make, settings: Settings, server: str) -> None:
    lock = make_lock(environment(*TORCH, pip=("diffusers==0.26.3",)), settings)
    spec, blobs = ship.specify(lock, {"link_mode": "copy", "root": "/srv/conda"}, settings)
    assert (spec["name"], spec["lock"], spec["link_mode"], spec["root"]) == (
        lock.name,
        lock.digest,
        "copy",
        "/srv/conda",
    )
    assert all(blobs[spec[key]] for key in spec if key.endswith("_blob"))
    groups = json.loads(blobs[spec["pip_blob"]])
    assert [package["name"] for package in groups[0]["packages"]] == ["certifi", "diffusers"]
    assert set(spec["index_mirrors"]) == {"https://pypi.org/simple"}
    assert spec["channel_mirrors"]["https://conda.anaconda.org/pytorch"].endswith("/conda/pytorch")
    assert blobs[spec["conda_blob"]] == lock.paths.conda


def test_the_agent_takes_the_spec(environment: Make, settings: Settings) -> None:
    from provision.agent.resources.conda_env import Spec

    lock = make_lock(environment(*TORCH, pip=("diffusers==0.26.3",)), settings)
    assert Spec(**ship.specify(lock, {}, settings)[0]).lock == lock.digest


def test_a_variant_of_another_architecture_is_locked_for_it(environment: Make, settings: Settings) -> None:
    asked = environment("python=3.11", "pip", pip=("both-machines==1.0",), name="tool-arm")
    told: list[str] = []
    uses = {asked.path: Use("linux-aarch64")}
    lock = prepare([asked.path], settings, uses=uses, report=told.append)[asked.path]
    assert (lock.platform, {package.url.split("/")[-2] for package in lock.packages}) == (
        "linux-aarch64",
        {"linux-aarch64"},
    )
    assert [wheel.file_name for wheel in lock.pip[0].wheels] == [
        "both_machines-1.0-cp311-cp311-manylinux_2_17_aarch64.whl"
    ]
    assert "platform_machine == 'aarch64'" in lock.paths.pip.read_text()
    assert "__archspec=1=aarch64" in lock.virtual_packages
    again = prepare([asked.path], settings, uses=uses, lock_missing=False, report=told.append)
    assert again == {asked.path: lock}
    with pytest.raises(ProvisionError, match="stale"):
        prepare([asked.path], settings, report=told.append)
