"""Facts under Ansible's names, and what a host is asked for because a template names it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from driven import driven, loaded

from provision.agent.facts import gather
from provision.agent.facts_asked import GROUPS
from provision.errors import Mark
from provision.fact_names import NAMES, fact_variables, groups_for, of_subset, wanted
from provision.render import Renderer
from provision.source import Template
from provision.variables import Layer, Scope

DEBIAN = {
    "hostname": "gpu-01", "fqdn": "gpu-01.example.org", "architecture": "x86_64", "kernel": "6.1.0", "python": "3.11.2",
    "os": {"id": "debian", "version": "12", "full_version": "12.11", "codename": "bookworm"},
    "python_path": "/usr/bin/python3", "memory_mb": 16000, "cpus": 8, "init": "systemd", "selinux": False,
    "default_ipv4": "10.0.0.7", "user": "root", "uid": 0, "gid": 0, "home": "/root", "shell": "/bin/bash",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("distribution", "Debian"),
        ("distribution_version", "12.11"),
        ("distribution_major_version", "12"),
        ("distribution_release", "bookworm"),
        ("os_family", "Debian"),
        ("pkg_mgr", "apt"),
        ("service_mgr", "systemd"),
        ("hostname", "gpu-01"),
        ("fqdn", "gpu-01.example.org"),
        ("domain", "example.org"),
        ("memtotal_mb", 16000),
        ("processor_nproc", 8),
        ("default_ipv4", {"address": "10.0.0.7"}),
        ("selinux", {"status": "disabled"}),
        ("user_uid", 0),
        ("user_shell", "/bin/bash"),
        ("system", "Linux"),
    ],
)
def test_names_that_every_host_has(name: str, value: Any) -> None:
    variables = fact_variables(DEBIAN)
    assert variables[f"ansible_{name}"] == variables["ansible_facts"][name] == value


@pytest.mark.parametrize(
    ("system", "names"),
    [
        ({"id": "ubuntu", "version": "22.04"}, ("Ubuntu", "22", "Debian", "apt")),
        ({"id": "rocky", "version": "9.3"}, ("Rocky", "9", "RedHat", "dnf")),
        ({"id": "centos", "version": "7"}, ("CentOS", "7", "RedHat", "yum")),
        ({"id": "sles", "version": "15.5"}, ("SLES", "15", "Suse", "zypper")),
    ],
)
def test_systems(system: dict[str, str], names: tuple[str, ...]) -> None:
    variables = fact_variables({"os": system})
    keys = ("distribution", "distribution_major_version", "os_family", "pkg_mgr")
    assert tuple(variables[f"ansible_{key}"] for key in keys) == names


def test_what_was_not_asked_for_is_not_there() -> None:
    variables = fact_variables(DEBIAN)
    assert "ansible_mounts" in NAMES and "ansible_mounts" not in variables
    assert set(variables) == {name for name in NAMES if name in variables}


def test_shapes_of_this_host() -> None:
    """As `setup` of Ansible gives them."""
    variables = fact_variables(gather(GROUPS))
    kinds = {
        "all_ipv4_addresses": list, "cmdline": dict, "date_time": dict, "devices": dict, "env": dict,
        "interfaces": list, "is_chroot": bool, "lo": dict, "lsb": dict, "memfree_mb": int, "mounts": list,
        "processor": list,
        "processor_cores": int, "processor_count": int, "processor_vcpus": int, "python": dict, "swaptotal_mb": int,
        "uptime_seconds": int, "virtualization_role": str, "virtualization_type": str,
    }  # fmt: skip
    assert {name: type(variables[f"ansible_{name}"]) for name in kinds} == kinds
    mine = variables["ansible_python"]["version"]
    assert (mine["major"], mine["minor"]) == sys.version_info[:2]
    missing = [name for name in NAMES if name not in variables and "ssh_host_key" not in name]
    assert set(missing) <= {"ansible_machine_id", "ansible_distribution_minor_version", "ansible_user_gecos"}


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("{{ ansible_distribution }}{{ inventory_hostname }}", []),
        ("{{ ansible_mounts }}", ["mounts"]),
        ("{{ ansible_default_ipv4.gateway }}", ["network"]),
        ("{{ ansible_facts.memfree_mb + ansible_facts['processor_vcpus'] }}", ["memory", "processor"]),
        ("{{ ansible_facts['eth0'].ipv4 }}", ["network"]),
        ("{{ hostvars['b'].ansible_date_time }}", ["time"]),
        ("{{ hostvars['b'].ansible_host }}", []),
        ("{{ ansible_facts | length }}", sorted(GROUPS)),
        ("{{ ansible_facts[inventory_hostname] }}", sorted(GROUPS)),
    ],
)
def test_what_a_host_is_asked_for(text: str, groups: list[str]) -> None:
    renderer = Renderer()
    renderer.check(Template(text, Mark("f", 1, 1), text))
    assert groups_for(renderer.facts) == groups


def test_facts_by_attribute_and_by_key() -> None:
    names = Scope(Renderer(), (Layer("facts", fact_variables(DEBIAN), True),))

    def rendered(text: str) -> Any:
        return names.render(Template(text, Mark("f", 1, 1), text))

    assert rendered("{{ ansible_facts.os_family }}-{{ ansible_facts['distribution'] }}") == "Debian-Debian"
    assert rendered("{{ ansible_facts.mounts is defined }}") is False
    assert rendered("{{ ansible_facts['nope'] | default('x') }}") == "x"
    assert rendered("{{ ansible_facts }}")["kernel"] == "6.1.0"


def test_subsets() -> None:
    assert of_subset(None) == frozenset(GROUPS)
    assert of_subset("!all") == frozenset()
    assert of_subset(["network", "hardware", "!mounts"]) == {"network", "devices", "memory", "processor"}
    assert of_subset("min") == frozenset()
    with pytest.raises(ValueError, match="`hardwear` is no subset"):
        of_subset("hardwear")
    told = {**DEBIAN, "time": {"uptime_seconds": 5}}
    assert set(wanted(told, of_subset("min"), "ansible_dist*")) == {
        *("distribution", "distribution_major_version", "distribution_minor_version"),
        *("distribution_release", "distribution_version"),
    }
    assert wanted(told, of_subset("date_time"), ["uptime_*"]) == {"uptime_seconds": 5}


def test_setup_gives_facts_to_a_play_that_gathers_none(tmp_path: Path) -> None:
    play = loaded(
        tmp_path,
        "- hosts: all\n  gather_facts: false\n  tasks:\n"
        "  - debug: {msg: '{{ ansible_distribution is defined }}'}\n"
        "  - setup: {filter: ansible_distribution*}\n    register: said\n"
        "  - debug: {msg: '{{ ansible_distribution }} {{ said.ansible_facts | length }}'}\n",
    )
    ran = driven(play, facts=DEBIAN, gathered=False)
    assert [message for _, _, message in ran.verdicts] == ["false", "", "Debian 5"]
