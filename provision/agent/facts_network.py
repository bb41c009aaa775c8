"""The host's interfaces and addresses, from netlink, /sys and /proc: no process, no name is looked up.

Must not fail: what cannot be read is left out. The names are Ansible's.
"""

from __future__ import annotations

import os
import struct
from typing import Any, Dict, Iterator, List, Tuple

__all__ = ["addresses", "default_route", "network", "of_message", "parse_resolver"]

_GET_ADDRESSES, _NEW_ADDRESS, _DONE, _ERROR = 22, 20, 3, 2
_DUMP = 0x301
_ADDRESS, _LOCAL, _BROADCAST = 1, 2, 4
_KINDS = {"1": "ether", "772": "loopback", "32": "infiniband", "512": "ppp", "768": "tunnel", "65534": "tunnel"}
_SCOPES = {0: "global", 200: "site", 253: "link", 254: "host"}


def network() -> Dict[str, Any]:
    """Interfaces with their addresses, and those that the default routes leave from."""
    import _socket

    # the kernel's own list: /sys may have been mounted for another network namespace
    names = dict(_socket.if_nameindex())
    found = {name: _interface(name) for name in sorted(names.values())}
    for index, address in addresses():
        if index in names:
            _add(found[names[index]], address)
    told: Dict[str, Any] = {
        "interfaces": sorted(found, key=lambda name: (name != "lo", name)),
        "of_interface": {name.replace("-", "_").replace(":", "_").replace(".", "_"): found[name] for name in found},
        "all_ipv4_addresses": [a["address"] for a in _all(found, "ipv4") if not a["address"].startswith("127.")],
        "all_ipv6_addresses": [a["address"] for a in _all(found, "ipv6") if a["address"] != "::1"],
        "default_ipv4": {},
        "default_ipv6": {},
        "dns": parse_resolver(_text("/etc/resolv.conf")),
    }
    for version in (4, 6):
        gateway, name = default_route(version)
        if name in found:
            told["default_ipv%d" % version] = _default(found[name], gateway, version)
    return told


def _interface(name: str) -> Dict[str, Any]:
    folder = "/sys/class/net/" + name
    told: Dict[str, Any] = {"device": name, "active": _line(folder + "/operstate") in ("up", "unknown")}
    told["mtu"] = int(_line(folder + "/mtu") or 0)
    kind = _line(folder + "/type")
    told["type"] = _KINDS.get(kind, "unknown")
    if os.path.isdir(folder + "/bridge"):
        told["type"] = "bridge"
    elif os.path.isdir(folder + "/bonding"):
        told["type"] = "bonding"
    address = _line(folder + "/address")
    if kind != "772" and address:
        told["macaddress"] = address
    told["promisc"] = bool(int(_line(folder + "/flags") or "0", 16) & 0x100)
    return told


def _add(interface: Dict[str, Any], address: Dict[str, Any]) -> None:
    if "scope" in address:
        interface.setdefault("ipv6", []).append(address)
    elif "ipv4" in interface:
        interface.setdefault("ipv4_secondaries", []).append(address)
    else:
        interface["ipv4"] = address


def _all(interfaces: Dict[str, Dict[str, Any]], key: str) -> Iterator[Dict[str, Any]]:
    for told in interfaces.values():
        own = told.get(key)
        if isinstance(own, dict):
            yield own
            yield from told.get(key + "_secondaries", [])
        elif own:
            yield from own


def _default(interface: Dict[str, Any], gateway: str, version: int) -> Dict[str, Any]:
    own: Any = interface.get("ipv%d" % version) or {}
    if isinstance(own, list):
        own = next((one for one in own if one["scope"] == "global"), own[0] if own else {})
    told = {"gateway": gateway, "interface": interface["device"], **own}
    if version == 4:
        told["alias"] = interface["device"]
    told.update({key: interface[key] for key in ("macaddress", "mtu", "type") if key in interface})
    return told


def addresses() -> Iterator[Tuple[int, Dict[str, Any]]]:
    """The index of an interface and one of its addresses, for each; asked of the kernel by netlink."""
    import _socket

    try:
        link = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, 0)
    except OSError:
        return
    try:
        link.settimeout(2.0)
        link.send(struct.pack("=LHHLLB3xL", 24, _GET_ADDRESSES, _DUMP, 1, 0, 0, 0)[:24])
        while True:
            data = link.recv(65536)
            while len(data) >= 16:
                size, kind = struct.unpack_from("=LH", data)
                if kind in (_DONE, _ERROR) or size < 16:
                    return
                if kind == _NEW_ADDRESS:
                    yield from of_message(data[16:size])
                data = data[(size + 3) & ~3 :]
    except OSError:
        return
    finally:
        link.close()


def of_message(body: bytes) -> Iterator[Tuple[int, Dict[str, Any]]]:
    """What one message of netlink says of an address (rtnetlink(7))."""
    family, prefix, _, scope, index = struct.unpack_from("=BBBBL", body)
    parts: Dict[int, bytes] = {}
    rest = body[8:]
    while len(rest) >= 4:
        size, kind = struct.unpack_from("=HH", rest)
        if size < 4:
            break
        parts[kind] = rest[4:size]
        rest = rest[(size + 3) & ~3 :]
    raw = parts.get(_LOCAL) or parts.get(_ADDRESS) or b""
    if family == 2 and len(raw) == 4:
        yield index, _version_4(raw, prefix, parts.get(_BROADCAST, b""))
    elif len(raw) == 16:
        yield index, {"address": _written(raw), "prefix": str(prefix), "scope": _SCOPES.get(scope, "unknown")}


def _version_4(raw: bytes, prefix: int, broadcast: bytes) -> Dict[str, Any]:
    mask = (0xFFFFFFFF << (32 - prefix)) & 0xFFFFFFFF
    number = struct.unpack("!L", raw)[0]
    return {
        "address": _written(raw),
        "broadcast": _written(broadcast) if len(broadcast) == 4 else "",
        "netmask": _written(struct.pack("!L", mask)),
        "network": _written(struct.pack("!L", number & mask)),
        "prefix": str(prefix),
    }


def _written(raw: bytes) -> str:
    import _socket

    return _socket.inet_ntop(_socket.AF_INET if len(raw) == 4 else _socket.AF_INET6, raw)


def default_route(version: int) -> Tuple[str, str]:
    """Gateway and interface of the default route with the lowest metric; two times "" where there is none."""
    routes: List[Tuple[int, str, str]] = []
    lines = _text("/proc/net/route" if version == 4 else "/proc/net/ipv6_route").splitlines()
    for line in lines[1:] if version == 4 else lines:
        fields = line.split()
        if version == 4 and len(fields) > 7 and fields[1] == "00000000" and fields[7] == "00000000":
            routes.append((int(fields[6]), _written(struct.pack("=L", int(fields[2], 16))), fields[0]))
        elif version == 6 and len(fields) > 9 and fields[0] == "0" * 32 and fields[1] == "00" and fields[9] != "lo":
            routes.append((int(fields[5], 16), _written(bytes.fromhex(fields[4])), fields[9]))
    _, gateway, name = min(routes) if routes else (0, "", "")
    return gateway, name


def parse_resolver(text: str) -> Dict[str, Any]:
    """Name servers, search domains and options of resolv.conf(5)."""
    told: Dict[str, Any] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0][0] in "#;":
            continue
        if words[0] == "nameserver":
            told.setdefault("nameservers", []).extend(words[1:2])
        elif words[0] == "domain":
            told["domain"] = words[1]
        elif words[0] in ("search", "sortlist"):
            told[words[0]] = words[1:]
        elif words[0] == "options":
            options = (word.partition(":") for word in words[1:])
            told["options"] = {name: value if sign else True for name, sign, value in options}
    return told


def _line(path: str) -> str:
    return _text(path).strip()


def _text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20).decode("utf-8", "replace")
    except OSError:
        return ""
