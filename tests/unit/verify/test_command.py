"""The command around the looks: which playbook, how hosts were reached, what it says of mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_up import FACTS
from syrupy.assertion import SnapshotAssertion

from provision import fact_store
from provision.errors import Mark, ProvisionError
from provision.events import Connected, HostFailed, HostUnreachable, RunEnded
from provision.inventory import load_inventory
from provision.options import Where
from provision.transport import Unreachable
from provision.verify import command
from provision.verify.command import Collected, only_playbook, verify
from provision.verify.ladder import Finding
from provision.verify.probes import Depth

APPS = Finding("apps", "apps.state", "ok", "it runs")


def test_the_only_playbook_is_taken(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").touch()
    (tmp_path / "README.md").touch()
    assert only_playbook(tmp_path) == tmp_path / "one.yaml"


def test_no_playbook_or_a_choice_is_said(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    errors = []
    for names in ((), ("a.yaml", "b.yml")):
        for name in names:
            (tmp_path / name).touch()
        with pytest.raises(ProvisionError) as caught:
            only_playbook(tmp_path)
        errors.append(str(caught.value).replace(str(tmp_path), "playbooks"))
    assert errors == snapshot


def test_mistakes_of_options_are_said_before_anything_is_read(snapshot: SnapshotAssertion) -> None:
    errors = []
    for options in ({"every": "5 days"}, {"every": "5m", "output": "junit"}):
        with pytest.raises(ProvisionError) as caught:
            verify(Path("none.yaml"), where=Where(), depth=Depth(), **options)  # type: ignore[arg-type]
        errors.append(str(caught.value))
    assert errors == snapshot


def told(*events: object) -> Collected:
    collected = Collected()
    for event in events:
        collected.add(event)  # type: ignore[arg-type]
    collected.close()
    return collected


def test_how_a_host_was_reached_is_its_lowest_rung() -> None:
    locked = ProvisionError("another run works on this host", exit_code=2)
    clash = ProvisionError("two apps want port 80", where=Mark("play.yaml", 3, 1))
    connected = Connected("a", FACTS, 0.2)
    refused = Unreachable("refused", "`a` refused the connection")
    for event, code, rung in (
        ((connected,), 0, None),
        ((HostUnreachable("a", refused),), 4, "reachable"),
        ((connected, HostUnreachable("a", refused)), 4, "reachable"),
        ((HostFailed("a", locked),), 2, "reachable"),
        ((connected, HostFailed("a", clash)), 2, "configuration"),
    ):
        verdict = told(*event, RunEnded(1.0)).verdict("a", [APPS])
        assert (verdict.broken, 2 * bool(verdict.broken and not verdict.unreachable) + 4 * verdict.unreachable) == (
            rung,
            code,
        )
        assert ("apps.state" in {each.check for each in verdict.findings}) == (rung is None)
    assert told(connected).verdict("a", []).simulated


def test_a_mend_names_inventory_and_host_but_no_secret() -> None:
    where = Where(inventory=[Path("my hosts.yaml")], extra_vars=["token=hidden", "@vars.yaml"])
    words = command.apply_command(Path("play.yaml"), where)
    assert words == "provision apply play.yaml -i 'my hosts.yaml' -e … -e @vars.yaml"


def test_facts_are_kept_for_nobody_else_to_read(tmp_path: Path) -> None:
    (tmp_path / "inventory.yaml").write_text("all: {hosts: {a: }}\n")
    inventory = load_inventory([tmp_path / "inventory.yaml"])
    assert fact_store.known(inventory, "a") is None
    fact_store.remember(inventory, "a", FACTS)
    fact_store.remember(inventory, "a", FACTS | {"cpus": 64})
    (path,) = fact_store.directory(inventory).iterdir()
    assert path.parent == tmp_path / ".provision/facts"
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o077) == (0o600, 0)
    kept = fact_store.known(inventory, "a")
    assert kept and kept["facts"]["cpus"] == 64
    path.write_text("garbled")
    assert fact_store.known(inventory, "a") is None
    json.dumps(kept)


def test_facts_that_cannot_be_kept_stop_nobody(tmp_path: Path) -> None:
    (tmp_path / "inventory.yaml").write_text("all: {hosts: {a: }}\n")
    (tmp_path / ".provision").write_text("a file")
    inventory = load_inventory([tmp_path / "inventory.yaml"])
    fact_store.remember(inventory, "a", FACTS)
    assert fact_store.known(inventory, "a") is None
