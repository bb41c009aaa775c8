"""A new project is right from the start, and nothing is ever written over."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from syrupy.assertion import SnapshotAssertion

from provision.conda import lint
from provision.conda.environment import read
from provision.errors import ProvisionError
from provision.inventory import load_inventory
from provision.preflight import check
from provision.roles import load_playbook
from provision.scopes import Run
from provision.starter.init import init, project


def test_a_new_project_loads_lints_and_fits_its_own_schemas(tmp_path: Path) -> None:
    assert init(tmp_path / "new") == 0
    new = tmp_path / "new"
    inventory = load_inventory([new / "inventory.yaml"])
    plays = load_playbook(new / "playbooks/site.yaml").plays
    check(plays, Run(inventory), {play: tuple(inventory.select(play.hosts)) for play in plays})
    environment = read(new / "roles/hello-gpu/environment.yml")
    assert [found for found in lint.lint(environment) if found.level in ("error", "warning")] == []
    for path in new.rglob("*.y*ml"):
        first, _, _ = path.read_text().partition("\n")
        if first.startswith("# yaml-language-server: $schema="):
            schema = path.parent / first.partition("=")[2]
            jsonschema.validate(yaml.safe_load(path.read_text()), json.loads(schema.read_text()))
    assert ".provision/" in (new / ".gitignore").read_text().splitlines()
    yaml.safe_load((new / ".github/workflows/provision.yml").read_text())


def test_every_file_that_has_a_schema_names_it(tmp_path: Path) -> None:
    init(tmp_path)
    named = [path.name for path in tmp_path.rglob("*.y*ml") if "yaml-language-server" in path.read_text()]
    assert sorted(named) == ["environment.yml", "inventory.yaml", "main.yaml", "site.yaml"]


def test_nothing_is_written_over(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    (tmp_path / "inventory.yaml").write_text("mine")
    with pytest.raises(ProvisionError) as caught:
        init(tmp_path)
    assert str(caught.value).replace(str(tmp_path), "DIR") == snapshot
    assert (tmp_path / "inventory.yaml").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["inventory.yaml"]


def test_what_an_installer_compiled_is_no_part_of_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = tmp_path / "project/roles/x/files/__pycache__/app.cpython-311.pyc"
    compiled.parent.mkdir(parents=True)
    compiled.write_bytes(b"\xa7\r\r\n")
    (compiled.parent.parent / "app.py").write_text("")
    monkeypatch.setattr("provision.starter.init.PROJECT", tmp_path / "project")
    assert [name for name, _ in project() if name.startswith("roles/")] == ["roles/x/files/app.py"]
