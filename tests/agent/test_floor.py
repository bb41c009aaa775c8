"""What a host must have: the driver's floor, glibc's, and the words of each refusal."""

from __future__ import annotations

from typing import Any

import pytest

from provision.agent import floor
from provision.agent.resource import Refusal

CUDA_118 = {"driver": "450.80.02", "cuda": "11.8", "toolkit_driver": "520.61.05", "glibc": "2.17"}


def facts(driver: str | None, glibc: str = "2.36") -> dict[str, Any]:
    return {"glibc": glibc, "gpu": {"driver": driver} if driver else {}}


@pytest.mark.parametrize("driver", ["450.80.02", "470.256.02", "535.104.05", "550.54"])
def test_a_driver_from_the_floor_on_is_enough(driver: str) -> None:
    floor.check("env", CUDA_118, facts(driver))


@pytest.mark.parametrize(
    ("found", "summary", "cause"),
    [
        (
            facts("440.118.02"),
            "environment `env` needs driver 450.80.02 or newer, this host has 440.118.02",
            "CUDA 11.8 runs on driver 450.80.02 and newer",
        ),
        (
            facts(None),
            "environment `env` needs an NVIDIA driver, this host has none",
            "CUDA 11.8 needs driver 450.80.02 or newer; no driver answers here",
        ),
        (
            facts("535.104.05", glibc="2.12"),
            "environment `env` needs glibc 2.17, this host has 2.12",
            "its packages are locked for systems with glibc 2.17 or newer",
        ),
    ],
)
def test_a_host_below_the_floor_is_refused_with_the_numbers(found: dict[str, Any], summary: str, cause: str) -> None:
    with pytest.raises(Refusal) as refused:
        floor.check("env", CUDA_118, found)
    assert (refused.value.summary, refused.value.cause) == (summary, cause)
    assert refused.value.hint


def test_without_cuda_no_driver_is_needed() -> None:
    floor.check("env", {"driver": None, "cuda": None, "glibc": "2.17"}, facts(None))


def test_a_driver_older_than_the_toolkits_own_is_a_notice() -> None:
    assert "520.61.05" in floor.notice(CUDA_118, facts("470.82.01"))
    assert floor.notice(CUDA_118, facts("535.104.05")) == ""
    assert floor.notice(CUDA_118, facts(None)) == ""


@pytest.mark.parametrize(
    ("lower", "higher"), [("470.82", "470.82.01"), ("9.1", "10.0"), ("450.80.02", "450.102.04"), ("2.9", "2.36")]
)
def test_versions_compare_by_number(lower: str, higher: str) -> None:
    assert floor.numbers(lower) < floor.numbers(higher)
    assert floor.numbers("470.0") == floor.numbers("470")
