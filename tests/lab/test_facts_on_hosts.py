"""What a lab host says of itself, in Ansible's names, against what its own programs and its lab say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from on_host import PLACE, OnHost

from provision.agent.facts_asked import GROUPS
from provision.fact_names import fact_variables
from provision.lab.fleet import Lab

pytestmark = pytest.mark.lab

GATHER = f"""
import json, sys, time
sys.path.insert(0, {PLACE!r})
from provision_agent.facts import gather
print(json.dumps(gather({sorted(GROUPS)!r})))
"""


def test_facts_under_ansibles_names(lab: Lab) -> None:
    host = lab.host("gpu-02")
    OnHost(host).converge(("stat", {"path": "/"}))  # brings the agent's modules
    told = json.loads(host.run(["/usr/bin/python3", "-c", GATHER], timeout=60).stdout)
    facts: dict[str, Any] = fact_variables(told)["ansible_facts"]
    default = facts["default_ipv4"]
    assert (default["address"], default["interface"]) == (host.address, "eth0")
    assert default["network"] == host.address.rpartition(".")[0] + ".0" and default["netmask"] == "255.255.255.0"
    assert facts["eth0"]["ipv4"]["address"] == host.address and host.address in facts["all_ipv4_addresses"]
    assert {"lo", "eth0"} <= set(facts["interfaces"])
    assert (facts["hostname"], facts["service_mgr"], facts["os_family"]) == ("gpu-02", "systemd", "Debian")
    assert (facts["virtualization_type"], facts["virtualization_role"]) == ("container", "guest")
    debian = host.run(["cat", "/etc/debian_version"], timeout=20).stdout.strip()
    assert facts["distribution_version"] == debian and facts["distribution_release"] == "bookworm"
    key = host.run(["cat", "/etc/ssh/ssh_host_ed25519_key.pub"], timeout=20).stdout.split()[1]
    assert facts["ssh_host_key_ed25519_public"] == key
    assert facts["user_id"] == "root" and facts["user_shell"] == "/bin/bash"
