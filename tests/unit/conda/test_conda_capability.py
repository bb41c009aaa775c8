"""Which GPUs builds run on, by compute capability."""

from __future__ import annotations

import pytest

from provision.conda import capability, recipes
from provision.conda.fit import capability_of, unfit_device, unfit_driver


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("NVIDIA A100-SXM4-80GB", "8.0"),
        ("NVIDIA A10", "8.6"),
        ("NVIDIA GeForce RTX 3090", "8.6"),
        ("NVIDIA H100 80GB HBM3", "9.0"),
        ("Tesla T4", "7.5"),
        ("NVIDIA L40S", "8.9"),
        ("NVIDIA RTX 6000 Ada Generation", "8.9"),
        ("Quadro RTX 6000", "7.5"),
        ("NVIDIA GH200 480GB", "9.0"),
        ("b200", "10.0"),
        ("NVIDIA GB200", "10.0"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "12.0"),
    ],
)
def test_a_kind_is_known_by_the_name_that_nvidia_smi_gives(name: str, wanted: str) -> None:
    found = capability.kind(name)
    assert found and found.capability == wanted


def test_a_name_that_is_no_kind() -> None:
    assert capability.kind("NVIDIA") is None
    assert capability.kind("A1000") is None


@pytest.mark.parametrize(
    ("gpu", "cuda", "torch", "runs"),
    [
        ("9.0", "11.8", "2.0.1", True),
        ("8.9", "11.8", "2.0.1", True),
        ("10.0", "11.8", "2.0.1", False),
        ("9.0", "11.7", "2.0.1", False),
        ("10.0", "12.6", "2.9.0", False),
        ("10.0", "12.8", "2.7.1", True),
        ("12.0", "12.8", "2.9.0", True),
        ("10.3", "12.8", "2.9.0", True),
        ("7.0", "12.8", "2.7.0", False),
        ("7.0", "12.8", "2.9.0", True),
        ("7.0", "12.8", "2.11.0", False),
        ("7.0", "13.0", "2.14.0", False),
        ("12.1", "13.0", "2.14.0", True),
        ("10.0", "11.8", "", False),
        ("10.0", "12.8", "", True),
        ("8.0", "99.0", "", None),
    ],
)
def test_code_runs_on_later_gpus_of_its_own_major_version(gpu: str, cuda: str, torch: str, runs: bool | None) -> None:
    assert capability.runs(gpu, cuda, torch) is runs


def test_the_first_driver_that_knows_a_gpu() -> None:
    assert capability.first_driver("10.0") == ("570.26", "12.8")
    assert capability.first_driver("9.0") == ("520.61.05", "11.8")
    assert capability.first_driver("99.0") is None


def test_words_with_the_numbers() -> None:
    device = {"index": 1, "name": "NVIDIA B200", "compute_capability": "10.0"}
    assert unfit_device(("2.0.1", "11.8"), device) == (
        "torch 2.0.1 for CUDA 11.8 has code for 3.7 to 9.0, not for GPU 1 NVIDIA B200 (10.0)"
    )
    assert unfit_device(("2.0.1", "11.8"), {**device, "compute_capability": None}).endswith("(10.0)")
    assert unfit_device(("", ""), device) == unfit_device(("2.9.0", "12.8"), device) == ""
    assert unfit_driver("525.60.13", "12.4", "470.82.01") == "CUDA 12.4 needs driver 525.60.13 or newer, not 470.82.01"
    assert unfit_driver("525.60.13", "12.4", None).endswith("the host has none")
    assert unfit_driver("525.60.13", "12.4", "525.60.13") == unfit_driver(None, "", None) == ""
    assert capability_of({"name": "something", "compute_capability": "[N/A]"}) == ""


def test_every_cuda_of_a_torch_is_judged() -> None:
    known = {cuda for entry in recipes.data()["architectures"] for cuda in entry["cuda"]}
    asked = {cuda for row in recipes.torch_sets() for cuda in (*row["cuda"], row["pypi_cuda"])}
    assert asked - known == {"10.2"}
