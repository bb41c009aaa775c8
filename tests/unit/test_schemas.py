"""The printed schemas take what is shipped and refuse what the tool refuses."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from provision import schemas

ROOT = Path(__file__).parents[2]
SHIPPED = [
    *(("playbook", path) for path in sorted(ROOT.glob("playbooks/*.yaml"))),
    *(("role", path) for path in sorted(ROOT.glob("roles/*/*/main.yaml")) if path.parent.name in ("tasks", "handlers")),
    *(("environment", path) for path in sorted(ROOT.glob("roles/*/environment*.yml"))),
    ("inventory", ROOT / "inventory.yaml"),
]
BROKEN = [
    ("playbook", "- {hosts: all, tsks: []}"),
    ("playbook", "- {tasks: []}"),
    ("playbook", "- {hosts: all, become: maybe}"),
    ("playbook", "- {hosts: all, tasks: [{name: nothing to do}]}"),
    ("playbook", "- {hosts: all, tasks: [{copy: {dest: /a, contents: x}}]}"),
    ("playbook", "- {hosts: all, tasks: [{block: [{copy: {dest: [a], content: x}}]}]}"),
    ("playbook", "- {hosts: all, apps: [{name: a, prot: 80}]}"),
    ("playbook", "- {hosts: all, roles: [{tags: a}]}"),
    ("playbook", "{hosts: all}"),
    ("role", "- {comand: {cmd: x}}"),
    ("role", "- {loop_control: {labl: x}, command: x}"),
    ("inventory", "all: {host: {a: }}"),
    ("inventory", "all: {hosts: {a: {ansible_port: [22]}}}"),
    ("environment", "{name: a, dependencies: [{pip: numpy}]}"),
    ("environment", "{name: a, dependencies: [], channel: []}"),
]
RIGHT = [
    ("playbook", "- {hosts: all, become: '{{ up }}', tasks: [{ansible.builtin.copy: {dest: /a, content: x}}]}"),
    ("playbook", "- {hosts: all, roles: [web, {role: db, port: 5432}], tasks: [{command: ls}]}"),
    ("playbook", "- {import_playbook: other.yaml, vars: {a: 1}, when: a == 1, tags: x}"),
    ("playbook", "- {hosts: all, tasks: [{command: ls, with_items: [a], args: {chdir: /}, loop_control: {pause: 1}}]}"),
    ("inventory", "gpu: {children: {a100: {hosts: {'a[01:04]': , b: {ansible_port: 22}}}}}"),
]


@cache
def validator(kind: str) -> jsonschema.Draft202012Validator:
    schema = schemas.schema(kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def validate(kind: str, content: Any) -> None:
    validator(kind).validate(content)


@pytest.mark.parametrize(("kind", "path"), SHIPPED, ids=lambda value: getattr(value, "name", value))
def test_what_is_shipped_is_right(kind: str, path: Path) -> None:
    validate(kind, yaml.safe_load(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(("kind", "text"), RIGHT)
def test_what_may_be_written_is_right(kind: str, text: str) -> None:
    validate(kind, yaml.safe_load(text))


@pytest.mark.parametrize(("kind", "text"), BROKEN)
def test_what_is_refused_is_wrong(kind: str, text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validate(kind, yaml.safe_load(text))


def test_every_shipped_kind_is_looked_at() -> None:
    assert {kind for kind, _ in SHIPPED} == set(schemas.KINDS)


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert schemas.show("role") == 0
    assert json.loads(capsys.readouterr().out) == schemas.schema("role")
