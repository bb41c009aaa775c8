"""The main job on a lab of three hosts, as a newcomer sees it: every command is shown, then run.

Ends with an error at the first thing that is not as it should be.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

PLAYBOOK = "playbooks/gpu-cluster.yaml"
PORTS = (7860, 7861, 8080)
TORCH = "import torch; print('torch', torch.__version__, 'cuda', torch.version.cuda)"
VERSIONS = "torch 2.0.1 cuda 11.8"


def main() -> None:
    """Boot the lab, bring it from bare to serving, look at it, run again: nothing changes."""
    os.environ.setdefault("PROVISION_LAB", "demo")
    begun = time.monotonic()
    provision("lab", "up", "--hosts", "3")
    inventory = provision("lab", "inventory", quiet=True).strip()
    provision("apply", PLAYBOOK, "-i", inventory, "-y")
    hosts = addresses(inventory)
    serving(hosts)
    environments(inventory, hosts)
    provision("run", "-i", inventory, "--", "readlink", "/root/Image-to-Video/assets")
    second(inventory)
    say(f"\nThree hosts from bare to serving, and a second run that changed nothing: {time.monotonic() - begun:.0f} s.")
    say("The GPUs and the heavy packages are simulated; hosts, SSH, systemd, conda packages and HTTP are real.")
    say("Look around: PROVISION_LAB=demo .venv/bin/provision lab ssh gpu-01     Take it down: … provision lab down")


def say(text: str) -> None:
    print(text, flush=True)


def provision(*argv: str, quiet: bool = False) -> str:
    """Run one command of the tool; gives its output when `quiet`, else shows command and output."""
    if not quiet:
        say("\n$ provision " + " ".join(argv))
    pipe = subprocess.PIPE if quiet else None
    done = subprocess.run([sys.executable, "-m", "provision", *argv], stdout=pipe, stderr=pipe, text=True, check=False)
    if done.returncode:
        print(done.stderr or "", file=sys.stderr)
        sys.exit(f"demo: `provision {argv[0]}` ended with exit code {done.returncode}")
    return done.stdout or ""


def addresses(inventory: str) -> dict[str, str]:
    """The lab's hosts and their addresses."""
    listing: dict[str, Any] = json.loads(provision("inventory", "-i", inventory, "--list", quiet=True))
    return {name: str(host["ansible_host"]) for name, host in listing["_meta"]["hostvars"].items()}


def serving(hosts: dict[str, str]) -> None:
    """Each app of each host answers over HTTP, asked from here."""
    say("\nHTTP, asked from this machine:")
    for name, address in hosts.items():
        codes = []
        for port in PORTS:
            with urllib.request.urlopen(f"http://{address}:{port}/", timeout=10) as answer:
                codes.append(f"{port}: {answer.status}")
        say(f"  {name} ({address})  " + "  ".join(codes))


def environments(inventory: str, hosts: dict[str, str]) -> None:
    """Each environment's own python says which torch and CUDA it has."""
    for file in sorted(Path("roles").glob("*/environment.yml")):
        name = next(line.split()[1] for line in file.read_text().splitlines() if line.startswith("name:"))
        said = provision("run", "-i", inventory, "--", f"/opt/conda/envs/{name}/bin/python", "-c", TORCH, quiet=True)
        if VERSIONS not in said:
            sys.exit(f"demo: `{name}` said {said!r}, not {VERSIONS!r}")
        say(f"  {name}: {VERSIONS} on {len(hosts)} hosts (simulated stand-in)")


def second(inventory: str) -> None:
    """A second run changes nothing."""
    say(f"\n$ provision apply {PLAYBOOK} -i {inventory} -y        # again")
    result = json.loads(provision("apply", PLAYBOOK, "-i", inventory, "-y", "-o", "json", quiet=True))
    changed = sum(host["changed"] for host in result["hosts"].values())
    say(f"  changed {changed}, ok {sum(host['ok'] for host in result['hosts'].values())} in {result['seconds']:.1f} s")
    if changed or not result["ok"]:
        sys.exit("demo: the second run should change nothing")


if __name__ == "__main__":
    main()
