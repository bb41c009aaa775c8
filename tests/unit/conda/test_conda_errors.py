"""The errors of environments, word for word."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from provision.conda.environment import Environment, read
from provision.conda.lint import lint, refuse
from provision.conda.lock import make_lock, paths, read_lock
from provision.conda.mirrors import Settings
from provision.conda.prepare import prepare
from provision.errors import ProvisionError

Make = Callable[..., Environment]
HEAD = "name: tool\nchannels: [conda-forge, nodefaults]\n"

FILES = {
    "eaten version": HEAD + "dependencies:\n  - python: 3.1\n  - numpy=1.26.4\n",
    "eaten number": HEAD + "dependencies:\n  - 3.11\n",
    "eaten variable": HEAD + "dependencies: [python=3.11]\nvariables:\n  DEBUG: yes\n",
    "eaten name": "name: 118\nchannels: [conda-forge]\ndependencies: [python=3.11]\n",
    "unknown key": HEAD + "dependencys: [python=3.11]\ndependencies: [python=3.11]\n",
    "prefix": HEAD + "dependencies: [python=3.11]\nprefix: /opt/conda/envs/tool\n",
    "no name": "channels: [conda-forge]\ndependencies: [python=3.11]\n",
    "base": "name: base\nchannels: [conda-forge]\ndependencies: [python=3.11]\n",
    "no channels": "name: tool\ndependencies: [python=3.11]\n",
    "credentials": "name: tool\nchannels: ['https://me:secret@x.example/c']\ndependencies: [python=3.11]\n",
    "file index": HEAD + "dependencies:\n  - python=3.11\n  - pip:\n    - --find-links /srv/wheels\n",
    "a list": "- python=3.11\n",
    "several": "name: tool\nchannels: []\ndependencies: ['!!']\nvariables: {1X: a}\n",
}

LINTED = {
    "often copied": (("python=3.10", "pytorch=2.0.1", "torchvision=0.15.1", "torchaudio=2.0.1"), ()),
    "editable": (("python=3.11",), ("-e .",)),
    "git": (("python=3.11",), ("git+https://github.com/someone/thing.git",)),
}

UNSOLVABLE = {
    "conda version": (("python=3.11", "numpy=9"), ()),
    "conda glibc": (("needs-new-glibc",), ()),
    "pip version": (("python=3.11", "pip"), ("diffusers==9.9",)),
    "pip against conda": (("python=3.11", "pip", "pytorch", "pytorch-cuda"), ("wants-new-torch==1.0",)),
    "sdist": (("python=3.11", "pip"), ("only-sdist==1.0",)),
    "second cuda": (("python=3.11", "pip", "pytorch", "pytorch-cuda"), ("wants-cublas==1.0",)),
    "cpu torch": (("python=3.11", "pytorch=2.0.1=py3.11_cpu_0"), ()),
    "cpu wheel": (("python=3.11", "pip"), ("torch==2.0.1+cpu",)),
    "pip without python": (("stand-in",), ("shared-name",)),
}


def said(error: ProvisionError, folder: Path) -> str:
    return str(error).replace(f"{folder}/", "")


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_a_file_that_is_refused(text: str, tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    path = tmp_path / "environment.yml"
    path.write_text(text)
    with pytest.raises(ProvisionError) as caught:
        read(path)
    assert said(caught.value, tmp_path) == snapshot


@pytest.mark.parametrize(("conda", "pip"), LINTED.values(), ids=LINTED)
def test_content_that_is_refused(
    conda: tuple[str, ...], pip: tuple[str, ...], environment: Make, tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    with pytest.raises(ProvisionError) as caught:
        refuse(lint(environment(*conda, pip=pip)))
    assert said(caught.value, tmp_path) == snapshot


@pytest.mark.parametrize(("conda", "pip"), UNSOLVABLE.values(), ids=UNSOLVABLE)
def test_what_cannot_be_locked(
    conda: tuple[str, ...],
    pip: tuple[str, ...],
    environment: Make,
    settings: Settings,
    tmp_path: Path,
    snapshot: SnapshotAssertion,
) -> None:
    with pytest.raises(ProvisionError) as caught:
        make_lock(environment(*conda, pip=pip), settings)
    text = said(caught.value, tmp_path)
    assert "hunter2" not in text
    assert text == snapshot


def test_a_channel_that_is_not_there(
    environment: Make, settings: Settings, server: str, tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    nowhere = dataclasses.replace(settings, channel_mirrors={"https://conda.anaconda.org": f"{server}/nowhere"})
    asked = tmp_path / "environment.yml"
    asked.write_text(HEAD + "dependencies: [python=3.11]\n")
    with pytest.raises(ProvisionError) as caught:
        make_lock(read(asked), nowhere)
    text = re.sub(r"/(linux-64|noarch)/|'(linux-64|noarch)'", "SUBDIR", said(caught.value, tmp_path))
    assert text == snapshot


def test_a_stale_lock(environment: Make, settings: Settings, tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    make_lock(environment("python=3.11", "certifi=2024.2.2"), settings)
    changed = environment("python=3.11", "certifi=2024.8.30")
    with pytest.raises(ProvisionError) as caught:
        prepare([changed.path], settings, report=lambda _: None)
    assert said(caught.value, tmp_path) == snapshot


def test_a_changed_lock(environment: Make, settings: Settings, tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    asked = environment("python=3.11")
    make_lock(asked, settings)
    manifest = paths(asked, settings).manifest
    manifest.write_text(manifest.read_text().replace("3.11.2", "3.11.9"))
    with pytest.raises(ProvisionError) as caught:
        read_lock(asked, settings)
    assert said(caught.value, tmp_path) == snapshot
