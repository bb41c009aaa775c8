"""What is found before any host is contacted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from driven import loaded

from provision.errors import ProvisionError
from provision.inventory import load_inventory
from provision.playbook import Play
from provision.preflight import check, environment_files, may_become
from provision.scopes import Run


def prepared(folder: Path, text: str, files: dict[str, str] | None = None, **options: Any) -> tuple[Play, Run, Any]:
    play = loaded(folder, text, files)
    run = Run(load_inventory([folder / "hosts.yaml"]), **options)
    return play, run, {play: ["gpu-01", "gpu-02"]}


@pytest.mark.parametrize(
    "task",
    [
        "debug: {msg: '{{ [later, said.stdout, ansible_hostname, inventory_hostname, item] }}'}\n      loop: [1]",
        "debug: {msg: '{{ nothing | default(1) }}'}",
        "debug: {msg: '{{ nothing }}'}\n      when: nothing is defined",
        "debug: {msg: '{{ x.y }}'}\n      vars: {x: {y: 1}}",
        "debug: {msg: '{{ own }}'}\n      register: own",
        "debug: {msg: '{% for i in [1] %}{{ i }}{% endfor %}'}",
        "debug: {msg: '{{ only_extra }}'}",
    ],
)
def test_names_that_may_be_there_later_are_no_errors(tmp_path: Path, task: str) -> None:
    text = f"""
- hosts: all
  tasks:
    - set_fact: {{later: 1}}
    - {{command: x, register: said}}
    - {task}
"""
    plays, run, hosts = prepared(tmp_path, text, extra={"only_extra": 1})
    check([plays], run, hosts)


def test_a_play_that_gathers_no_facts_has_none_unless_one_before_it_did(tmp_path: Path) -> None:
    blind = "- hosts: all\n  gather_facts: false\n  tasks: [{debug: {msg: '{{ ansible_hostname }}'}}]\n"
    play, run, hosts = prepared(tmp_path, blind)
    with pytest.raises(ProvisionError, match="`ansible_hostname` is undefined") as caught:
        check([play], run, hosts)
    assert caught.value.hint == "a play with `gather_facts: false` has no facts"
    seeing = loaded(tmp_path, "- hosts: gpu-01\n  tasks: [{debug: }]\n")
    check([seeing, play], run, {seeing: ["gpu-01"], play: ["gpu-01"]})
    with pytest.raises(ProvisionError, match="undefined"):
        check([seeing, play], run, {seeing: ["gpu-01"], **hosts})


def test_a_name_that_only_some_hosts_have_is_an_error(tmp_path: Path) -> None:
    play, run, hosts = prepared(tmp_path, "- hosts: all\n  tasks: [{debug: {msg: '{{ port }}'}}]\n")
    with pytest.raises(ProvisionError, match="`port` is undefined"):
        check([play], run, hosts)
    check([play], run, {play: ["gpu-02"]})


def test_tasks_that_tags_leave_out_are_not_looked_at(tmp_path: Path) -> None:
    text = "- hosts: all\n  tasks: [{debug: {msg: '{{ nothing }}'}, tags: never}]\n"
    play, run, hosts = prepared(tmp_path, text)
    check([play], run, hosts)


def test_environment_files_of_all_hosts(tmp_path: Path) -> None:
    text = """
- hosts: all
  tasks:
    - conda_env: {name: a, file: "{{ kind }}.yml"}
      vars: {kind: "{{ 'small' if port is defined else 'large' }}"}
    - conda_env: {name: b, file: same.yml}
    - conda_env: {name: gone, state: absent}
"""
    files = {f"{name}.yml": f"name: {name}\n" for name in ("small", "large", "same")}
    play, run, hosts = prepared(tmp_path, text, files)
    assert [path.name for path in environment_files([play], run, hosts)] == ["large.yml", "small.yml", "same.yml"]


@pytest.mark.parametrize(
    ("second", "clash"),
    [
        ("port: 80", "port"),
        ("port: 81", None),
        ("port: 80, state: stopped", None),
        ("gpus: ['1']", None),
        ("gpus: ['0']", "GPU"),
        ("gpus: [0]", "GPU"),
        ("gpus: all", None),
        ("gpus: [all]", "GPU"),
    ],
)
def test_clashes(tmp_path: Path, second: str, clash: str | None) -> None:
    app = "environment: e, directory: /x, command: [x]"
    text = f"""
- hosts: all
  tasks:
    - app: {{name: a, {app}, port: 80, gpus: ["{{{{ zero }}}}"]}}
      vars: {{zero: "0"}}
    - app: {{name: b, {app}, {second}}}
      when: inventory_hostname == 'gpu-02'
"""
    try:
        play, run, hosts = prepared(tmp_path, text)
    except ProvisionError:
        assert second == "gpus: all"
        return
    check([play], run, {play: ["gpu-01"]})
    if clash is None:
        check([play], run, hosts)
    else:
        with pytest.raises(ProvisionError, match=f"same {clash}.* on gpu-02"):
            check([play], run, hosts)


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("- hosts: all\n  tasks: [{command: x}]\n", False),
        ("- hosts: all\n  become: true\n  tasks: [{command: x}]\n", True),
        ("- hosts: all\n  tasks: [{block: [{command: x}], become: true}]\n", True),
        ("- hosts: all\n  tasks: [{command: x, become: '{{ unknown }}'}]\n", True),
        ("- hosts: all\n  become: true\n  tasks: [{debug: }]\n", False),
    ],
)
def test_may_become(tmp_path: Path, text: str, becomes: bool) -> None:
    play, run, _ = prepared(tmp_path, text)
    assert may_become(play, run, "gpu-01") == becomes
