"""Facts that are gathered where a playbook names them, from texts of /proc and from this host."""

from __future__ import annotations

import struct
import subprocess
import sys

from provision.agent.facts import gather
from provision.agent.facts_asked import (
    GROUPS,
    gather_group,
    parse_command_line,
    parse_cpuinfo,
    parse_meminfo,
    parse_mounts,
)
from provision.agent.facts_network import of_message, parse_resolver

MEMINFO = """MemTotal:       16384000 kB
MemFree:         2048000 kB
MemAvailable:    9000000 kB
Buffers:          102400 kB
Cached:          4096000 kB
SwapCached:            0 kB
SwapTotal:       1048576 kB
SwapFree:        1047552 kB
HugePages_Total:       0
"""


def test_memory() -> None:
    assert parse_meminfo(MEMINFO) == {
        "memtotal_mb": 16000,
        "memfree_mb": 2000,
        "swaptotal_mb": 1024,
        "swapfree_mb": 1023,
        "memory_mb": {
            "real": {"total": 16000, "used": 14000, "free": 2000},
            "nocache": {"free": 6100, "used": 9900},
            "swap": {"total": 1024, "free": 1023, "used": 1, "cached": 0},
        },
    }


def cpu(number: int, socket: int, core: int) -> str:
    told = {"vendor_id": "GenuineIntel", "model name": "Xeon", "physical id": socket, "siblings": 4, "core id": core}
    lines = [f"processor\t: {number}", *(f"{key}\t: {value}" for key, value in told.items()), "cpu cores\t: 2"]
    return "\n".join(lines) + "\n\n"


def test_two_sockets_of_two_cores_with_two_threads() -> None:
    text = "".join(cpu(number, number % 2, number // 2 % 2) for number in range(8))
    found = parse_cpuinfo(text)
    assert found.pop("processor")[:6] == ["0", "GenuineIntel", "Xeon", "1", "GenuineIntel", "Xeon"]
    assert found == {
        "processor_count": 2,
        "processor_cores": 2,
        "processor_threads_per_core": 2,
        "processor_vcpus": 8,
    }


def test_a_machine_that_tells_no_sockets() -> None:
    found = parse_cpuinfo("processor\t: 0\nBogoMIPS\t: 50\n\nprocessor\t: 1\nBogoMIPS\t: 50\n")
    assert (found["processor_count"], found["processor_cores"], found["processor_vcpus"]) == (2, 1, 2)


def test_mounts_of_devices_and_servers() -> None:
    text = (
        "proc /proc proc rw 0 0\n/dev/sda1 / ext4 rw,noatime 0 1\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n"
        "nas:/export/a\\040b /data/a\\040b nfs4 rw 0 0\nbroken line\n"
    )
    assert parse_mounts(text) == [
        {"mount": "/", "device": "/dev/sda1", "fstype": "ext4", "options": "rw,noatime", "dump": 0, "passno": 1},
        {"mount": "/data/a b", "device": "nas:/export/a b", "fstype": "nfs4", "options": "rw", "dump": 0, "passno": 0},
    ]


def test_words_of_the_kernel() -> None:
    found = parse_command_line("quiet console=tty0 console=ttyS0 root=UUID=a-b\n")
    assert found["cmdline"] == {"quiet": True, "console": "ttyS0", "root": "UUID=a-b"}
    assert found["proc_cmdline"]["console"] == ["tty0", "ttyS0"]


def test_name_servers() -> None:
    text = "# made\nnameserver 10.0.0.1\nnameserver 10.0.0.2\nsearch a.org b.org\noptions ndots:2 rotate\n"
    told = {"nameservers": ["10.0.0.1", "10.0.0.2"], "search": ["a.org", "b.org"]}
    assert parse_resolver(text) == {**told, "options": {"ndots": "2", "rotate": True}}


def test_an_address_as_the_kernel_tells_it() -> None:
    parts = [(1, bytes([10, 1, 2, 3])), (2, bytes([10, 1, 2, 3])), (4, bytes([10, 1, 3, 255]))]
    body = struct.pack("=BBBBL", 2, 23, 0, 0, 7)
    body += b"".join(struct.pack("=HH", 4 + len(data), kind) + data for kind, data in parts)
    address = {"address": "10.1.2.3", "broadcast": "10.1.3.255", "netmask": "255.255.254.0", "network": "10.1.2.0"}
    assert list(of_message(body)) == [(7, {**address, "prefix": "23"})]
    assert list(of_message(struct.pack("=BBBBL", 2, 23, 0, 0, 7))) == []


def test_each_group_of_this_host() -> None:
    found = gather(GROUPS)
    assert [group for group in GROUPS if not found[group]] == []
    loop = found["network"]["of_interface"]["lo"]
    assert (
        loop["ipv4"]["address"] == "127.0.0.1" and loop["type"] == "loopback" and "lo" in found["network"]["interfaces"]
    )
    assert found["memory"]["memtotal_mb"] == found["memory_mb"]
    assert found["processor"]["processor_vcpus"] >= 1 and found["time"]["uptime_seconds"] > 0
    assert gather_group("unheard of") == {}


def test_a_plain_start_gathers_none_of_them() -> None:
    asked = "from provision.agent.facts import gather; import sys; gather()\n"
    asked += "print([m for m in sys.modules if 'facts_' in m], sorted(set(gather()) & {'network', 'memory', 'env'}))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[] []\n"
