"""The errors of the lab, word for word."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.errors import ProvisionError
from provision.lab import network, prerequisites, processes, state
from provision.lab.fleet import Lab

WIDE = ("10.0.0.0/8",)


def not_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    Lab("unit").up({"gpu": 1})


def not_up(monkeypatch: pytest.MonkeyPatch) -> None:
    Lab("unit").status()


def half_up(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab("unit")
    lab.state.write(state.Record("unit", 3))
    str(lab.inventory)


def no_such_host(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab("unit")
    lab.state.write(state.Record("unit", 3).grown({"gpu": 2}))
    lab.host("gpu-07")


def not_running(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab("unit")
    lab.state.write(state.Record("unit", 3).grown({"gpu": 2}))
    lab.host("gpu-02").run(["true"])


def bad_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVISION_LAB", "My Lab")
    Lab()


def too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    state.check_counts({"gpu": 3, "plain": 51})


def no_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    state.check_counts({"gpu": 0, "plain": 0, "bullseye": 0})


def no_subnet(monkeypatch: pytest.MonkeyPatch) -> None:
    network.choose_subnet((), WIDE)


def cannot_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prerequisites, "PATH", "/nonexistent")
    prerequisites.prerequisites(print)


def command_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    processes.run(["sh", "-c", "echo why >&2; exit 3"])


def command_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    processes.run(["sleep", "5"], timeout=0.1)


CASES = (
    *(not_root, not_up, half_up, no_such_host, not_running, bad_name, too_many, no_hosts, no_subnet),
    *(cannot_install, command_fails, command_hangs),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_error(
    case: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, snapshot: object
) -> None:
    monkeypatch.setenv("PROVISION_LAB_DIR", str(tmp_path))
    with pytest.raises(ProvisionError) as caught:
        case(monkeypatch)
    assert str(caught.value) == snapshot
