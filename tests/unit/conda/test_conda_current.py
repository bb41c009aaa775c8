"""What was found good is not judged again, and nothing else is taken for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from provision.conda import prepare
from provision.conda.current import prepared
from provision.conda.locked import Lock, Paths, from_manifest
from provision.conda.mirrors import Settings

MANIFEST = {
    "format": 1, "name": "own", "digest": "", "platform": "linux-64", "virtual_packages": [], "python": "3.11.2",
    "floor": {}, "expect": {}, "imports": [], "simulated": False, "variables": {}, "provided": [], "packages": [],
    "pip": [], "locked": "",
}  # fmt: skip


class Judged:
    """An environment with a lock, and how often it was judged; `meanwhile` happens while it is."""

    def __init__(self, folder: Path) -> None:
        self.file, self.times, self.meanwhile = folder / "environment.yml", 0, lambda: 0
        self.file.write_text("name: own\n")
        self.paths = Paths(folder / "own.lock.json", folder / "own.conda.lock", folder / "pylock.own.toml")
        self.paths.conda.write_text("locked\n")
        self.written(self.file.read_bytes())

    def written(self, environment: bytes) -> None:
        files = {"conda": hashlib.sha256(self.paths.conda.read_bytes()).hexdigest(), "pip": None}
        asked = {"sha256": hashlib.sha256(environment).hexdigest(), "asks": {"channels": []}}
        self.paths.manifest.write_text(json.dumps({**MANIFEST, "environment": asked, "files": files}))

    def prepare(self, files: Any, settings: Settings, *, report: Callable[[str], None], **_: Any) -> dict[Path, Lock]:
        self.times += 1
        lock = from_manifest(json.loads(self.paths.manifest.read_text()), self.paths)
        self.meanwhile()
        report("warning: said of it")
        return dict.fromkeys(files, lock)

    def ask(self) -> list[str]:
        said: list[str] = []
        locks = prepared([self.file], Settings(), strict=False, report=said.append)
        assert [lock.name for lock in locks.values()] == ["own"]
        return said


@pytest.fixture
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judged:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = Judged(tmp_path)
    monkeypatch.setattr(prepare, "prepare", made.prepare)
    return made


def test_the_same_files_are_judged_once_and_warned_of_each_time(judged: Judged) -> None:
    assert [judged.ask(), judged.ask()] == [["warning: said of it"]] * 2
    assert judged.times == 1


@pytest.mark.parametrize("changed", ["file", "conda", "manifest"])
def test_what_changed_is_judged_again(judged: Judged, changed: str) -> None:
    judged.ask()
    path = judged.file if changed == "file" else getattr(judged.paths, changed)
    path.write_text(path.read_text() + "\n")
    judged.ask()
    assert judged.times == 2


@pytest.mark.parametrize("changed", ["file", "conda", "manifest"])
def test_what_changed_while_it_was_judged_is_not_taken_for_good(judged: Judged, changed: str) -> None:
    path = judged.file if changed == "file" else getattr(judged.paths, changed)
    other = path.read_text().replace("own", "own # edited", 1)
    other = other.replace("locked\n", "edited\n").replace("3.11.2", "3.11.3")
    judged.meanwhile = lambda: path.write_text(other if changed != "manifest" else other.replace("own # edited", "own"))
    judged.ask()
    judged.meanwhile = lambda: 0
    judged.ask()
    assert judged.times == 2
