"""What the control node is told about a lab: inventory, known_hosts and an ssh_config; pure texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from provision.lab.apps import APPS
from provision.lab.state import HostRecord, Record, State

__all__ = ["PORT", "inventory", "known_hosts", "ssh_config", "url"]

PORT = 8765
CHANNELS = ("pytorch", "nvidia", "conda-forge")
CANONICAL = "https://conda.anaconda.org"
INDEX = "https://pypi.org/simple"


def url(record: Record, path: str) -> str:
    """The address of something that the lab serves."""
    return f"http://{record.gateway}:{PORT}/{path}"


def inventory(state: State, record: Record, pins: Mapping[str, str]) -> str:
    """The lab as an inventory in Ansible's YAML format; `pins` are the commits of the applications, by variable."""
    kinds = {kind: [host for host in record.hosts if host.kind == kind] for kind in ("gpu", "plain", "bullseye")}
    groups = "".join(
        f"        {'systemd' if kind == 'gpu' else kind}:\n          hosts:\n{_hosts(record, hosts)}"
        for kind, hosts in kinds.items()
        if hosts
    )
    return (
        f"# The lab `{record.name}`, written by `provision lab up`. Its GPUs are simulated.\n"
        f"all:\n  vars:\n{_variables(state, record, pins)}"
        f"  children:\n    gpu:\n      children:\n{groups}"
    )


def _hosts(record: Record, hosts: Iterable[HostRecord]) -> str:
    lines = (f"            {host.name}:\n              ansible_host: {record.address(host.octet)}\n" for host in hosts)
    return "".join(lines)


def _variables(state: State, record: Record, pins: Mapping[str, str]) -> str:
    flat = {
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(state.key),
        "locks_directory": "locks",
        "app_settle": "1  # the stand-ins of apps start in an instant, and die at once if at all",
        **{app.variable: url(record, f"git/{app.name}.git") for app in APPS},
        **{name: f"'{commit}'" for name, commit in pins.items()},
    }
    mirrors = {
        "channel_mirrors": {f"{CANONICAL}/{channel}": url(record, f"conda/{channel}") for channel in CHANNELS},
        "index_mirrors": {INDEX: url(record, "simple")},
    }
    lines = [f"    {name}: {value}\n" for name, value in flat.items()]
    for name, pairs in mirrors.items():
        lines += [f"    {name}:\n", *(f"      {canonical}: {mirror}\n" for canonical, mirror in pairs.items())]
    return "".join(lines)


def known_hosts(record: Record, keys: dict[str, str]) -> str:
    """The hosts' keys (by name: type and key), known by address and by name."""
    return "".join(
        f"{record.address(host.octet)},{host.name} {keys[host.name]}\n" for host in record.hosts if host.name in keys
    )


def ssh_config(state: State, record: Record) -> str:
    """For OpenSSH: `ssh -F FILE HOST`."""
    hosts = "".join(f"Host {host.name}\n HostName {record.address(host.octet)}\n" for host in record.hosts)
    return (
        f"{hosts}Host *\n User root\n IdentityFile {state.key}\n IdentitiesOnly yes\n"
        f" UserKnownHostsFile {state.known_hosts}\n GlobalKnownHostsFile none\n"
        " StrictHostKeyChecking yes\n BatchMode yes\n LogLevel ERROR\n"
    )
