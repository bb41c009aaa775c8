"""environment.yml: what is read of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from provision.conda.environment import CondaSpec, Environment, read
from provision.errors import Mark

Make = Callable[..., Environment]


def test_a_whole_file_is_read_with_its_places(tmp_path: Path) -> None:
    path = tmp_path / "environment.yml"
    path.write_text(
        "name: tool\nchannels: [conda-forge, nodefaults]\ndependencies:\n- python =3.11\n"
        "- conda-forge::NumPy>=1.26,<2\n"
        "- pip:\n  - --extra-index-url https://a.example/simple/\n  - -f https://b.example/page\n"
        "  - transformers[torch]==4.37.2  \nvariables:\n  HF_HOME: /data/hf\n"
    )
    found = read(path)
    assert [(s.name, s.version, s.channel) for s in found.conda] == [
        ("python", "=3.11", ""),
        ("numpy", ">=1.26,<2", "conda-forge"),
    ]
    assert [(line.name, line.exact) for line in found.pip] == [("transformers", "4.37.2")]
    assert [(index.url, index.kind) for index in found.indexes] == [
        ("https://a.example/simple", "index"),
        ("https://b.example/page", "links"),
        ("https://pypi.org/simple", "index"),
    ]
    assert found.variables == {"HF_HOME": "/data/hf"}
    assert found.conda[1].where == Mark(str(path), 5, 3)


@pytest.mark.parametrize(
    ("version", "exact"),
    [
        ("=2.0.1", "2.0.1"),
        ("==2.0.1", "2.0.1"),
        ("=2.0.1=py3.11_cuda11.8*", "2.0.1"),
        ("2.0.1 py3.11_0", "2.0.1"),
        ("=2.0.*", "2.0"),
        ("2.0.*", "2.0"),
        (">=2.0", ""),
        ("=2.0|=2.1", ""),
        ("", ""),
        ("[version='2.0']", ""),
    ],
)
def test_exact_is_the_one_version_that_is_asked_for(version: str, exact: str) -> None:
    assert CondaSpec(f"x{version}", "x", version, Mark("f", 1, 1)).exact == exact


def test_an_extra_index_is_asked_before_the_main_one(environment: Make) -> None:
    found = environment(
        "python=3.11", pip=("--index-url https://a.example/s", "--extra-index-url https://b.example/s", "x")
    )
    assert [index.url for index in found.indexes] == ["https://b.example/s", "https://a.example/s"]


def test_files_that_ask_for_the_same_are_equal_whatever_their_layout(environment: Make) -> None:
    one, other = environment("python=3.11"), environment("python=3.11", more="# a comment\n")
    assert one.sha256 != other.sha256
    assert one.asks() == other.asks()
