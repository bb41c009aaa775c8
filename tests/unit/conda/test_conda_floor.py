"""Driver and glibc floor, expected torch and CUDA: pure questions about records."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tiny_channel import TORCH_BUILD, record

from provision.conda import floor, recipes
from provision.conda.environment import Environment
from provision.conda.locked import PipPackage, Wheel
from provision.errors import ProvisionError

Make = Callable[..., Environment]


def pip(name: str, version: str, tag: str = "py3-none-any") -> PipPackage:
    wheel = Wheel(f"https://x.example/{name.replace('-', '_')}-{version}-{tag}.whl", "0" * 64)
    return PipPackage(name, version, "https://x.example", "index", (wheel,))


TORCH = record("pytorch", "2.0.1", TORCH_BUILD)


def test_conda_torch_for_cuda_118() -> None:
    assert floor.floor([TORCH], ()) == {
        "driver": "450.80.02",
        "cuda": "11.8",
        "toolkit_driver": "520.61.05",
        "glibc": "2.17",
    }
    assert floor.expected([TORCH], ()) == {"torch": "2.0.1", "cuda": "11.8"}


@pytest.mark.parametrize(
    ("packages", "cuda", "driver"),
    [
        ([pip("torch", "2.4.0+cu118")], "11.8", "450.80.02"),
        ([pip("torch", "2.1.0"), pip("nvidia-cuda-runtime-cu12", "12.1.105")], "12.1", "525.60.13"),
        ([pip("torch", "2.9.0"), pip("nvidia-cuda-runtime", "13.0.48")], "13.0", "580.65.06"),
        ([pip("numpy", "1.26.4")], None, None),
    ],
)
def test_cuda_of_the_pip_part(packages: list[PipPackage], cuda: str | None, driver: str | None) -> None:
    found = floor.floor([], packages)
    assert (found["cuda"], found["driver"]) == (cuda, driver)


def test_a_package_that_asks_for_cuda_itself_asks_for_its_driver() -> None:
    found = floor.floor([TORCH, record("x", "1", "0", "__cuda >=11.8")], ())
    assert found["driver"] == "520.61.05"
    assert floor.floor([record("x", "1", "0", "__cuda")], ())["driver"] is None


def test_libraries_of_a_newer_cuda_raise_the_floor_and_are_named() -> None:
    records = [
        TORCH,
        record("cuda-version", "12.5", "0"),
        record("libcurand", "10.3.6", "0", "cuda-version >=12.5,<12.6"),
    ]
    assert floor.second_cuda(records, ()) == ("12.5", ["libcurand"])
    assert floor.floor(records, ())["driver"] == "525.60.13"


@pytest.mark.parametrize(
    ("tag", "glibc"),
    [
        ("cp311-cp311-manylinux_2_28_x86_64", "2.28"),
        ("cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64", "2.17"),
        ("py3-none-any", "2.17"),
    ],
)
def test_glibc_of_wheels(tag: str, glibc: str) -> None:
    assert floor.floor([], [pip("x", "1.0", tag)])["glibc"] == glibc


def test_glibc_of_records() -> None:
    assert floor.floor([record("x", "1", "0", "__glibc >=2.34,<3.0.a0")], ())["glibc"] == "2.34"


@pytest.mark.parametrize(
    ("conda", "lines", "name", "cuda"),
    [
        (("pytorch-cuda=11.8",), (), "plain", "11.8"),
        (("cuda-version=12.4",), (), "plain", "12.4"),
        ((), ("torch==2.4.0+cu121",), "plain", "12.1"),
        ((), (), "video-cu118", "11.8"),
        ((), (), "video", None),
    ],
)
def test_the_cuda_that_is_meant(
    environment: Make, conda: tuple[str, ...], lines: tuple[str, ...], name: str, cuda: str | None
) -> None:
    assert floor.meant_cuda(environment("python=3.11", *conda, pip=lines, name=name)) == cuda


def test_cpu_torch_is_fine_where_no_cuda_is_meant(environment: Make) -> None:
    cpu = [record("pytorch", "2.0.1", "py3.11_cpu_0")]
    floor.refuse_cpu_torch(environment("python=3.11", "pytorch=2.0.1", name="plain"), cpu, ())
    with pytest.raises(ProvisionError, match="CPU build"):
        floor.refuse_cpu_torch(environment("python=3.11", "pytorch=2.0.1", name="video-cu118"), cpu, ())


def test_versions_are_compared_by_number() -> None:
    assert recipes.below("470.82", "470.82.01")
    assert not recipes.below("525.60.13", "450.80.02")
    assert recipes.under("2.0.1", "2.0")
    assert not recipes.under("2.01", "2.0")
