"""Hosts that are owned by somebody else gain nothing: each says one of some 600 payloads to a real `apply`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from payloads import payloads

pytestmark = pytest.mark.slow

OWNED = Path(__file__).with_name("owned_host.py")
AT_ONCE = 50
PEAK = 256 << 20
ALLOWED_CODES = (0, 2, 4, 6)
"""Nothing, failed hosts, lost hosts, or both kinds."""
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")
PLAY = """\
- hosts: all
  tasks:
    - name: Say what it is
      debug: {msg: "{{ ansible_facts.hostname | default('') }} {{ ansible_distribution | default('') }}"}
    - name: Ask it
      command: {argv: ["true"]}
      register: asked
      ignore_errors: true
    - name: Say what it said
      debug: {var: asked}
    - name: Put it into a file there
      copy: {dest: /srv/x, content: "{{ asked.stdout | default('') }}"}
      ignore_errors: true
    - name: Keep it
      set_fact: {kept: "{{ asked.stdout | default('') }}"}
    - name: Judge it
      debug: {msg: "{{ kept }}"}
      when: kept is defined and asked.rc | default(0) != 1
"""


def high_water(pid: int) -> int:
    """The most memory that a process had, in bytes; what wait4 tells counts what its parent had, before exec."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) << 10 if found else 0


class Control:
    """A control node: a project, a home, and runs whose size is measured."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.project, self.home = folder, folder / "project", folder / "home"
        self.canary = folder / "canary"
        for place in (self.project, self.home, folder / "hosts"):
            place.mkdir()
        (self.project / "play.yaml").write_text(PLAY)

    def inventory(self, said: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
        """An inventory of one host a payload; names of payloads by host."""
        names, lines = {}, ["all:", "  hosts:"]
        for number, (name, acts) in enumerate(said.items()):
            host = f"owned-{number:03}"
            names[host] = name
            payload, program = self.folder / "hosts" / f"{host}.json", self.folder / "hosts" / host
            payload.write_text(json.dumps(acts))
            program.write_text(f'#!/bin/sh\nexec {sys.executable} {OWNED} {payload} "$@"\n')
            program.chmod(0o755)
            lines.append(f"    {host}: {{ansible_connection: local, ansible_python_interpreter: {program}}}")
        (self.project / "inventory.yaml").write_text("\n".join(lines) + "\n")
        return names

    def run(self, *argv: str, seconds: float) -> tuple[int, str, int]:
        """Exit code, all that it said, and the most memory that it had, in bytes."""
        environment = {**os.environ, "HOME": str(self.home), "XDG_CACHE_HOME": str(self.home / ".cache")}
        with (self.folder / "said").open("wb") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "provision", *argv],
                cwd=self.project,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
            deadline, peak = time.monotonic() + seconds, 0
            while process.poll() is None:
                peak = max(peak, high_water(process.pid))
                if time.monotonic() > deadline:
                    process.kill()
                    process.wait()
                    raise AssertionError(f"it did not end within {seconds:g} s")
                time.sleep(0.02)
        return process.returncode, (self.folder / "said").read_bytes().decode("utf-8", "backslashreplace"), peak

    def strange_files(self) -> list[str]:
        """What came to exist that this tool does not keep of its own accord."""
        found = {path.relative_to(self.folder).parts[:2] for path in self.folder.rglob("*")}
        usual = {("project", name) for name in ("play.yaml", "inventory.yaml", ".provision")}
        return sorted(
            "/".join(parts) for parts in found if len(parts) == 2 and parts[0] == "project" and parts not in usual
        )


def chunks(said: dict[str, Any]) -> Iterator[dict[str, Any]]:
    names = list(said)
    for start in range(0, len(names), AT_ONCE):
        yield {name: said[name] for name in names[start : start + AT_ONCE]}


@pytest.fixture
def control(tmp_path: Path) -> Control:
    return Control(tmp_path)


def problems(control: Control, names: dict[str, str], code: int, said: str, peak: int) -> list[str]:
    """What a run with hosts that are owned should not have come to."""
    found = [] if code in ALLOWED_CODES else [f"exit code {code}"]
    found += [f"peak of {peak >> 20} MB"] if peak >= PEAK else []
    found += ["the canary was touched"] if control.canary.exists() else []
    found += [f"files came to exist: {control.strange_files()}"] if control.strange_files() else []
    found += ["a traceback, or a fault of its own"] if "Traceback" in said or "a defect of provision" in said else []
    found += [f"no word of {host} ({name})" for host, name in names.items() if host not in said]
    for line in said.split("\n"):
        if CONTROL.search(line):
            found.append(f"control characters: {line[:300]!r}")
    return found


def test_nothing_that_hosts_say_is_run_written_or_shown_as_it_is(control: Control) -> None:
    told, peaks = payloads(str(control.canary)), []
    assert len(told) >= 500
    wrong: list[str] = []
    for number, some in enumerate(chunks(told)):
        names = control.inventory(some)
        form = ("text", "jsonl")[number % 2]
        code, said, peak = control.run("apply", "play.yaml", "-y", "-v", "-o", form, "-f", str(AT_ONCE), seconds=90)
        wrong += [f"run {number}: {problem}" for problem in problems(control, names, code, said, peak)]
        peaks.append(peak)
        code, said, _ = control.run("history", "show", seconds=30)
        wrong += [f"history of run {number}: {line[:300]!r}" for line in said.split("\n") if CONTROL.search(line)]
    assert not wrong, "\n".join(wrong)
    print(f"{len(told)} payloads: 0 executions, writes or escapes, at most {max(peaks) >> 20} MB")
