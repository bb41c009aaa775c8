"""What hosts that are dead or slow cost the others: 32 hosts with four behind a cut cable and one behind 1 kbit/s.

    python bench/stragglers.py [--hosts 32] [--rounds 5] [--dead 4] [--json FILE]

Ratios of medians of interleaved rounds: the time until the last of the hosts that are well has ended, with the others
in the play and without them. With --bounds it ends with exit code 1 when the bound is missed.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from converged import INSTALLED, Report, measure

from provision.lab.fleet import Lab
from provision.lab.relay import Relay, relay

BOUND = 1.3
"""Times the same hosts without the others."""
SLOW = 125.0
"""Bytes a second: 1 kbit/s."""
PLAY = """\
- hosts: all
  tasks:
    - file: {path: /srv/straggler, state: directory}
    - shell: date +%s%N > /srv/straggler/stamp
    - command: sleep 1
    - copy: {dest: /srv/straggler/words, content: "{{ inventory_hostname }}"}
    - command: cat /srv/straggler/stamp
      register: stamp
    - copy: {dest: /srv/straggler/seen, content: "{{ stamp.stdout }}"}
    - command: test -s /srv/straggler/seen
"""


def until_done(play: Path, inventory: Path, limit: list[str], well: set[str]) -> float:
    """Seconds until the last of some hosts ended well; the run is interrupted then."""
    argv = [sys.executable, "-m", "provision", "apply", str(play), "-i", str(inventory), "-y", "-o", "jsonl"]
    begun, waited = time.monotonic(), set(well)
    taken = 0.0
    with subprocess.Popen([*argv, "-l", ",".join(limit)], stdout=subprocess.PIPE, text=True, env=INSTALLED) as run:
        assert run.stdout
        for line in run.stdout:
            event = json.loads(line)
            if event["event"] in ("HostFailed", "HostUnreachable") and event["host"] in well:
                run.kill()
                sys.exit(f"bench: {event['host']} was lost: {event['error']}")
            if event["event"] == "HostEnded":
                waited.discard(event["host"])
            if not waited and not taken:
                taken = time.monotonic() - begun
                run.send_signal(signal.SIGINT)
        run.wait(60)
    if not taken:
        sys.exit(f"bench: these never ended: {sorted(waited)}")
    return taken


def with_slow(lab: Lab, slow: str, own: Relay, folder: Path) -> Path:
    """An inventory in which one host is reached through a relay."""
    own.rate = SLOW
    text = lab.inventory.read_text()
    line = f"ansible_host: {lab.host(slow).address}\n"
    (folder / "inventory.yaml").write_text(
        text.replace(line, f"ansible_host: 127.0.0.1\n              ansible_port: {own.port}\n")
    )
    known = f"{lab.state.known_hosts.read_text()}[127.0.0.1]:{own.port} {lab.host(slow).public_key()}\n"
    (folder / "known_hosts").write_text(known)
    return folder / "inventory.yaml"


def stragglers(lab: Lab, options: argparse.Namespace) -> Report:
    """The figures."""
    names = [host.name for host in lab.hosts]
    dead, slow, well = names[: options.dead], names[options.dead], names[options.dead + 1 :]
    without, beside = [], []
    with tempfile.TemporaryDirectory() as there, relay(lab.host(slow).address) as own:
        play = Path(there, "play.yaml")
        play.write_text(PLAY)
        inventory = with_slow(lab, slow, own, Path(there))
        until_done(play, lab.inventory, well, set(well))
        for name in dead:
            lab.host(name).cut()
        for _ in range(options.rounds):
            without.append(until_done(play, lab.inventory, well, set(well)))
            beside.append(until_done(play, inventory, names, set(well)))
    one, two = statistics.median(without), statistics.median(beside)
    result: dict[str, Any] = {
        "hosts": len(names),
        "dead": len(dead),
        "without": {"wall": one, "spread": [min(without), max(without)]},
        "beside": {"wall": two, "spread": [min(beside), max(beside)]},
        "ratio": two / one,
    }
    text = (
        f"{len(well)} hosts that are well, beside {len(dead)} behind a cut cable and one at 1 kbit/s\n"
        f"alone {one:.2f} s ({min(without):.2f} to {max(without):.2f}), "
        f"with the others {two:.2f} s ({min(beside):.2f} to {max(beside):.2f})\n"
        f"times {two / one:.2f}   (bound {BOUND})"
    )
    return result, text, two / one <= BOUND


if __name__ == "__main__":
    sys.exit(measure(__doc__, 32, stragglers, dead=4))
