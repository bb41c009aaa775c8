"""What `provision verify` costs on hosts that are right, beside plain `ssh HOST true`, and where the rest goes.

    python bench/verify.py [--hosts 32] [--rounds 7] [--playbook FILE] [--json FILE] [--bounds]

Ratios of medians of interleaved rounds. Every simulated GPU is in use by a process, so that no torch has to be loaded;
what loading it costs is measured apart. Hosts and tool share this machine's cores, so a wall time here is at least the
CPU of both divided by the cores. With --bounds it ends with exit code 1 when a bound is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from converged import INSTALLED, Report, counts, measure, measured, plain_ssh

from provision.lab.fleet import Lab
from provision.lab.gpus import Process
from provision.lab.hosts import Host

PLAYBOOK = Path("playbooks/gpu-cluster.yaml")
WALL_BOUND = 2.0
"""Times the plain fan-out."""


@dataclass
class Series:
    """Rounds of one command: seconds of wall, of the command's own CPU, and of CPU of all hosts."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    hosts: list[float] = field(default_factory=list)

    def add(self, lab: Lab, work: Callable[[], object]) -> None:
        before = spent(lab)
        wall, cpu = measured(lambda: void(work()))
        settle(lab)
        self.wall.append(wall)
        self.cpu.append(cpu)
        self.hosts.append(spent(lab) - before)

    def medians(self) -> dict[str, Any]:
        told = {name: statistics.median(getattr(self, name)) for name in ("wall", "cpu", "hosts")}
        return {**told, "spread": [round(min(self.wall), 3), round(max(self.wall), 3)]}


def void(_: object) -> None:
    """For what gives something that nobody wants."""


def spent(lab: Lab) -> float:
    """CPU seconds of all hosts until now."""
    return sum(host.cpu_seconds() for host in lab.hosts)


def settle(lab: Lab) -> None:
    """Wait until the hosts have put the round's sessions away."""
    time.sleep(0.02 * len(lab.hosts) ** 0.5 + 0.1)


def use(host: Host, *, busy: bool) -> None:
    """Let every simulated GPU of a host be in use by a process, or none."""
    usual = host.gpus()
    holders = [Process(identifier, 4711, "python", 20000) for identifier, _ in usual.devices]
    host.set_gpus(replace(usual, processes=holders) if busy else usual)


def provision(lab: Lab, *words: str) -> dict[str, Any]:
    """What a command told as JSON; the bench ends where it fails."""
    argv = [sys.executable, "-m", "provision", *words, "-i", str(lab.inventory), "-o", "json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=INSTALLED)
    if done.returncode:
        sys.exit(f"bench: {words[0]} ended with {done.returncode}\n{done.stderr}\n{done.stdout}")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def bench(lab: Lab, playbook: Path, number: int) -> dict[str, Any]:
    """The figures, with the first apply that brings the hosts there."""
    hosts = [host.name for host in lab.hosts]
    first, _ = measured(lambda: void(provision(lab, "apply", str(playbook), "-y")))
    for host in lab.hosts:
        use(host, busy=True)

    def verify(*words: str) -> dict[str, Any]:
        return provision(lab, "verify", str(playbook), *words)

    verify()
    before = counts(lab)
    verify()
    after = counts(lab)
    series = {name: Series() for name in ("ssh", "all", "one")}
    told: list[dict[str, Any]] = []
    for _ in range(number):
        series["ssh"].add(lab, lambda: plain_ssh(lab, hosts))
        series["all"].add(lab, verify)
        series["one"].add(lab, lambda: told.append(verify("-l", hosts[0])))
    for host in lab.hosts:
        use(host, busy=False)
    series["free"] = Series()
    for _ in range(3):
        series["free"].add(lab, verify)
    figures = {name: each.medians() for name, each in series.items()}
    return {
        "hosts": len(hosts),
        "playbook": str(playbook),
        "cores": os.cpu_count(),
        "first": first,
        **figures,
        "wall_ratio": figures["all"]["wall"] / figures["ssh"]["wall"],
        "rungs": _rungs([one["hosts"][hosts[0]]["spent"] for one in told]),
        "connections": sorted({after[name][0] - before[name][0] for name in hosts}),
        "channels": sorted({after[name][1] - before[name][1] for name in hosts}),
    }


def _rungs(spent_by: list[dict[str, float]]) -> dict[str, float]:
    """Milliseconds of one host alone, by rung."""
    return {rung: statistics.median(each.get(rung, 0.0) for each in spent_by) * 1000 for rung in spent_by[0]}


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    number, cores = result["hosts"], result["cores"]
    names = {
        "ssh": "plain ssh HOST true",
        "all": "verify, all hosts",
        "one": "verify, one host",
        "free": "verify, GPUs free",
    }
    lines = [
        f"{number} hosts, {result['playbook']}, {cores} cores for hosts and tool (GPUs and heavy packages simulated);",
        f"first apply {result['first']:.0f} s",
        f"{'':24}wall s   tool's CPU s   hosts' CPU s",
    ]
    for name, text in names.items():
        one = result[name]
        lines.append(f"{text:24}{one['wall']:6.2f}   {one['cpu']:12.2f}   {one['hosts']:12.2f}")
    lines.append(f"wall, times plain ssh   {result['wall_ratio']:6.2f}   (bound {WALL_BOUND})")
    return "\n".join([*lines, "where it goes:", *(f"  {line}" for line in _parts(result))])


def _parts(result: dict[str, Any]) -> list[str]:
    """Where the time goes."""
    number, cores = result["hosts"], result["cores"]
    every, one, ssh = result["all"], result["one"], result["ssh"]
    each = (every["cpu"] - one["cpu"]) / max(number - 1, 1)
    both, plain = every["cpu"] + every["hosts"], ssh["cpu"] + ssh["hosts"]
    rungs = ", ".join(f"{rung} {value:.1f}" for rung, value in result["rungs"].items())
    return [
        f"start of the tool, before any host   {one['cpu'] - each:6.2f} s of CPU",
        f"the tool's part for a host         {each * 1000:8.1f} ms of CPU (ssh: {ssh['cpu'] / number * 1000:.1f})",
        f"a host's own part                  {every['hosts'] / number * 1000:8.1f} ms of CPU"
        f" (its sshd for a plain ssh: {ssh['hosts'] / number * 1000:.1f})",
        f"all CPU, times plain ssh             {both / plain:6.2f}",
        f"all CPU over {cores} cores                 {both / cores:6.2f} s of {every['wall']:.2f} s wall"
        f" (plain ssh: {plain / cores:.2f} s of {ssh['wall']:.2f} s)",
        f"one host alone, ms by rung: {rungs}",
        f"connections and channels a host: {result['connections']}, {result['channels']}",
    ]


def figures(lab: Lab, options: argparse.Namespace) -> Report:
    """What `measure` shows."""
    result = bench(lab, options.playbook, options.rounds)
    right = result["wall_ratio"] <= WALL_BOUND and result["connections"] == result["channels"] == [1]
    return result, table(result), right


if __name__ == "__main__":
    sys.exit(measure(__doc__, 32, figures, playbook=PLAYBOOK))
