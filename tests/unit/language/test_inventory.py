"""Inventories as files: variables, groups and patterns of each case in `inventories/`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from provision import patterns
from provision.errors import ProvisionError
from provision.inventory import load_inventory

CASES = sorted((Path(__file__).parent / "inventories").glob("*.yaml"))


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_case(case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content: dict[str, Any] = yaml.safe_load(case.read_text())
    for name, text in content["files"].items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    inventory = load_inventory([content.get("inventory", "hosts.yaml")])
    playbook = Path(content["playbook"]) if "playbook" in content else None
    for host, variables in content.get("variables", {}).items():
        assert inventory.variables(host, playbook) == variables
    for host, groups in content.get("groups", {}).items():
        assert inventory.groups_of(host) == groups
    for pattern, hosts in content.get("select", {}).items():
        assert inventory.select(pattern) == hosts, pattern


def test_limit_narrows_and_says_when_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("gpu: {hosts: {a: , b: }}\nweb: {hosts: {c: }}\n")
    inventory = load_inventory([tmp_path / "hosts"])
    assert inventory.select("gpu", "b") == ["b"]
    assert inventory.select("gpu", "web", empty=True) == []
    with pytest.raises(ProvisionError, match="leaves no host"):
        inventory.select("gpu", "web")


def test_localhost_is_there_without_being_written(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("all: {vars: {x: 1}, hosts: {a: }}\n")
    inventory = load_inventory([tmp_path / "hosts"])
    assert inventory.select("localhost") == ["localhost"]
    variables = inventory.variables("localhost")
    assert variables["ansible_connection"] == "local"
    assert variables["x"] == 1


@given(st.integers(0, 500), st.integers(0, 60), st.integers(1, 7))
def test_ranges_include_their_ends(first: int, length: int, step: int) -> None:
    names = patterns.expand(f"n[{first}:{first + length}:{step}]x")
    assert names == [f"n{number}x" for number in range(first, first + length + 1, step)]


def test_ten_thousand_hosts_stay_cheap(tmp_path: Path) -> None:
    hosts = "".join(f"    h{i:05}: {{rack: {i}}}\n" for i in range(10_000))
    (tmp_path / "hosts").write_text("all:\n  children: {g: {hosts: {'h[00000:09999]': }}}\n  hosts:\n" + hosts)
    begun = time.process_time()
    inventory = load_inventory([tmp_path / "hosts"])
    total = sum(inventory.variables(host)["rack"] for host in inventory.select("g:!h00000"))
    assert total == sum(range(10_000))
    assert time.process_time() - begun < 2
