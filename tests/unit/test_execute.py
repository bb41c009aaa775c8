"""As whom a host is logged in to, and whether its agent starts as root."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from provision.execute import Job, _close_bastions, _needs_facts, host_target
from provision.inventory import load_inventory
from provision.playbook import gathers
from provision.roles import load_playbook
from provision.scopes import Run
from provision.target import Login
from provision.transport import Target

NOBODY = "    - command: id\n"
BECOMES = "    - {command: id, become: true}\n"
ITSELF = "    - {command: id, become: true, become_user: ada}\n"
NOT_YET_KNOWN = "    - {command: id, become: '{{ said.rc == 0 }}'}\n"


def target(
    folder: Path, tasks: str, host: str = "", play: str = "", login: Login | None = None, become: bool = False
) -> Target:
    """The target of `gpu-01` in a play of these tasks; `host` and `play` are lines of YAML."""
    (folder / "hosts.yaml").write_text(f"all:\n  hosts:\n    gpu-01: {{{host}}}\n")
    (folder / "play.yaml").write_text(f"- hosts: all\n{play}  tasks:\n{tasks}")
    plays = tuple(load_playbook(folder / "play.yaml").plays)
    run = Run(load_inventory([folder / "hosts.yaml"]), become=become)
    return host_target(Job("apply", plays, (("gpu-01",),), run, login or Login(), 4), "gpu-01")


@pytest.mark.parametrize("tasks", [NOBODY, BECOMES, ITSELF, NOT_YET_KNOWN])
def test_who_logs_in_as_root_needs_no_sudo(tmp_path: Path, tasks: str) -> None:
    assert target(tmp_path, tasks, "ansible_user: root").become is False


@pytest.mark.parametrize("tasks", [BECOMES, ITSELF, NOT_YET_KNOWN])
def test_who_logs_in_otherwise_starts_the_agent_as_root_where_a_task_may_become(tmp_path: Path, tasks: str) -> None:
    chosen = target(tmp_path, tasks, "ansible_user: ada")
    assert (chosen.user, chosen.become, chosen.become_user) == ("ada", True, "root")


def test_a_task_that_becomes_who_logs_in_has_a_root_agent_which_steps_down(tmp_path: Path) -> None:
    chosen = target(tmp_path, NOBODY, "ansible_user: ada", play="  become: true\n  become_user: ada\n")
    assert (chosen.become, chosen.become_user) == (True, "root")


def test_without_a_task_that_becomes_there_is_no_sudo(tmp_path: Path) -> None:
    assert target(tmp_path, NOBODY, "ansible_user: ada").become is False


def test_a_user_that_only_ssh_knows_is_not_taken_for_root(tmp_path: Path) -> None:
    chosen = target(tmp_path, BECOMES)
    assert (chosen.user, chosen.become) == (None, True)


@pytest.mark.parametrize(
    ("host", "play", "login", "user"),
    [
        ("ansible_user: root", "  remote_user: ada\n", Login(user="bob"), "root"),
        ("", "  remote_user: ada\n", Login(user="root"), "root"),
        ("", "  remote_user: root\n", Login(), "root"),
        ("", "  remote_user: '{{ who }}'\n  vars: {who: root}\n", Login(), "root"),
    ],
)
def test_root_may_be_named_in_every_place(tmp_path: Path, host: str, play: str, login: Login, user: str) -> None:
    chosen = target(tmp_path, BECOMES, host, play, login)
    assert (chosen.user, chosen.become) == (user, False)


@pytest.mark.parametrize(("uid", "become"), [(0, False), (1000, True)])
def test_here_counts_who_runs_provision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int, become: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert target(tmp_path, BECOMES, "ansible_connection: local, ansible_user: root").become is become


def test_the_command_line_s_become_counts_for_every_task(tmp_path: Path) -> None:
    assert target(tmp_path, NOBODY, "ansible_user: ada", become=True).become is True


def test_bastions_are_hung_up_on_only_where_ssh_was_used(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []
    monkeypatch.delitem(sys.modules, "provision.transport.ssh", raising=False)
    _close_bastions()
    assert "provision.transport.ssh" not in sys.modules, "importing it costs start-up time"
    ssh = SimpleNamespace(close_bastions=lambda: closed.append("closed"))
    monkeypatch.setitem(sys.modules, "provision.transport.ssh", ssh)
    _close_bastions()
    assert closed == ["closed"]


@pytest.mark.parametrize(
    ("tasks", "needed"),
    [
        (NOBODY, False),
        ("    - {file: {path: /x, state: touch}}\n    - debug:\n", False),
        (NOBODY + "    - {package: {name: git}}\n", True),
        ("    - gpu: {}\n", True),
    ],
)
def test_facts_are_asked_for_without_a_play_that_gathers_where_a_task_goes_by_them(
    tmp_path: Path, tasks: str, needed: bool
) -> None:
    (tmp_path / "hosts.yaml").write_text("all:\n  hosts:\n    gpu-01:\n")
    (tmp_path / "play.yaml").write_text(f"- hosts: all\n  gather_facts: false\n  tasks:\n{tasks}")
    plays = tuple(load_playbook(tmp_path / "play.yaml").plays)
    job = Job("apply", plays, (("gpu-01",),), Run(load_inventory([tmp_path / "hosts.yaml"])), Login(), 4)
    assert _needs_facts(job, "gpu-01") is needed
    assert not gathers(plays, job.hosts, "gpu-01")
