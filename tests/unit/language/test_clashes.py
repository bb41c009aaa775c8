"""Apps of one host that want the same port or GPU, in one play or in several, before and with the host's facts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from driven import loaded

from provision.clashes import clashes, clashes_on
from provision.inventory import load_inventory
from provision.playbook import Play
from provision.roles import load_playbook
from provision.scopes import Run

APP = "environment: e, directory: /x, command: [x]"
FACTS = {"user": "root", "cpus": 2, "gpu": {"devices": [{"index": 0, "uuid": "GPU-a"}, {"index": 1, "uuid": "GPU-b"}]}}


def prepared(folder: Path, *plays: str) -> tuple[list[Play], Run, dict[Play, list[str]]]:
    text = "".join(f"- hosts: {hosts}\n  apps:\n{apps}" for hosts, _, apps in (play.partition("\n") for play in plays))
    loaded(folder, text)
    found = list(load_playbook(folder / "play.yaml").plays)
    run = Run(load_inventory([folder / "hosts.yaml"]))
    return found, run, {play: run.inventory.select(play.hosts) for play in found}


def app(name: str, more: str) -> str:
    return f"    - {{name: {name}, {APP}, {more}}}\n"


def summaries(found: list[Any]) -> list[str]:
    return [error.summary for error in found]


def test_apps_of_two_plays_clash_on_the_hosts_that_both_are_for(tmp_path: Path) -> None:
    plays, run, hosts = prepared(tmp_path, "all\n" + app("a", "port: 80"), "gpu-02\n" + app("b", "port: 80"))
    assert summaries(clashes(plays, run, hosts)) == ["apps `a` and `b` have the same port 80 on gpu-02"]
    assert run.unsettled == set()


@pytest.mark.parametrize("state", ["absent", "stopped"])
def test_an_app_that_a_later_play_takes_away_leaves_its_port(tmp_path: Path, state: str) -> None:
    later = app("a", f"port: 80, state: {state}") + app("b", "port: 80")
    plays, run, hosts = prepared(tmp_path, "all\n" + app("a", "port: 80"), "all\n" + later)
    assert clashes(plays, run, hosts) == []


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ("port: 80", 'port: "{{ 78 + facts.cpus }}"', "port 80"),
        ("port: 80", 'port: "{{ 79 + facts.cpus }}"', ""),
        ("gpus: ['1']", "gpus: [GPU-b]", "GPU 1"),
        ("gpus: ['0']", "gpus: [GPU-b]", ""),
        ("gpus: ['1'], share_gpus: true", "gpus: [GPU-b], share_gpus: true", ""),
        ("port: 80", "port: 80, when: facts.cpus == 2", "port 80"),
        ("port: 80", "port: 80, when: facts.cpus == 3", ""),
    ],
)
def test_what_depends_on_facts_is_looked_at_when_they_are_known(
    tmp_path: Path, one: str, other: str, clash: str
) -> None:
    plays, run, hosts = prepared(tmp_path, "all\n" + app("a", one), "all\n" + app("b", other))
    assert clashes(plays, run, hosts) == []
    assert run.unsettled == {"gpu-01", "gpu-02"}
    found = clashes_on("gpu-01", FACTS, plays, run, hosts)
    assert summaries(found) == ([f"apps `a` and `b` have the same {clash} on gpu-01"] if clash else [])


def test_what_only_a_result_tells_is_left_to_the_run(tmp_path: Path) -> None:
    plays, run, hosts = prepared(tmp_path, "all\n" + app("a", "port: 80") + app("b", 'port: "{{ asked.stdout }}"'))
    assert clashes(plays, run, hosts) == []
    assert clashes_on("gpu-01", FACTS, plays, run, hosts) == []
