"""Facts of hosts under Ansible's names, each made of what the agent tells when a template asks for it.

Owns the table of names, and which group of facts each needs: groups that cost the host something are gathered only
where a template names them. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

__all__ = ["NAMES", "FactVariables", "fact_variables", "groups_for", "of_subset", "wanted"]

Facts = Mapping[str, Any]

_KINDS = {
    "almalinux": ("AlmaLinux", "RedHat"),
    "alpine": ("Alpine", "Alpine"),
    "amzn": ("Amazon", "RedHat"),
    "arch": ("Archlinux", "Archlinux"),
    "centos": ("CentOS", "RedHat"),
    "debian": ("Debian", "Debian"),
    "fedora": ("Fedora", "RedHat"),
    "linuxmint": ("Linux Mint", "Debian"),
    "opensuse-leap": ("openSUSE Leap", "Suse"),
    "ol": ("OracleLinux", "RedHat"),
    "raspbian": ("Debian", "Debian"),
    "rhel": ("RedHat", "RedHat"),
    "rocky": ("Rocky", "RedHat"),
    "sles": ("SLES", "Suse"),
    "ubuntu": ("Ubuntu", "Debian"),
}
"""Ansible's names of distribution and family, by the ID of os-release."""
_MANAGERS = {"Debian": "apt", "Suse": "zypper", "Alpine": "apk", "Archlinux": "pacman"}


def _os(facts: Facts, key: str) -> str:
    return str((facts.get("os") or {}).get(key) or "")


def _kind(facts: Facts) -> tuple[str, str]:
    kind = _os(facts, "id")
    return _KINDS.get(kind, (kind.capitalize(), kind.capitalize()))


def _manager(facts: Facts) -> Any:
    family = _kind(facts)[1]
    if family != "RedHat":
        return _MANAGERS.get(family, "unknown")
    return "dnf" if _os(facts, "version").split(".")[0] not in ("6", "7") else "yum"


def _version(facts: Facts) -> str:
    """Debian's own says more than os-release does."""
    return _os(facts, "full_version") or _os(facts, "version")


def _default_route(facts: Facts) -> Any:
    """All of the interface where the network was asked for, else the address."""
    whole = (facts.get("network") or {}).get("default_ipv4")
    return whole if whole is not None else {"address": facts.get("default_ipv4")}


def _of(key: str) -> Callable[[Facts], Any]:
    return lambda facts: facts.get(key)


def _in(group: str, key: str) -> Callable[[Facts], Any]:
    return lambda facts: (facts.get(group) or {}).get(key)


def _python(facts: Facts) -> Any:
    version = facts.get("python")
    if not version:
        return None
    parts = [int(part) for part in str(version).split(".")]
    named = {"major": parts[0], "minor": parts[1], "micro": parts[2], "releaselevel": "final", "serial": 0}
    return {
        "executable": facts.get("python_path"),
        "version": named,
        "version_info": [*parts, "final", 0],
        "type": "cpython",
        "has_sslcontext": True,
    }


_CHEAP: dict[str, Callable[[Facts], Any]] = {
    "architecture": _of("architecture"),
    "default_ipv4": _default_route,
    "distribution": lambda facts: _kind(facts)[0] or None,
    "distribution_major_version": lambda facts: _os(facts, "version").split(".")[0] or None,
    "distribution_minor_version": lambda facts: _version(facts).partition(".")[2] or None,
    "distribution_release": lambda facts: _os(facts, "codename") or None,
    "distribution_version": lambda facts: _version(facts) or None,
    "fqdn": lambda facts: facts.get("fqdn") or facts.get("hostname"),
    "domain": lambda facts: str(facts.get("fqdn") or facts.get("hostname") or "").partition(".")[2],
    "hostname": lambda facts: str(facts.get("hostname") or "").partition(".")[0] or None,
    "kernel": _of("kernel"),
    "kernel_version": _of("kernel_version"),
    "machine": _of("architecture"),
    "machine_id": _of("machine_id"),
    "memtotal_mb": _of("memory_mb"),
    "nodename": _of("hostname"),
    "os_family": lambda facts: _kind(facts)[1] or None,
    "pkg_mgr": _manager,
    "processor_nproc": _of("cpus"),
    "python": _python,
    "python_version": _of("python"),
    "selinux": lambda facts: {"status": "enabled" if facts.get("selinux") else "disabled"},
    "service_mgr": lambda facts: "systemd" if facts.get("init") == "systemd" else "service",
    "system": lambda _: "Linux",
    "user_dir": _of("home"),
    "user_id": _of("user"),
    "user_uid": _of("uid"),
    "user_gid": _of("gid"),
    "user_shell": _of("shell"),
    "user_gecos": _of("gecos"),
    "effective_user_id": _of("uid"),
    "effective_group_id": _of("gid"),
    "real_user_id": _of("uid"),
    "real_group_id": _of("gid"),
    "userspace_architecture": _of("architecture"),
    "userspace_bits": lambda facts: "64" if str(facts.get("architecture", "")).endswith("64") else "32",
}
"""What every host tells when it is connected to."""

_GROUPS: dict[str, tuple[str, ...]] = {
    "network": ("all_ipv4_addresses", "all_ipv6_addresses", "default_ipv6", "dns", "interfaces"),
    "memory": ("memfree_mb", "memory_mb", "swapfree_mb", "swaptotal_mb"),
    "processor": ("processor", "processor_cores", "processor_count", "processor_threads_per_core", "processor_vcpus"),
    "mounts": ("mounts",),
    "devices": ("devices",),
    "env": ("env",),
    "time": ("date_time", "uptime_seconds"),
    "virtualization": ("is_chroot", "virtualization_role", "virtualization_type"),
    "boot": ("cmdline", "proc_cmdline"),
    "release": ("lsb",),
    "keys": (
        "ssh_host_key_dsa_public", "ssh_host_key_ecdsa_public", "ssh_host_key_ed25519_public",
        "ssh_host_key_rsa_public", "ssh_host_key_ecdsa_public_keytype", "ssh_host_key_ed25519_public_keytype",
        "ssh_host_key_rsa_public_keytype",
    ),
}  # fmt: skip
"""Groups that are gathered where they are asked for, with the names that they give."""

_GATHERED: dict[str, Callable[[Facts], Any]] = {
    name: _in(group, name) for group, names in _GROUPS.items() for name in names if name not in _CHEAP
}
_ALL = _CHEAP | _GATHERED
_GROUP_OF = {name: group for group, names in _GROUPS.items() for name in names} | {"default_ipv4": "network"}

NAMES = frozenset(("facts", "ansible_facts", *(f"ansible_{name}" for name in _ALL)))
"""All variables that facts give."""


def groups_for(names: Iterable[str]) -> list[str]:
    """The groups of facts that a host must gather for these variables; `ansible_facts` or `hostvars` alone: all.

    `ansible_facts.NAME` and `hostvars.NAME` count as NAME.
    """
    found: set[str] = set()
    for name in names:
        key = name.removeprefix("hostvars.")
        if key in ("ansible_facts", "hostvars"):
            return sorted(_GROUPS)
        key = key.removeprefix("ansible_facts.").removeprefix("ansible_")
        if key in _GROUP_OF:
            found.add(_GROUP_OF[key])
        elif name.startswith("ansible_facts.") and key not in _ALL:
            found.add("network")  # an interface, by its name
    return sorted(found)


_SUBSETS: dict[str, tuple[str, ...]] = {
    "all": tuple(_GROUPS),
    "min": (),
    "hardware": ("devices", "memory", "mounts", "processor"),
    "network": ("network",),
    "virtual": ("virtualization",),
    "cmdline": ("boot",),
    "date_time": ("time",),
    "env": ("env",),
    "lsb": ("release",),
    "ssh_pub_keys": ("keys",),
    **{name: (group,) for name, group in _GROUP_OF.items()},
    **dict.fromkeys(_CHEAP, ()),
}
"""Ansible's words for what `setup` is to gather, with our groups; facts that cost nothing are always there."""


def of_subset(subset: Any) -> frozenset[str]:
    """The groups that `gather_subset` asks for; raises ValueError for a word that is none."""
    words = ["all"] if subset is None else subset if isinstance(subset, list) else str(subset).split(",")
    names = [str(word).strip() for word in words]
    unknown = [name for name in names if name.removeprefix("!") not in _SUBSETS]
    if unknown:
        raise ValueError(f"`{unknown[0]}` is no subset of facts")
    without = {group for name in names if name.startswith("!") for group in _SUBSETS[name[1:]]}
    chosen = [name for name in names if not name.startswith("!")] or ["all"]
    return frozenset(group for name in chosen for group in _SUBSETS[name]) - without


def wanted(facts: Facts, groups: frozenset[str], filters: Any = None) -> dict[str, Any]:
    """The facts of some groups and those that are always there, by name; `filters` are globs of names."""
    patterns = [] if filters is None else filters if isinstance(filters, list) else [filters]
    named = _Facts(facts)
    return {
        name: named[name]
        for name in named
        if (_GROUP_OF.get(name) is None or _GROUP_OF[name] in groups or name in _CHEAP)
        and (not patterns or any(_fits(name, str(pattern)) for pattern in patterns))
    }


def _fits(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(f"ansible_{name}", pattern)


class _Facts(Mapping[str, Any]):
    """Facts under Ansible's names without a prefix, as `ansible_facts` has them, with the interfaces by name."""

    def __init__(self, facts: Facts) -> None:
        self._known = facts

    def __getitem__(self, name: str) -> Any:
        make = _ALL.get(name)
        value = make(self._known) if make else self._interface(name)
        if value is None:
            raise KeyError(name)
        return value

    def _interface(self, name: str) -> Any:
        return ((self._known.get("network") or {}).get("of_interface") or {}).get(name)

    def __contains__(self, name: object) -> bool:
        make = _ALL.get(str(name))
        return (make(self._known) if make else self._interface(str(name))) is not None

    def __iter__(self) -> Iterator[str]:
        yield from (name for name in _ALL if name in self)
        yield from ((self._known.get("network") or {}).get("of_interface") or {})

    def __len__(self) -> int:
        return sum(1 for _ in self)


class FactVariables(Mapping[str, Any]):
    """Facts as variables: whole as `facts` and `ansible_facts`, and each with `ansible_` before its name."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._named = _Facts(facts)

    def __getitem__(self, name: str) -> Any:
        if name == "facts":
            return self._facts
        if name == "ansible_facts":
            return self._named
        if name[:8] != "ansible_":
            raise KeyError(name)
        return self._named[name[8:]]

    def __contains__(self, name: object) -> bool:
        text = str(name)
        return text in ("facts", "ansible_facts") or (text[:8] == "ansible_" and text[8:] in self._named)

    def __iter__(self) -> Iterator[str]:
        yield from ("facts", "ansible_facts")
        yield from (f"ansible_{name}" for name in self._named)

    def __len__(self) -> int:
        return 2 + len(self._named)

    def __bool__(self) -> bool:
        # else all facts are made in order to be counted
        return True


def fact_variables(facts: Facts) -> FactVariables:
    """The variables that a host's facts give."""
    return FactVariables(facts)
