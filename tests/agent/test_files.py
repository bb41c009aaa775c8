"""Files, links and folders as they are changed; modes as they are read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from provision.agent import files
from provision.agent.modes import parse_mode
from provision.agent.resource import Refusal
from provision.agent.system import System


@pytest.fixture
def system() -> System:
    return System(blob=str)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole_with_its_mode(system: System, tmp_path: Path) -> None:
    path = tmp_path / "file"
    system.write(str(path), b"one", mode=0o640)
    before = path.stat().st_ino
    system.write(str(path), b"two" * 100_000, mode=0o4755)
    assert path.read_bytes() == b"two" * 100_000
    assert stat.S_IMODE(path.stat().st_mode) == 0o4755 and path.stat().st_ino != before
    assert names(tmp_path) == ["file"]
    assert system.sha256(str(path)) == system.sha256(str(path)) != ""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_owner_of_what_is_replaced_stays(system: System, tmp_path: Path) -> None:
    path = tmp_path / "file"
    system.write(str(path), b"", mode=0o600, uid=65534, gid=65534)
    system.write(str(path), b"new", mode=0o600)
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)


def test_a_write_that_fails_leaves_nothing(system: System, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/x").touch()
    with pytest.raises(OSError):
        system.write(str(tmp_path / "folder"), b"data", mode=0o600)
    assert names(tmp_path) == ["folder"]


def test_links_are_made_and_moved_but_replace_no_data(system: System, tmp_path: Path) -> None:
    link = tmp_path / "link"
    system.link(str(link), "/data/one")
    system.link(str(link), "/data/two")
    assert str(link.readlink()) == "/data/two"
    for name, make in (("file", Path.touch), ("folder", Path.mkdir)):
        make(tmp_path / name)
        with pytest.raises(Refusal, match="cannot link"):
            system.link(str(tmp_path / name), "/data/one")
    assert names(tmp_path) == ["file", "folder", "link"]
    with pytest.raises(Refusal, match="cannot remove the link"):
        system.remove_link(str(tmp_path / "file"))
    system.remove_link(str(link))
    assert names(tmp_path) == ["file", "folder"]


def test_data_that_appears_in_the_last_moment_is_put_back(
    system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "link"
    system.link(str(link), "/data/one")
    whole = files.exchange

    def exchange(one: str, other: str) -> bool:
        if link.is_symlink() and str(link.readlink()) == "/data/one":
            link.unlink()
            link.mkdir()
            (link / "data").touch()
        return whole(one, other)

    monkeypatch.setattr(files, "exchange", exchange)
    with pytest.raises(Refusal, match="cannot link"):
        system.link(str(link), "/data/two")
    assert (link / "data").exists() and names(tmp_path) == ["link"]


def test_a_file_system_without_exchange(system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "exchange", lambda one, other: False)
    system.link(str(tmp_path / "link"), "/data/one")
    system.link(str(tmp_path / "link"), "/data/two")
    assert str((tmp_path / "link").readlink()) == "/data/two" and names(tmp_path) == ["link"]


def test_directory_and_link_change_places(system: System, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("elsewhere")
    assert system.exchange(str(tmp_path / "folder"), str(tmp_path / "link"))
    assert (tmp_path / "folder").is_symlink() and (tmp_path / "link").is_dir()


def test_folders_are_made_with_those_above(system: System, tmp_path: Path) -> None:
    system.mkdir(str(tmp_path / "a/b/c"), 0o2775)
    assert stat.S_IMODE((tmp_path / "a/b").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "a/b/c").stat().st_mode) == 0o2775
    system.mkdir(str(tmp_path / "a/b/c"), 0o700)
    assert stat.S_IMODE((tmp_path / "a/b/c").stat().st_mode) == 0o2775
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        system.mkdir(str(tmp_path / "file"))


def test_users_and_groups(system: System) -> None:
    assert (system.user_id("root"), system.user_id("1234"), system.user_home("root")) == (0, 1234, "/root")
    for ask in (system.user_id, system.group_id, system.user_home):
        with pytest.raises(Refusal, match="there is no"):
            ask("nemo-42")


@pytest.mark.parametrize(
    ("text", "current", "mode"),
    [
        ("0644", 0, 0o644),
        ("644", 0, 0o644),
        ("4755", 0, 0o4755),
        ("u=rw,go=r", 0o777, 0o644),
        ("u+x", 0o644, 0o744),
        ("+x", 0o644, 0o755),
        ("a-w", 0o666, 0o444),
        ("go=", 0o755, 0o700),
        ("g+s,o+t", 0o755, 0o3755),
        ("u-s", 0o4755, 0o755),
        ("g=u", 0o740, 0o770),
        ("o=g-w", 0o760, 0o764),
        ("a+X", 0o644, 0o644),
        ("a+X", 0o744, 0o755),
        ("=r", 0o4777, 0o444),
    ],
)
def test_modes(text: str, current: int, mode: int) -> None:
    assert oct(parse_mode(text, current)) == oct(mode)


def test_modes_of_folders() -> None:
    assert parse_mode("u=rwX,g=rX,o=", 0, folder=True) == 0o750
    assert parse_mode("g=rx", 0o2775, folder=True) == 0o2755


@pytest.mark.parametrize("text", ["", "rw", "u~x", "z+x", "u+q", "0999", "17777", "0o644", "u=rw;g=r"])
def test_what_is_no_mode(text: str) -> None:
    with pytest.raises(ValueError, match="is no mode"):
        parse_mode(text)
