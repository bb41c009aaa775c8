"""Facts that are gathered where a playbook names them: memory, processor, mounts, disks, time, what the host runs in.

Files and system calls only, no process; never touches a file system of the network. Must not fail: what cannot be read
is left out. The names are Ansible's.
"""

from __future__ import annotations

import os
from typing import Any, Callable, Dict, List, Tuple

__all__ = ["GROUPS", "gather_group", "parse_command_line", "parse_cpuinfo", "parse_meminfo", "parse_mounts"]

_KEY_TYPES = ("dsa", "ecdsa", "ed25519", "rsa")
_MAKERS = (
    ("KVM", "kvm"), ("QEMU", "kvm"), ("Bochs", "kvm"), ("RHEV", "RHEV"), ("VMware", "VMware"),
    ("VirtualBox", "virtualbox"), ("innotek", "virtualbox"), ("HVM domU", "xen"), ("Xen", "xen"),
    ("Amazon EC2", "kvm"), ("Google", "kvm"), ("OpenStack", "openstack"), ("Microsoft Corporation", "VirtualPC"),
    ("Parallels", "parallels"),
)  # fmt: skip
"""What firmware calls itself, and Ansible's word for it."""


def gather_group(name: str) -> Dict[str, Any]:
    """The facts of one group, by Ansible's names; nothing for a group that there is none of."""
    gather = GROUPS.get(name)
    if gather is None:
        return {}
    try:
        return gather()
    except (OSError, ValueError, KeyError, IndexError):
        return {}


def _memory() -> Dict[str, Any]:
    return parse_meminfo(_text("/proc/meminfo"))


def parse_meminfo(text: str) -> Dict[str, Any]:
    """Sizes in MiB from /proc/meminfo."""
    kib = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        words = value.split()
        if words and words[0].isdigit():
            kib[key] = int(words[0])

    def mib(key: str) -> int:
        return kib.get(key, 0) // 1024

    total, free = mib("MemTotal"), mib("MemFree")
    available = (kib.get("MemFree", 0) + kib.get("Cached", 0) + kib.get("Buffers", 0)) // 1024
    swap, swap_free = mib("SwapTotal"), mib("SwapFree")
    return {
        "memtotal_mb": total,
        "memfree_mb": free,
        "swaptotal_mb": swap,
        "swapfree_mb": swap_free,
        "memory_mb": {
            "real": {"total": total, "used": total - free, "free": free},
            "nocache": {"free": available, "used": total - available},
            "swap": {"total": swap, "free": swap_free, "used": swap - swap_free, "cached": mib("SwapCached")},
        },
    }


def _processor() -> Dict[str, Any]:
    return parse_cpuinfo(_text("/proc/cpuinfo", 8 << 20))


def parse_cpuinfo(text: str) -> Dict[str, Any]:
    """Sockets, cores and threads from /proc/cpuinfo; a machine that tells no sockets has one for each processor."""
    described: List[str] = []
    sockets: Dict[str, int] = {}
    threads: Dict[str, int] = {}
    count, socket, core = 0, "", ""
    for line in text.splitlines():
        key, _, value = (part.strip() for part in line.partition(":"))
        if key in ("processor", "vendor_id", "model name", "Processor", "cpu"):
            described.append(value)
            count += key == "processor"
        elif key == "physical id":
            socket = value
            sockets.setdefault(socket, 1)
        elif key == "core id":
            core = value
        elif key == "cpu cores":
            sockets[socket] = int(value)
        elif key == "siblings":
            threads[core] = int(value)
    amount = len(sockets) or count
    cores = next(iter(sockets.values()), 1)
    of_core = next(iter(threads.values()), 1) // cores if threads else 1
    return {
        "processor": described,
        "processor_count": amount,
        "processor_cores": cores,
        "processor_threads_per_core": max(of_core, 1),
        "processor_vcpus": amount * cores * max(of_core, 1),
    }


def _mounts() -> Dict[str, Any]:
    names = _by_link("/dev/disk/by-uuid")
    found = parse_mounts(_text("/proc/self/mounts", 4 << 20))
    for mount in found:
        mount["uuid"] = names.get(os.path.realpath(mount["device"]), "N/A")
        if mount["device"].startswith("/dev/"):
            mount.update(_sizes(mount["mount"]))
    return {"mounts": found}


def parse_mounts(text: str) -> List[Dict[str, Any]]:
    """The mounts of devices, and of servers (`host:/path`), as /proc/mounts tells them."""
    found = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 6 or fields[2] == "none":
            continue
        device, path, kind, options = (_unescaped(field) for field in fields[:4])
        if device.startswith(("/", "\\")) or ":/" in device:
            numbers = {"dump": int(fields[4]), "passno": int(fields[5])}
            found.append({"mount": path, "device": device, "fstype": kind, "options": options, **numbers})
    return found


def _unescaped(field: str) -> str:
    for code, sign in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, sign)
    return field


def _sizes(path: str) -> Dict[str, int]:
    try:
        told = os.statvfs(path)
    except OSError:
        return {}
    return {
        "size_total": told.f_frsize * told.f_blocks,
        "size_available": told.f_frsize * told.f_bavail,
        "block_size": told.f_bsize,
        "block_total": told.f_blocks,
        "block_available": told.f_bavail,
        "block_used": told.f_blocks - told.f_bavail,
        "inode_total": told.f_files,
        "inode_available": told.f_favail,
        "inode_used": told.f_files - told.f_favail,
    }


def _by_link(folder: str) -> Dict[str, str]:
    """Names of links in a folder, by the file that each leads to."""
    try:
        return {os.path.realpath(os.path.join(folder, name)): name for name in os.listdir(folder)}
    except OSError:
        return {}


def _devices() -> Dict[str, Any]:
    found = {}
    for name in sorted(os.listdir("/sys/block")):
        folder = "/sys/block/" + name
        sectors, size = _number(folder + "/size"), _number(folder + "/queue/logical_block_size") or 512
        found[name] = {
            "model": _line(folder + "/device/model") or None,
            "vendor": _line(folder + "/device/vendor") or None,
            "removable": _line(folder + "/removable"),
            "rotational": _line(folder + "/queue/rotational"),
            "sectors": sectors,
            "sectorsize": str(size),
            "size": _size(sectors * 512),
            "partitions": _partitions(folder, name),
        }
    return {"devices": found}


def _partitions(folder: str, disk: str) -> Dict[str, Any]:
    names = [name for name in sorted(os.listdir(folder)) if name.startswith(disk)]
    uuids = _by_link("/dev/disk/by-uuid") if names else {}
    found = {}
    for name in names:
        sectors = _number("%s/%s/size" % (folder, name))
        found[name] = {
            "start": _line("%s/%s/start" % (folder, name)),
            "sectors": sectors,
            "size": _size(sectors * 512),
            "uuid": uuids.get("/dev/" + name),
        }
    return found


def _size(count: float) -> str:
    for unit in ("Bytes", "KB", "MB", "GB", "TB"):
        if count < 1024 or unit == "TB":
            break
        count /= 1024
    return "%.2f %s" % (count, unit)


def _environment() -> Dict[str, Any]:
    return {"env": dict(os.environ)}


def _time() -> Dict[str, Any]:
    import time

    now = time.time()
    local, utc = time.localtime(now), time.gmtime(now)
    micro = int(now % 1 * 1_000_000)
    names = {
        "year": "%Y", "month": "%m", "weekday": "%A", "weekday_number": "%w", "weeknumber": "%W", "day": "%d",
        "hour": "%H", "minute": "%M", "second": "%S", "epoch": "%s", "date": "%Y-%m-%d", "time": "%H:%M:%S",
        "iso8601_basic_short": "%Y%m%dT%H%M%S", "tz_offset": "%z",
    }  # fmt: skip
    told = {name: time.strftime(form, local) for name, form in names.items()}
    told.update(
        epoch=str(int(now)),
        epoch_int=str(int(now)),
        iso8601=time.strftime("%Y-%m-%dT%H:%M:%SZ", utc),
        iso8601_micro=time.strftime("%Y-%m-%dT%H:%M:%S", utc) + ".%06dZ" % micro,
        iso8601_basic=time.strftime("%Y%m%dT%H%M%S", local) + "%06d" % micro,
        tz=time.strftime("%Z", local),
        tz_dst=time.tzname[1],
    )
    return {"date_time": told, "uptime_seconds": int(float(_text("/proc/uptime").split()[0]))}


def _virtualization() -> Dict[str, Any]:
    kind, role = _runs_in()
    return {"virtualization_type": kind, "virtualization_role": role, "is_chroot": _is_chroot()}


def _runs_in() -> Tuple[str, str]:
    container = _line("/run/systemd/container") or _of_process(_text("/proc/1/environ"))
    if container or os.path.exists("/.dockerenv"):
        return ("container" if container == "systemd-nspawn" else container or "docker"), "guest"
    if os.path.exists("/run/.containerenv"):
        return "podman", "guest"
    names = " ".join(_line("/sys/devices/virtual/dmi/id/" + name) for name in ("product_name", "sys_vendor"))
    for maker, kind in _MAKERS:
        if maker in names:
            return kind, "guest"
    if os.path.exists("/proc/xen"):
        return "xen", "guest"
    if os.path.exists("/dev/kvm"):
        return "kvm", "host"
    return "NA", "NA"


def _of_process(environ: str) -> str:
    return next((part[10:] for part in environ.split("\0") if part.startswith("container=")), "")


def _is_chroot() -> bool:
    if os.environ.get("debian_chroot"):  # noqa: SIM112 - so it is called
        return True
    try:
        own, first = os.stat("/"), os.stat("/proc/1/root/.")
    except OSError:
        return False
    return (own.st_ino, own.st_dev) != (first.st_ino, first.st_dev)


def _boot() -> Dict[str, Any]:
    return parse_command_line(_text("/proc/cmdline"))


def parse_command_line(text: str) -> Dict[str, Any]:
    """The kernel's words: in `cmdline` the last of each, in `proc_cmdline` all where a word comes twice."""
    single: Dict[str, Any] = {}
    every: Dict[str, Any] = {}
    for word in text.split():
        key, sign, value = word.partition("=")
        told: Any = value if sign else True
        if key in every and every[key] is not True:
            before = every[key] if isinstance(every[key], list) else [every[key]]
            every[key] = [*before, told]
        else:
            every[key] = told
        single[key] = told
    return {"cmdline": single, "proc_cmdline": every}


def _release() -> Dict[str, Any]:
    told = {}
    for line in _text("/etc/lsb-release").splitlines():
        key, sign, value = line.partition("=")
        if sign and key.startswith("DISTRIB_"):
            told[key[8:].lower()] = value.strip().strip("\"'")
    if not told and os.path.exists("/usr/bin/lsb_release"):  # which tells nothing that is not in here
        known = dict(line.partition("=")[::2] for line in _text("/etc/os-release").splitlines() if "=" in line)
        names = {"id": "NAME", "release": "VERSION_ID", "description": "PRETTY_NAME", "codename": "VERSION_CODENAME"}
        told = {key: known[name].strip("\"'") for key, name in names.items() if name in known}
        told["id"] = told.get("id", "").split(" ")[0]
    if told.get("release"):
        told["major_release"] = told["release"].split(".")[0]
    return {"lsb": told}


def _keys() -> Dict[str, Any]:
    found = {}
    for kind in _KEY_TYPES:
        words = _text("/etc/ssh/ssh_host_%s_key.pub" % kind).split()
        if len(words) > 1:
            found["ssh_host_key_%s_public" % kind] = words[1]
            found["ssh_host_key_%s_public_keytype" % kind] = words[0]
    return found


def _number(path: str) -> int:
    text = _line(path)
    return int(text) if text.isdigit() else 0


def _line(path: str) -> str:
    return _text(path).strip()


def _text(path: str, limit: int = 65536) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(limit).decode("utf-8", "replace")
    except OSError:
        return ""


def _network() -> Dict[str, Any]:
    from .facts_network import network

    return network()


GROUPS: Dict[str, Callable[[], Dict[str, Any]]] = {
    "boot": _boot,
    "devices": _devices,
    "env": _environment,
    "keys": _keys,
    "memory": _memory,
    "mounts": _mounts,
    "network": _network,
    "processor": _processor,
    "release": _release,
    "time": _time,
    "virtualization": _virtualization,
}
"""What may be asked for; `provision.fact_names` knows which names of Ansible are in which."""
