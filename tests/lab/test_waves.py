"""Several real hosts in a play: waves, one for all, tasks on this machine, values of others, an early end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from provision.lab.fleet import Lab

pytestmark = pytest.mark.lab

PLAY = """\
- hosts: gpu-01:gpu-02:gpu-03
  gather_facts: false
  serial: [1, 2]
  order: reverse_sorted
  tasks:
    - command: hostname
      run_once: true
      register: first
    - shell: "{{ 'sleep 1;' if inventory_hostname == 'gpu-01' else '' }} hostname; date +%s.%N"
      register: own
    - copy:
        content: >-
          {{ first.stdout }} {{ own.stdout_lines[0] }} {{ hostvars['gpu-01'].own.stdout_lines[0] | default('-') }}
        dest: "{{ folder }}/{{ inventory_hostname }}"
      delegate_to: localhost
- hosts: gpu-01:gpu-02
  gather_facts: false
  max_fail_percentage: 49
  tasks:
    - shell: "{{ 'sleep 1.5' if inventory_hostname == 'gpu-01' else 'exit 3' }}"
    - command: touch /srv/never
- hosts: gpu-03
  tasks: [{command: touch /srv/never}]
"""


def test_hosts_of_a_play_go_on_as_it_says(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "play.yaml").write_text(PLAY)
    argv = ["apply", str(tmp_path / "play.yaml"), "-y", "-i", str(lab.inventory), "-o", "json"]
    done = subprocess.run(
        [sys.executable, "-m", "provision", *argv, "-e", f"folder={tmp_path}"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2, done.stderr
    assert (tmp_path / "gpu-03").read_text() == "gpu-03 gpu-03 -", "the first wave, before gpu-01 had begun"
    assert (tmp_path / "gpu-02").read_text() == "gpu-02 gpu-02 gpu-01", "it waited for what gpu-01 took longer for"
    assert (tmp_path / "gpu-01").read_text() == "gpu-02 gpu-01 gpu-01"
    report = json.loads(done.stdout)
    assert report["stopped"] == "1 of 2 hosts failed, more than 49 %"
    assert {name: host["failed"] for name, host in report["hosts"].items()} == {"gpu-01": 0, "gpu-02": 1, "gpu-03": 0}
    slept = [change for change in report["changes"] if change["host"] == "gpu-01" and change["seconds"] > 1.4]
    assert len(slept) == 1, "the step that ran was gone through with"
    for name in ("gpu-01", "gpu-02", "gpu-03"):
        assert not Path(f"{lab.host(name).root}/srv/never").exists()
