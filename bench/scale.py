"""What an inventory of up to 10,000 hosts and a play of 100 tasks cost on the control node, without any host.

    python bench/scale.py [--hosts 100,1000,10000] [--tasks 100] [--json FILE] [--bounds]

Each figure comes from a process of its own. Hosts are answered for in this process (every step `ok`), so that only
reading, checking and compiling are measured. With --bounds it ends with exit code 1 when a bound is missed.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from converged import INSTALLED

LOAD_BOUND, MEMORY_BOUND, HOST_BOUND, FLAT_BOUND = 2.0, 300.0, 3.0, 1.25
"""Seconds and MB for the largest inventory, milliseconds a host for the play, and times the smallest's cost a host."""


def write_project(folder: Path, hosts: int, tasks: int) -> None:
    """An inventory with groups, children and variables of hosts, and a play of modules that plays are made of."""
    width = len(str(hosts))
    lines = ["all:", "  vars: {domain: example.com, ports: {web: 80, api: 8080}}", "  children:"]
    for index in range(10):
        first, last = index * hosts // 10, (index + 1) * hosts // 10 - 1
        lines += [f"    rack{index}:", f"      vars: {{rack: {index}}}", "      hosts:"]
        lines += [f"        gpu-[{first:0{width}}:{(first + last) // 2:0{width}}]:"]
        for host in range((first + last) // 2 + 1, last + 1):
            lines.append(f"        gpu-{host:0{width}}: {{slot: {host}, ansible_host: 10.0.{host % 250}.7}}")
    lines += ["    gpu:", "      children: {" + ", ".join(f"rack{index}: " for index in range(10)) + "}"]
    (folder / "inventory.yaml").write_text("\n".join(lines) + "\n")
    (folder / "group_vars").mkdir()
    (folder / "group_vars" / "gpu.yaml").write_text("names: [a, b, c]\nroot: '/srv/{{ inventory_hostname }}'\n")
    (folder / "app.conf.j2").write_text("name {{ inventory_hostname }}\nrack {{ rack }}\nport {{ ports.web }}\n")
    kinds = (
        "file: {path: '{{ root }}/%d', state: directory, mode: '0755'}",
        "copy: {dest: '{{ root }}/%d.txt', content: 'rack {{ rack }}'}",
        "template: {src: app.conf.j2, dest: '{{ root }}/%d.conf'}",
        "command: {argv: [touch, '{{ root }}/%d.done'], creates: '{{ root }}/%d.done'}",
        "set_fact: {value_%d: '{{ rack * 10 }}'}",
    )
    play = ["- hosts: gpu", "  gather_facts: false", "  tasks:"]
    for index in range(tasks):
        kind = kinds[index % len(kinds)]
        play += [f"    - name: Task {index}", "      " + kind.replace("%d", str(index))]
        play += ["      when: rack is defined"] if index % 2 else []
    (folder / "site.yaml").write_text("\n".join(play) + "\n")


def measure(folder: Path) -> dict[str, float]:
    """Seconds and peak MB of reading the inventory, then milliseconds a host of the play."""
    from provision.agent.protocol import Result
    from provision.compile import HostVariables, next_batch, start
    from provision.inventory import load_inventory
    from provision.preflight import check
    from provision.roles import load_playbook
    from provision.scopes import Run

    gc.set_threshold(200_000)
    begun = time.process_time()
    inventory = load_inventory([folder / "inventory.yaml"])
    hosts = tuple(inventory.select("gpu"))
    for host in hosts:
        inventory.variables(host, folder)
    load = time.process_time() - begun
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (play,) = load_playbook(folder / "site.yaml").plays
    run = Run(inventory)
    begun = time.process_time()
    check([play], run, {play: hosts})
    checked = time.process_time() - begun
    begun = time.process_time()
    steps = 0
    for host in hosts:
        variables = HostVariables(run, host, {}, hosts)
        cursor, results = start(play), {}
        while True:
            batch, cursor = next_batch(play, cursor, variables, results)
            if batch.failed:
                raise batch.failed
            results = {item.step.id: Result(item.step.id, "ok") for item in batch.steps}
            steps += len(batch.steps)
            if batch.done:
                break
    compiled = time.process_time() - begun
    return {
        "hosts": len(hosts),
        "steps": steps,
        "load_s": load,
        "load_mb": memory,
        "check_ms": checked / len(hosts) * 1e3,
        "compile_ms": compiled / len(hosts) * 1e3,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", default="100,1000,10000")
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--bounds", action="store_true")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.measure:
        print(json.dumps(measure(said.measure)))
        return 0
    rows = [_row(int(count), said.tasks) for count in said.hosts.split(",")]
    print(f"{'hosts':>7} {'inventory s':>12} {'MB':>7} {'check ms/host':>14} {'play ms/host':>13} {'peak MB':>8}")
    for row in rows:
        print(
            f"{row['hosts']:>7} {row['load_s']:>12.2f} {row['load_mb']:>7.0f} {row['check_ms']:>14.2f}"
            f" {row['compile_ms']:>13.2f} {row['peak_mb']:>8.0f}"
        )
    if said.json:
        said.json.write_text(json.dumps(rows, indent=2))
    missed = _missed(rows)
    print("bounds: " + ("; ".join(missed) if missed else "all met"))
    return 1 if missed and said.bounds else 0


def _row(hosts: int, tasks: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="provision-bench-") as folder:
        write_project(Path(folder), hosts, tasks)
        command = [sys.executable, __file__, "--measure", folder]
        done = subprocess.run(command, env=INSTALLED, capture_output=True, text=True, check=False, timeout=600)
        if done.returncode:
            raise SystemExit(done.stderr)
        row: dict[str, Any] = json.loads(done.stdout)
        return row


def _missed(rows: list[dict[str, Any]]) -> list[str]:
    last, first = rows[-1], rows[0]
    each = last["check_ms"] + last["compile_ms"]
    flat = each / max(0.001, first["check_ms"] + first["compile_ms"])
    told = (
        (last["load_s"] <= LOAD_BOUND, f"the inventory took {last['load_s']:.2f} s (bound {LOAD_BOUND})"),
        (last["load_mb"] <= MEMORY_BOUND, f"the inventory took {last['load_mb']:.0f} MB (bound {MEMORY_BOUND:.0f})"),
        (each <= HOST_BOUND, f"the play took {each:.2f} ms a host (bound {HOST_BOUND})"),
        (flat <= FLAT_BOUND, f"a host cost {flat:.2f} times what one of {first['hosts']} did (bound {FLAT_BOUND})"),
    )
    return [text for met, text in told if not met]


if __name__ == "__main__":
    sys.exit(main())
