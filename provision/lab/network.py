"""The lab's network: one bridge in a namespace of its own, one namespace a host, one cable from this machine.

Only this machine reaches the hosts, and nothing leads further: packets that hosts send elsewhere are not forwarded.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Collection, Iterable
from pathlib import Path

from provision.errors import ProvisionError
from provision.lab.processes import run
from provision.lab.state import HostRecord, Record, base_directory

__all__ = ["cable", "choose_subnet", "claimed_subnets", "connect", "create", "remove", "used_networks"]

NAMESPACES = Path("/run/netns")


def choose_subnet(claimed: Collection[int], used: Iterable[str]) -> int:
    """The first N of which no lab claims 10.77.N.0/24 and nothing in `used` (networks in CIDR form) touches it.

    Raises ProvisionError when all 256 are taken.
    """
    networks = [ipaddress.ip_network(network, strict=False) for network in used]
    for number in range(256):
        own = ipaddress.ip_network(f"10.77.{number}.0/24")
        if number not in claimed and not any(own.overlaps(other) for other in networks if other.version == 4):
            return number
    raise ProvisionError(
        "no subnet is left for a lab",
        cause="every one of 10.77.0.0/24 to 10.77.255.0/24 is claimed by a lab or used by this machine",
        hint="take a lab down with `PROVISION_LAB=NAME provision lab down`",
    )


def claimed_subnets() -> set[int]:
    """The subnets of all labs on this machine, up or half made."""
    records = (base_directory() / "labs").glob("*/lab.json")
    return {json.loads(record.read_text())["subnet"] for record in records}


def used_networks() -> list[str]:
    """The networks that this machine has an address in or a route to; default routes do not count."""
    addresses = json.loads(run(["ip", "-j", "-4", "address"]))
    routes = json.loads(run(["ip", "-j", "-4", "route"]))
    found = [f"{entry['local']}/{entry['prefixlen']}" for link in addresses for entry in link.get("addr_info", ())]
    return found + [route["dst"] for route in routes if route["dst"] != "default"]


def create(record: Record, lock: int) -> None:
    """Make the bridge and the cable from this machine, where they are not there yet."""
    if _is_up(record):
        return
    remove(record, lock)
    space, device = record.bridge_namespace, record.device
    _batch([f"netns add {space}"], lock)
    _batch(["link set lo up", "link add bridge type bridge", "link set bridge up"], lock, space)
    _batch([f"link add {device} type veth peer name uplink netns {space}"], lock)
    _batch(["link set uplink master bridge up"], lock, space)
    Path(f"/proc/sys/net/ipv4/conf/{device}/forwarding").write_text("0")
    Path(f"/proc/sys/net/ipv6/conf/{device}/disable_ipv6").write_text("1")
    _batch([f"address add {record.gateway}/24 dev {device}", f"link set {device} up"], lock)


def connect(record: Record, host: HostRecord, lock: int) -> None:
    """Give a host a namespace with its address, plugged into the bridge; what an earlier start left is replaced."""
    space, port = record.namespace(host), _port(host)
    disconnect(record, host, lock)
    _batch([f"netns add {space}"], lock)
    _batch(
        [f"link add {port} type veth peer name eth0 netns {space}", f"link set {port} master bridge up"],
        lock,
        record.bridge_namespace,
    )
    hardware = f"02:77:{record.subnet:02x}:00:00:{host.octet:02x}"  # the same after a restart, as neighbours know it
    _batch(
        [
            "link set lo up",
            f"link set eth0 address {hardware}",
            f"address add {record.address(host.octet)}/24 dev eth0",
            "link set eth0 up",
            f"route add default via {record.gateway}",
        ],
        lock,
        space,
    )


def disconnect(record: Record, host: HostRecord, lock: int) -> None:
    """Take away a host's namespace and its plug."""
    _forget([record.namespace(host)], lock)


def cut(record: Record, host: HostRecord) -> None:
    """Cut a host's cable: packets vanish, nobody is told."""
    run(["ip", "-n", record.bridge_namespace, "link", "set", _port(host), "down"])


def mend(record: Record, host: HostRecord) -> None:
    """Mend a cut cable."""
    run(["ip", "-n", record.bridge_namespace, "link", "set", _port(host), "up"])


def remove(record: Record, lock: int) -> None:
    """Take away every namespace and device that has or would have been made for this lab."""
    if cable(record).exists():
        run(["ip", "link", "delete", record.device], lock=lock)
    found = [path.name for path in NAMESPACES.glob(f"{record.bridge_namespace}.*")]
    _forget([*found, record.bridge_namespace], lock)
    _leave_nothing(lock)


def cable(record: Record) -> Path:
    """Exists while this machine holds its end of the lab's cable."""
    return Path("/sys/class/net", record.device)


def _leave_nothing(lock: int) -> None:
    """Undo what a machine's first `ip netns add` does to /run/netns, when nobody's namespace is left there."""
    if NAMESPACES.is_mount() and not any(NAMESPACES.iterdir()):
        run(["umount", str(NAMESPACES)], lock=lock)


def _is_up(record: Record) -> bool:
    """Whether the cable was switched on, which is the last thing that making it does."""
    flags = cable(record) / "flags"
    return flags.exists() and bool(int(flags.read_text(), 16) & 1)


def _forget(spaces: Iterable[str], lock: int) -> None:
    """Delete namespaces; a plug in one that is deleted goes with its other end, at once only when deleted by name."""
    for space in spaces:
        if not (NAMESPACES / space).exists():
            continue
        _delete_plug(space, lock)
        run(["ip", "netns", "delete", space], lock=lock)


def _delete_plug(space: str, lock: int) -> None:
    try:
        run(["ip", "-n", space, "link", "delete", "eth0"], lock=lock)
    except ProvisionError:  # the bridge, or made no further than the namespace: nothing is plugged in
        pass


def _port(host: HostRecord) -> str:
    return f"host{host.octet}"


def _batch(lines: list[str], lock: int, space: str | None = None) -> None:
    head = ["ip", *(["-n", space] if space else []), "-batch", "-"]
    run(head, stdin="\n".join(lines) + "\n", lock=lock)
