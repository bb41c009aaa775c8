"""A worker leaves its session only where systemd takes it; elsewhere nothing is tried."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from provision.agent import scope
from provision.agent.spawn import Completed

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root's worker moves")


def with_systemd(folder: Path, cgroup: str) -> None:
    (folder / "run/systemd/system").mkdir(parents=True)
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/self/cgroup").write_text(cgroup)


def asked(monkeypatch: pytest.MonkeyPatch, code: int, then: Any = lambda: None) -> list[list[str]]:
    calls: list[list[str]] = []

    def run(argv: list[str], **_: Any) -> Completed:
        calls.append(argv)
        then()
        return Completed(tuple(argv), code, "", "")

    monkeypatch.setattr(scope, "run", run)
    return calls


def test_without_systemd_nothing_is_tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = asked(monkeypatch, 0)
    assert not scope.leave_session("install git", str(tmp_path))
    assert calls == []


def test_systemd_is_asked_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_systemd(tmp_path, "0::/system.slice/ssh.service\n")
    own = f"0::/system.slice/provision-{os.getpid()}.scope\n"
    calls = asked(monkeypatch, 0, lambda: (tmp_path / "proc/self/cgroup").write_text(own))
    assert scope.leave_session("install git", str(tmp_path))
    assert scope.leave_session("remove git", str(tmp_path))
    (argv,) = calls
    assert argv[0] == "busctl" and f"provision-{os.getpid()}.scope" in argv and "provision: install git" in argv


def test_a_systemd_that_refuses_is_no_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_systemd(tmp_path, "0::/system.slice/ssh.service\n")
    asked(monkeypatch, 1)
    assert not scope.leave_session("install git", str(tmp_path))
