"""The commands of `provision lab`."""

from __future__ import annotations

import os
import shlex
import sys
from typing import Annotated

from cyclopts import App, Parameter

from provision.lab.fleet import Lab

__all__ = ["app", "down", "inventory", "ssh", "status", "up"]

app = App(name="lab", help="A throw-away fleet of real hosts on this machine; its GPUs are simulated.")


@app.command
def up(*, hosts: int = 3, plain: int = 0, bullseye: int = 0) -> None:
    """Bring up hosts on this machine, with a conda channel and a package index for them.

    Parameters
    ----------
    hosts
        Hosts with systemd.
    plain
        Hosts without systemd, as rented containers are.
    bullseye
        Hosts of Debian 11, with Python 3.9.
    """
    lab = Lab()
    lab.up(
        {"gpu": hosts, "plain": plain, "bullseye": bullseye},
        lambda text: print(f"lab: {text}", file=sys.stderr, flush=True),
    )
    status()


@app.command
def status() -> None:
    """Show every host: name, address, kind, and whether it is up."""
    lab = Lab()
    for host in lab.status():
        print(f"{host.name:<12} {host.address:<15} {host.kind:<9} {'up' if host.up else 'down'}")
    print(f"lab `{lab.name}`; GPUs are simulated", file=sys.stderr)


@app.command
def inventory() -> None:
    """Print the path of an inventory of the lab."""
    print(Lab().inventory)


@app.command
def ssh(host: str, *argv: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> None:
    """Run a command on a host of the lab over SSH, or open a shell there: `provision lab ssh HOST [-- ARGV]`."""
    lab = Lab()
    target = lab.host(host)
    words = ["--", shlex.join(argv)] if argv else []  # ssh itself would join them by blanks for the remote shell
    sys.stdout.flush()
    os.execvp("ssh", ["ssh", "-F", str(lab.state.ssh_config), target.name, *words])  # noqa: S606


@app.command
def down() -> None:
    """Take the lab away: processes, mounts, namespaces, devices and files. The cache stays."""
    lab = Lab()
    if not lab.down():
        print(f"the lab `{lab.name}` is not up: nothing to take down", file=sys.stderr)
