"""Blocks, attempts, includes and handlers in one play on a real host."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from provision.lab.fleet import Lab

pytestmark = pytest.mark.lab

PLAY = """\
- hosts: gpu-01
  gather_facts: false
  tasks:
    - command: rm -rf /srv/flow
      args: {removes: /srv/flow}
    - file: {path: /srv/flow, state: directory}
    - block:
        - shell: echo block >> /srv/flow/order
          notify: last
        - set_fact: {reached: block}
        - command: "false"
        - set_fact: {reached: never}
        - shell: echo never >> /srv/flow/order
          notify: never
      rescue:
        - shell: echo rescue {{ ansible_failed_result.rc }} {{ reached }} >> /srv/flow/order
      always:
        - shell: echo always >> /srv/flow/order
    - shell: echo x >> /srv/flow/tries; wc -l < /srv/flow/tries
      register: tried
      until: tried.stdout | int >= 3
      retries: 4
      delay: 0.2
    - include_tasks: more.yaml
      loop: [a, b]
      loop_control: {loop_var: letter}
    - meta: reset_connection
    - debug: {msg: told}
      changed_when: tried.attempts == 3
      notify: last
    - command: "false"
  handlers:
    - name: never
      shell: echo handler never >> /srv/flow/order
    - name: last
      include_tasks: last.yaml
  force_handlers: true
"""
MORE = """\
- block:
    - shell: echo include {{ letter }} >> /srv/flow/order; test {{ letter }} = a
  rescue:
    - shell: echo mended {{ letter }} >> /srv/flow/order
"""
LAST = """\
- shell: echo handler >> /srv/flow/order
- shell: echo its end >> /srv/flow/order
"""
ORDER = ["block", "rescue 1 block", "always", "include a", "include b", "mended b", "handler", "its end"]


def test_a_play_goes_as_it_is_written(lab: Lab, tmp_path: Path) -> None:
    for name, text in (("play.yaml", PLAY), ("more.yaml", MORE), ("last.yaml", LAST)):
        (tmp_path / name).write_text(text)
    argv = ["apply", str(tmp_path / "play.yaml"), "-y", "-i", str(lab.inventory), "-o", "json"]
    done = subprocess.run(
        [sys.executable, "-m", "provision", *argv], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2, "the last task fails, and only then do the handlers run\n" + done.stderr
    host = json.loads(done.stdout)["hosts"]["gpu-01"]
    assert (host["failed"], host["rescued"]) == (1, 2)
    assert lab.host("gpu-01").run(["cat", "/srv/flow/order"]).stdout.splitlines() == ORDER
