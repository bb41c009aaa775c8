"""Files of an inventory are written whole, and nobody reads meanwhile what was not for them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from provision.whole_file import write_whole


def test_the_mode_stays_and_nothing_is_left_beside(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yaml"
    path.write_text("old")
    path.chmod(0o600)
    write_whole(path, "new\udcff")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new\xff", 0o600)
    assert [entry.name for entry in tmp_path.iterdir()] == ["inventory.yaml"]


def test_a_link_stays_one_and_what_it_leads_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_whole(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_text() == "new"


def test_what_lies_where_a_guessed_name_would_be_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("theirs")
    (tmp_path / ".known_hosts.new").symlink_to("victim")
    write_whole(tmp_path / "known_hosts", "ours")
    assert (tmp_path / "victim").read_text() == "theirs"
    assert (tmp_path / "known_hosts").stat().st_mode & 0o777 == 0o644


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "known_hosts").write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="space"):
        write_whole(tmp_path / "known_hosts", "new")
    assert [entry.read_text() for entry in tmp_path.iterdir()] == ["old"]
