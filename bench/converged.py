"""What a run costs that finds nothing to do: the full playbook on lab hosts, beside plain `ssh HOST true`.

    python bench/converged.py [--hosts 8] [--rounds 7] [--json FILE]

Ratios of medians of interleaved rounds. Hosts and tool share this machine's cores, so a wall time here is at least the
CPU of both divided by the cores. With --bounds it ends with exit code 1 when a
bound is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from provision.lab.fleet import Lab

PLAYBOOK = "playbooks/gpu-cluster.yaml"
WALL_BOUND = 1.5
"""Times the plain fan-out."""
CPU_BOUND = 15.0
"""Milliseconds of control CPU a host beyond start-up."""
Report = tuple[dict[str, Any], str, bool]
"""The figures, as people read them, and whether they are within their bounds."""
INSTALLED = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""As an installed program runs: its modules are compiled once, not at each start."""


def measured(work: Callable[[], None]) -> tuple[float, float]:
    """Wall and CPU seconds of a function's child processes."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    work()
    wall, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def plain_ssh(lab: Lab, hosts: list[str]) -> None:
    """All hosts at once, one `ssh HOST true` each."""
    command = ["ssh", "-F", str(lab.state.ssh_config)]
    running = [subprocess.Popen([*command, host, "true"], stdin=subprocess.DEVNULL) for host in hosts]
    if any(process.wait(timeout=60) for process in running):
        sys.exit("bench: a plain ssh failed")


def apply(lab: Lab, limit: str) -> dict[str, Any]:
    """One apply of the full playbook."""
    argv = [
        sys.executable,
        "-m",
        "provision",
        "apply",
        PLAYBOOK,
        "-i",
        str(lab.inventory),
        "-l",
        limit,
        "-y",
        "-o",
        "json",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=INSTALLED)
    if done.returncode:
        sys.exit(f"bench: apply ended with {done.returncode}\n{done.stderr}\n{done.stdout}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def converged(lab: Lab, limit: str) -> None:
    """One apply that must not change anything."""
    result = apply(lab, limit)
    if result["changes"]:
        sys.exit(f"bench: a converged run changed {result['changes']}")


def counts(lab: Lab) -> dict[str, tuple[int, int]]:
    """Connections and exec channels of each host, by its sshd's own log."""
    return {host.name: (host.connections(), host.channels()) for host in lab.hosts}


def rounds(lab: Lab, hosts: list[str], number: int) -> dict[str, Any]:
    """Interleaved rounds of the plain fan-out, all hosts, and one host."""
    taken: dict[str, list[tuple[float, float]]] = {"ssh": [], "all": [], "one": []}
    for _ in range(number):
        taken["ssh"].append(measured(lambda: plain_ssh(lab, hosts)))
        taken["all"].append(measured(lambda: converged(lab, "all")))
        taken["one"].append(measured(lambda: converged(lab, hosts[0])))
    return {
        name: {
            "wall": statistics.median(wall for wall, _ in pairs),
            "cpu": statistics.median(cpu for _, cpu in pairs),
            "spread": [round(min(wall for wall, _ in pairs), 3), round(max(wall for wall, _ in pairs), 3)],
        }
        for name, pairs in taken.items()
    }


def bench(lab: Lab, number: int, rounds_: int) -> dict[str, Any]:
    """The figures, with the first apply that brings the hosts there."""
    hosts = [host.name for host in lab.hosts]
    first, first_cpu = measured(lambda: apply(lab, "all") and None)
    before = counts(lab)
    converged(lab, "all")
    after = counts(lab)
    figures = rounds(lab, hosts, rounds_)
    return {
        "hosts": number,
        "first": {"wall": first, "cpu": first_cpu},
        **figures,
        "wall_ratio": figures["all"]["wall"] / figures["ssh"]["wall"],
        "cpu_ms_a_host": (figures["all"]["cpu"] - figures["one"]["cpu"]) / (number - 1) * 1000,
        "connections": sorted({after[name][0] - before[name][0] for name in hosts}),
        "channels": sorted({after[name][1] - before[name][1] for name in hosts}),
    }


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [f"{result['hosts']} hosts, full playbook (GPUs and heavy packages simulated)", f"{'':24}wall s    cpu s"]
    names = {"ssh": "plain ssh HOST true", "all": "converged, all hosts", "one": "converged, one host"}
    lines += [f"{'first apply':24}{result['first']['wall']:6.2f}   {result['first']['cpu']:6.2f}"]
    lines += [f"{text:24}{result[name]['wall']:6.2f}   {result[name]['cpu']:6.2f}" for name, text in names.items()]
    lines += [
        f"wall, times plain ssh    {result['wall_ratio']:.2f}   (bound {WALL_BOUND})",
        f"control CPU, ms a host   {result['cpu_ms_a_host']:.1f}   (bound {CPU_BOUND})",
        f"connections and channels a host: {result['connections']}, {result['channels']}",
    ]
    return "\n".join(lines)


def measure(description: str | None, hosts: int, work: Callable[[Lab, argparse.Namespace], Report], **more: Any) -> int:
    """Boot a lab of its own, measure, take it down; the exit code. `more` are further options with their defaults."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=hosts)
    parser.add_argument("--rounds", type=int, default=7)
    for name, default in more.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--bounds", action="store_true")
    options = parser.parse_args()
    lab = Lab(os.environ.get("PROVISION_LAB", "bench"))
    lab.up({"gpu": options.hosts}, lambda text: print(f"lab: {text}", file=sys.stderr))
    try:
        result, text, right = work(lab, options)
    finally:
        lab.down()
    print(text)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if right or not options.bounds else 1


def figures(lab: Lab, options: argparse.Namespace) -> Report:
    """What `measure` shows."""
    result = bench(lab, options.hosts, options.rounds)
    right = result["wall_ratio"] <= WALL_BOUND and result["cpu_ms_a_host"] <= CPU_BOUND
    return result, table(result), right and result["connections"] == [1] and result["channels"] == [1]


if __name__ == "__main__":
    sys.exit(measure(__doc__, 8, figures))
