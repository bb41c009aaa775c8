"""Libraries are newer than their known weaknesses, in what is asked for and in what is installed."""

from __future__ import annotations

import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ASKED = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["dependencies"]
MENDED = {"paramiko": "5.0", "pyyaml": "5.4", "jinja2": "3.1.6", "py-rattler": "0.24"}
"""The first release without: weak defaults of SHA-1; code in YAML; ways out of the sandbox; paths out of a package."""


@pytest.mark.parametrize(("name", "mended"), MENDED.items())
def test_a_release_with_a_known_weakness_is_never_taken(name: str, mended: str) -> None:
    asked = next(one for one in map(Requirement, ASKED) if one.name.lower() == name)
    floors = [Version(one.version) for one in asked.specifier if one.operator == ">="]
    assert floors and floors[0] >= Version(mended)
    assert Version(version(name)) >= Version(mended)
