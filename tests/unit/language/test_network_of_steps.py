"""What of the network goes with steps of a play: per host, with those that fetch, under their own variables."""

from __future__ import annotations

import hashlib
from pathlib import Path

from driven import driven, loaded

PEM = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"
INVENTORY = """
all:
  vars: {ca_file: certificates/own.pem, https_proxy: "http://p.example:{{ port }}"}
  hosts:
    gpu-01: {port: 1}
    gpu-02: {port: 2, ca_file: ""}
"""
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - {name: fetched, get_url: {url: "https://h/f", dest: /f}}
    - {name: other, command: x}
    - {name: own, package: {name: git}, environment: {HTTPS_PROXY: "http://mine:9"}}
    - {name: none, git: {repo: "https://h/g", dest: /g}, environment: {https_proxy: ""}}
"""


def test_a_host_s_variables_go_with_what_fetches(tmp_path: Path) -> None:
    play = loaded(tmp_path, PLAY, {"hosts.yaml": INVENTORY, "certificates/own.pem": PEM})
    seen = driven(play, lambda _: {})
    steps = {item.title: item.step for item in seen.steps}
    digest = hashlib.sha256(PEM.encode()).hexdigest()
    both = dict.fromkeys(("https_proxy", "HTTPS_PROXY"), "http://p.example:1")
    assert (steps["fetched"].environment, steps["fetched"].trust) == (both, digest)
    assert (steps["other"].environment, steps["other"].trust) == ({}, None)
    assert steps["own"].environment == {"HTTPS_PROXY": "http://mine:9"}
    assert steps["none"].environment == {"https_proxy": ""}
    assert {name: content for batch in seen.batches for name, content in batch.blobs.items()} == {digest: PEM.encode()}
    other = {item.title: item.step for item in driven(play, lambda _: {}, host="gpu-02").steps}
    assert other["fetched"].environment["https_proxy"] == "http://p.example:2"
    assert other["fetched"].trust is None
