"""How plays reach their hosts, and what of it happens on this machine."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

from provision.execute import Job
from provision.inventory import load_inventory
from provision.reaching import Ways, delegate_target
from provision.roles import load_playbook
from provision.scopes import Here, Run
from provision.target import Login


def job(folder: Path, playbook: str, hosts: str = "    web:\n    db: {ansible_connection: local}\n") -> Job:
    (folder / "hosts.yaml").write_text(f"all:\n  hosts:\n{hosts}")
    (folder / "play.yaml").write_text(playbook)
    plays = tuple(load_playbook(folder / "play.yaml").plays)
    run = Run(load_inventory([folder / "hosts.yaml"]))
    names = tuple(tuple(run.inventory.select(play.hosts)) for play in plays)
    return Job("apply", plays, names, run, Login(), 4)


def test_each_play_reaches_its_hosts_in_its_own_way(tmp_path: Path) -> None:
    made = job(tmp_path, "- hosts: all\n- hosts: all\n  connection: local\n- hosts: all\n  connection: local\n")
    first, _, third = made.plays
    ways = Ways(made)
    assert [ways.changes(play, "web") for play in made.plays] == [False, True, False]
    assert [ways.changes(play, "db") for play in made.plays] == [False, False, False], "its inventory says it for all"
    assert [ways.of(play, "web").connection for play in made.plays] == ["ssh", "local", "local"]
    user = getpass.getuser()
    started = "root" if os.geteuid() == 0 else user
    assert ways.here(first, "web") == Here(started, "" if started == user else user)
    assert ways.here(third, "web").local
    assert not ways.here(third, "web").own, "what an earlier play learned of it is not from here"
    assert ways.here(first, "db").own


def test_who_does_tasks_on_this_machine_is_found_without_the_inventory_or_by_it(tmp_path: Path) -> None:
    play = "- hosts: web\n  remote_user: ada\n  tasks: [{command: id, delegate_to: localhost}]\n"
    chosen = delegate_target(job(tmp_path, play))
    assert (chosen.connection, chosen.user, chosen.python, chosen.become) == ("local", None, sys.executable, False)
    own = "{ansible_connection: ssh, ansible_python_interpreter: /opt/python, ansible_user: ada}"
    chosen = delegate_target(job(tmp_path, play, f"    web:\n    localhost: {own}\n"))
    assert (chosen.connection, chosen.user, chosen.python) == ("local", None, "/opt/python")
