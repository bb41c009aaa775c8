"""What provision made on a host, as its journal and its places tell it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from provision.agent import systemd, unit_text
from provision.agent.system import System
from provision.agent.verify import made


@pytest.fixture
def system(tmp_path: Path) -> System:
    (tmp_path / "state/journal").mkdir(parents=True)
    return System(lambda sha256: "", state_directory=str(tmp_path / "state"))


def line(resource: str, *actions: tuple[str, str], time: str = "2026-11-24T10:00:00Z") -> str:
    done = [{"verb": verb, "target": target} for verb, target in actions]
    told: dict[str, Any] = {"time": time, "run": "r1", "operator": "anna@control", "step": "Made"}
    return json.dumps({**told, "resource": resource, "actions": done, "status": "changed"})


def test_paths_are_those_that_were_created_and_are_still_there(system: System, tmp_path: Path) -> None:
    for name in ("kept", "old", "removed-and-back", "changed", "command"):
        (tmp_path / name).touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    at = {
        name: str(tmp_path / name)
        for name in ("kept", "old", "gone", "removed-and-back", "changed", "command", "dangling")
    }
    journal = tmp_path / "state/journal"
    (journal / "changes.1").write_text(line("file", ("create", at["old"])) + "\n")
    lines = [
        line("file", ("create", at["kept"]), ("change", at["changed"])),
        line("file", ("create", at["gone"])),
        line("file", ("create", at["removed-and-back"])),
        line("file", ("remove", at["removed-and-back"])),
        line("link", ("create", at["dangling"]), time="garbled"),
        line("command", ("create", at["command"])),
        "{cut",
        "[]",
    ]
    (journal / "changes").write_text("\n".join(lines))
    found = {one["path"]: one for one in made.paths(system)}
    assert {*found} == {at["old"], at["kept"], at["dangling"]}
    assert found[at["kept"]] | {"path": ""} == {
        "path": "",
        "kind": "file",
        "resource": "file",
        "step": "Made",
        "run": "r1",
        "operator": "anna@control",
        "since": 1795514400,
    }
    assert found[at["dangling"]]["since"] is None


def test_a_host_without_a_journal_has_none(system: System) -> None:
    assert made.paths(system) == []


def test_environments_are_those_with_a_sealed_generation(system: System, tmp_path: Path) -> None:
    for name, sealed in (("own", True), ("half", False)):
        notes = tmp_path / f"conda/envs/.generations/{name}/{'a' * 12}-1/.provision"
        notes.mkdir(parents=True)
        if sealed:
            (notes / "seal.json").write_text(json.dumps({"lock": "a" * 64}))
    (tmp_path / "conda/envs/by-hand").mkdir()
    found = made.environments(system, [str(tmp_path / "conda"), "/nowhere"])
    assert [(one["root"], one["name"]) for one in found] == [(str(tmp_path / "conda"), "own")]
    assert isinstance(found[0]["since"], int)


def test_apps_are_those_whose_unit_we_wrote(system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "UNIT_DIRECTORY", str(tmp_path))
    (tmp_path / "web.service").write_text(unit_text.MADE_BY + "\n[Unit]\n")
    (tmp_path / "theirs.service").write_text("[Unit]\n")
    (tmp_path / "web.timer").write_text(unit_text.MADE_BY + "\n")
    (tmp_path / "alias.service").symlink_to("web.service")
    assert [one["name"] for one in made.applications(system)] == ["web"]
