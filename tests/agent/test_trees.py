"""Removing a directory whole never leaves it: not by a link, not into another file system."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from provision.agent import trees
from provision.agent.resource import Refusal


def test_links_go_and_what_they_lead_to_stays(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/rows").write_text("years of work")
    (tmp_path / "gone/below").mkdir(parents=True)
    (tmp_path / "gone/below/link").symlink_to(tmp_path / "data")
    trees.remove(str(tmp_path / "gone"))
    assert not (tmp_path / "gone").exists() and (tmp_path / "data/rows").exists()


def test_a_folder_that_becomes_a_link_meanwhile_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/rows").write_text("years of work")
    (tmp_path / "gone/below").mkdir(parents=True)
    real = os.scandir

    def exchanged(place: int) -> object:
        found = list(real(place))
        if (tmp_path / "gone/below").is_dir() and not (tmp_path / "gone/below").is_symlink():
            for entry in found:
                entry.stat(follow_symlinks=False)
            (tmp_path / "gone/below").rmdir()
            (tmp_path / "gone/below").symlink_to(tmp_path / "data")
        return _Listing(found)

    monkeypatch.setattr(os, "scandir", exchanged)
    with pytest.raises(OSError, match="below"):
        trees.remove(str(tmp_path / "gone"))
    assert (tmp_path / "data/rows").exists()


class _Listing(list[object]):
    def __enter__(self) -> _Listing:
        return self

    def __exit__(self, *_: object) -> None: ...


def test_a_link_to_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    with pytest.raises(Refusal, match="cannot remove") as caught:
        trees.remove(str(tmp_path / "link/"))
    assert str(tmp_path / "data") in caught.value.cause


def test_a_mount_below_is_refused_before_anything_is_gone() -> None:
    with pytest.raises(Refusal, match="cannot remove") as caught:
        trees.need_removable("/")
    assert "mounted" in caught.value.cause
