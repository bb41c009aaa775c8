"""Where a value comes from: each level of variables against each other, and what is said of it."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml

from provision.inventory import load_inventory
from provision.playbook import Play
from provision.render import Renderer
from provision.roles import load_playbook
from provision.scopes import INCLUDED, HostVariables, Run, Scopes
from provision.variables import Scope

LEVELS = [
    "role defaults",
    "inventory all", "inventory parent", "inventory child",
    "group_vars all", "group_vars all beside the play",
    "group_vars parent", "group_vars child", "group_vars child beside the play",
    "inventory host", "host_vars", "host_vars beside the play",
    "facts", "play vars", "vars_files", "role vars", "vars of the role's entry", "block vars", "task vars",
    "include_vars", "set_fact", "parameters of the role's entry", "extra vars",
]  # fmt: skip
"""From the weakest; the order of facts and up is documented, that of all others as ansible-core 2.19 has it."""


def name(low: str, high: str) -> str:
    return f"ansible_{LEVELS.index(low)}_{LEVELS.index(high)}"


def values(level: str) -> dict[str, str]:
    return {name(*pair): level for pair in itertools.combinations(LEVELS, 2) if level in pair}


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False))


@pytest.fixture
def play(tmp_path: Path) -> Play:
    child = {"vars": values("inventory child"), "hosts": {"h1": values("inventory host"), "h2": {}}}
    parent = {"vars": values("inventory parent"), "children": {"child": child}}
    write(tmp_path / "inv/hosts.yml", {"all": {"vars": values("inventory all"), "children": {"parent": parent}}})
    for file, level in {
        "inv/group_vars/all.yml": "group_vars all",
        "inv/group_vars/parent.yaml": "group_vars parent",
        "inv/group_vars/child/x.json": "group_vars child",
        "inv/host_vars/h1": "host_vars",
        "play/group_vars/all.yml": "group_vars all beside the play",
        "play/group_vars/child.yml": "group_vars child beside the play",
        "play/host_vars/h1.yml": "host_vars beside the play",
        "play/more.yml": "vars_files",
        "play/roles/r/defaults/main.yml": "role defaults",
        "play/roles/r/vars/main.yml": "role vars",
    }.items():
        write(tmp_path / file, values(level))
    task = {"debug": {}, "vars": values("task vars")}
    write(tmp_path / "play/roles/r/tasks/main.yml", [{"block": [task], "vars": values("block vars")}])
    entry = {"role": "r", "vars": values("vars of the role's entry"), **values("parameters of the role's entry")}
    play = {"hosts": "h1", "vars": values("play vars"), "vars_files": ["more.yml"], "roles": [entry]}
    write(tmp_path / "play/play.yml", [play])
    return load_playbook(tmp_path / "play/play.yml").plays[0]


@pytest.fixture
def scopes(play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scopes:
    told = values("facts")
    monkeypatch.setattr("provision.scopes.fact_variables", lambda facts: told)
    run = Run(load_inventory([tmp_path / "inv"]), extra=values("extra vars"), limit="h1")
    return Scopes(play, HostVariables(run, "h1", {"os": {}}), {**values("set_fact"), INCLUDED: values("include_vars")})


@pytest.fixture
def scope(play: Play, scopes: Scopes) -> Scope:
    return scopes.of(next(iter(play.tasks)))


def test_each_level_wins_over_those_before_it(scope: Scope) -> None:
    wrong = [(low, high) for low, high in itertools.combinations(LEVELS, 2) if scope.find(name(low, high)) != high]
    assert wrong == []


def test_where_a_value_is_written(scope: Scope, tmp_path: Path) -> None:
    origins = scope.origins(name("inventory host", "vars_files"))
    assert [
        (origin.label.replace(str(tmp_path), "."), str(origin.where).replace(str(tmp_path), ".")) for origin in origins
    ] == [
        ("`./play/more.yml`", "./play/more.yml:10:1"),
        ("host `h1`", "./inv/hosts.yml:90:15"),
    ]
    assert scope.origin("nothing") is None
    assert scope.origins(name("group_vars all", "group_vars child"))[0].label == "group_vars of `child`"


def test_magic_variables(scopes: Scopes, scope: Scope, tmp_path: Path) -> None:
    values = {
        word: scope.find(word) for word in ("inventory_hostname", "role_name", "ansible_limit", "ansible_run_tags")
    }
    assert values == {"inventory_hostname": "h1", "role_name": "r", "ansible_limit": "h1", "ansible_run_tags": ["all"]}
    assert scope.find("groups") == {"all": ["h1", "h2"], "ungrouped": [], "parent": ["h1", "h2"], "child": ["h1", "h2"]}
    assert scope.find("group_names") == ["child", "parent"]
    assert scope.find("ansible_search_path") == [str(tmp_path / "play/roles/r"), str(tmp_path / "play")]
    assert scope.find("inventory_file") == str(tmp_path / "inv/hosts.yml")
    assert scope.find("hostvars")["h2"][name("inventory all", "inventory host")] == "inventory all"
    assert sorted(scope.find("hostvars")) == ["h1", "h2"]
    assert scope.find("groups") is scopes.whole().find("groups"), "shared by all hosts, not copied"


def test_what_others_registered_is_seen_by_its_names_and_no_more_copied(play: Play, tmp_path: Path) -> None:
    run = Run(load_inventory([tmp_path / "inv"]), Renderer())
    run.known_of["h2"] = {"found": "x"}
    scopes = Scopes(play, HostVariables(run, "h1"), {})
    views = [scopes.whole().find("hostvars")["h2"] for _ in range(2)]
    assert [view["found"] for view in views] == ["x", "x"]
    assert views[0]._scope.layers is views[1]._scope.layers
    run.known_of["h2"] = {"found": "y"}
    assert scopes.whole().find("hostvars")["h2"]["found"] == "y"
