"""What an operator reads when an app cannot be started, looked at or kept on a host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from provision.agent import settling, supervised, supervisor_files, supervisor_rpc, units
from provision.agent.resource import Action, Refusal, Verb
from provision.agent.resources import app_control, app_logs
from provision.agent.spawn import Completed
from provision.agent.system import System
from provision.errors import ProvisionError
from provision.plain import archive

PLAIN = {"init": "none"}


class Said(System):
    """A host on which every command says the same."""

    def run(self, argv: Any, **_: Any) -> Completed:
        return Completed(tuple(argv), 1, "", "tail: cannot open the file\n")


def start_without_supervisor() -> None:
    supervised.control(System(blob=str, facts=PLAIN), "start", "web")


def start_of_ill_supervisor() -> None:
    supervised.control(Said(blob=str, facts=PLAIN), "start", "web")


def log_that_is_gone() -> None:
    action = Action(Verb.RUN, "log of web", {"spec": app_logs.Spec(name="web")})
    app_logs.apply(action, Said(blob=str, facts=PLAIN), lambda **_: None)


def service_without_systemd() -> None:
    units.needs_systemd(System(blob=str, facts=PLAIN), "service `web`")


def restart_without_supervisor() -> None:
    action = Action(Verb.RESTART, "process of web", {"name": "web", "text": ""})
    app_control.apply(action, System(blob=str, facts=PLAIN), lambda **_: None)


def app_that_dies() -> None:
    app = settling.App("web", "env", "/nonexistent", "", pid=5)
    fall = settling.Fall(app, "its process ended after it had answered with exit status 7", 0.0)
    raise settling.refusal(System(blob=str, facts=PLAIN), [fall], lambda **_: None)


@pytest.fixture(autouse=True)
def no_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_rpc, "SOCKET", "/nonexistent/supervisor.sock")
    monkeypatch.setattr(supervisor_files, "LOG", "/nonexistent/supervisord.log")
    monkeypatch.setattr(settling, "_go_back", lambda *_: ({}, True))


@pytest.mark.parametrize(
    "act",
    [
        start_without_supervisor,
        start_of_ill_supervisor,
        restart_without_supervisor,
        log_that_is_gone,
        app_that_dies,
        service_without_systemd,
    ],
    ids=lambda act: act.__name__,
)
def test_refusals(act: Callable[[], None], snapshot: SnapshotAssertion) -> None:
    with pytest.raises(Refusal) as refused:
        act()
    told = refused.value
    assert str(ProvisionError(told.summary, cause=told.cause, hint=told.hint)) == snapshot


def test_another_supervisor_is_not_sent(
    snapshot: SnapshotAssertion, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(archive, "_supervisor", lambda: {"supervisor/version.txt": b"4.3.1"})
    monkeypatch.setattr(archive, "kept", lambda _name, pack: pack(tmp_path / "supervisor.zip"))
    with pytest.raises(ProvisionError) as refused:
        archive.supervisor_archive.__wrapped__()
    assert str(refused.value) == snapshot
