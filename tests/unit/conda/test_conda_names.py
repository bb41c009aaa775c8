"""One package under its three names, and canonical addresses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_channel import PYTHON_311, record

from provision.conda import mirrors, names
from provision.conda.environment import Environment
from provision.conda.pip_part import provided
from provision.errors import ProvisionError

Make = Callable[..., Environment]


def test_what_conda_provides_for_pip() -> None:
    records = [
        record("pytorch", "2.0.1", "0", PYTHON_311),
        record("torchtriton", "2.0.0", "0", PYTHON_311),
        record("renamed", "1.0", "0", PYTHON_311, purls=["pkg:pypi/Real_Name@1.0?x=y"]),
        record("python_abi", "3.11", "0", PYTHON_311),
        record("mkl", "2023.1.0", "0"),
        record("never-heard-of", "1.0", "0", PYTHON_311),
    ]
    known, unmapped = provided(records)
    assert known == {"torch": "2.0.1", "triton": "2.0.0", "real-name": "1.0", "never-heard-of": "1.0"}
    assert unmapped == ["never-heard-of"]


def test_imports_are_those_of_what_the_file_asks_for(environment: Make) -> None:
    asked = environment(
        *("python=3.11", "pytorch", "pillow", "ffmpeg", "mkl", "pytorch-cuda"),
        pip=(
            "opencv-python-headless==4.9.0.80",
            "llama-cpp-python==0.2.90",
            "huggingface_hub==0.25.2",
            "PyYAML==6.0.2",
        ),
    )
    records = [record(name, "1", "0", PYTHON_311) for name in ("pytorch", "pillow", "numpy")]
    records += [record(name, "1", "0") for name in ("python", "ffmpeg", "mkl", "pytorch-cuda")]
    assert names.modules(asked, records) == ("torch", "PIL", "cv2", "llama_cpp", "huggingface_hub", "yaml")


def test_channels_by_name_and_by_url() -> None:
    found = mirrors.canonical_channels(["pytorch", "https://x.example/c/", "nodefaults", "defaults"])
    assert found == (
        "https://conda.anaconda.org/pytorch",
        "https://x.example/c",
        "https://repo.anaconda.com/pkgs/main",
        "https://repo.anaconda.com/pkgs/r",
    )


def test_the_longest_mirror_wins_and_whole_parts_only() -> None:
    table = {"https://a.example": "https://one", "https://a.example/x": "https://two"}
    assert mirrors.mirrored("https://a.example/x/y", table) == "https://two/y"
    assert mirrors.mirrored("https://a.example/xy", table) == "https://one/xy"
    assert mirrors.mirrored("https://a.example.org/x", table) == "https://a.example.org/x"


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("http://u:p@m:81/pypi/simple/x/x.whl", "https://pypi.org/simple/x/x.whl"),
        ("http://m:81/pypi/files/x.whl", "https://pypi.org/files/x.whl"),
        ("https://u:p@elsewhere.example/x.whl", "https://elsewhere.example/x.whl"),
    ],
)
def test_a_lock_holds_canonical_urls(url: str, canonical: str) -> None:
    assert mirrors.canonical_url(url, {"https://pypi.org/simple": "http://u:p@m:81/pypi/simple"}) == canonical


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"system_floor": {"glbc": "2.28"}}, "unknown key `glbc`"),
        ({"system_floor": {"glibc": 2.28}}, "`glibc` in the variable `system_floor` is no version"),
        ({"system_floor": {"platform": "osx-64"}}, "platform `osx-64`"),
        ({"channel_mirrors": {"conda-forge": "/srv/mirror"}}, "no http or https URL"),
        ({"index_mirrors": ["x"]}, "is no mapping"),
    ],
)
def test_settings_are_checked(variables: dict[str, object], said: str) -> None:
    with pytest.raises(ProvisionError, match=said):
        mirrors.Settings.read(variables, Path("/project"))


def test_settings_of_an_inventory() -> None:
    found = mirrors.Settings.read(
        {
            "channel_mirrors": {"conda-forge": "https://m/cf/"},
            "locks_directory": "locks",
            "https_proxy": "http://p:3128",
        },
        Path("/project"),
    )
    assert found.channel_mirrors == {"https://conda.anaconda.org/conda-forge": "https://m/cf"}
    assert found.locks_directory == Path("/project/locks")
    assert found.network["HTTPS_PROXY"] == "http://p:3128"
