"""One host's session: what an interruption leaves, and how it goes on behind a reboot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from provision import rebooting
from provision.agent.protocol import End, HostEvent, Ready, Result, Step
from provision.compile import HostVariables
from provision.events import Event, HostEnded, HostUnreachable, StepEnded
from provision.inventory import load_inventory
from provision.playbook import Play
from provision.roles import load_playbook
from provision.scopes import Run
from provision.session import Opened, Session

PLAY = """\
- hosts: all
  tasks:
    - reboot: {test_command: id}
      register: rebooted
    - command: "echo {{ rebooted.elapsed >= 0 }} {{ facts.boot_id }}"
"""


class Link:
    """An agent in boot `boot`; steps are answered with what each resource does."""

    def __init__(self, boot: str, answers: Mapping[str, Result] | None = None) -> None:
        self.answers = dict(answers or {})
        self.steps: list[Step] = []
        self.closed = False
        self.sent = self.received = 0
        self._events: list[HostEvent] = [Ready({"boot_id": boot, "user": "root"}, [])]

    def run(self, batch: int, steps: Sequence[Step], blobs: Any) -> None:
        assert not self.closed
        self.steps += steps
        for step in steps:
            answer = self.answers.get(step.resource, Result(0, "ok"))
            self._events.append(Result(step.id, answer.status, answer.actions, answer.fields, answer.error))
        self._events.append(End(batch))

    def receive(self, _timeout: float | None = None) -> HostEvent:
        return self._events.pop(0)

    def cancel(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def forget(self, handlers: Any) -> None:
        raise AssertionError("nothing was notified")


class Fixture:
    """A session over links that are opened one after another."""

    def __init__(self, folder: Path, *links: Link) -> None:
        (folder / "hosts.yaml").write_text("all:\n  hosts:\n    gpu-01:\n")
        (folder / "play.yaml").write_text(PLAY)
        self.run = Run(load_inventory([folder / "hosts.yaml"]))
        self.play: Play = load_playbook(folder / "play.yaml").plays[0]
        self.links = list(links)
        self.events: list[Event] = []
        self.session = Session("gpu-01", self.open, self.variables, self.events.append)
        self.session.begin(self.play, last=True)

    def open(self) -> Opened:
        link = self.links.pop(0)
        return Opened(link, "root", link.close)  # type: ignore[arg-type]

    def variables(self, play: Play, facts: Mapping[str, Any], user: str) -> HostVariables:
        return HostVariables(self.run, "gpu-01", facts, ("gpu-01",), "")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebooting, "LEAVING", 0.0)
    monkeypatch.setattr(rebooting, "PAUSE", 0.0)


def goes_down() -> Link:
    asked = Result(0, "changed", [{"verb": "reboot", "target": "gpu-01"}], {"rebooted": True})
    return Link("b1", {"reboot": asked})


def test_behind_a_reboot_the_play_goes_on_with_a_new_connection(tmp_path: Path) -> None:
    before, still, after = goes_down(), Link("b1"), Link("b2")
    fixture = Fixture(tmp_path, before, still, after)
    while fixture.session.advance():
        pass
    assert [step.resource for step in before.steps] == ["reboot"], "the batch ends behind it"
    assert before.closed
    assert still.closed
    assert [step.resource for step in after.steps] == ["reboot", "command"]
    assert after.steps[0].spec["since"] == "b1"
    assert after.steps[1].spec["cmd"] == "echo True b2", "facts are those of the new boot"
    ended = [event for event in fixture.events if isinstance(event, StepEnded)]
    assert [event.result.status for event in ended] == ["changed", "ok"], "the reboot is told once, when it is over"
    assert len([event for event in fixture.events if isinstance(event, HostEnded)]) == 1


def test_what_does_not_hold_after_the_reboot_fails_its_step(tmp_path: Path) -> None:
    after = Link("b2", {"reboot": Result(0, "failed", error={"summary": "`id` does not succeed"})})
    fixture = Fixture(tmp_path, goes_down(), after)
    while fixture.session.advance():
        pass
    (ended,) = [event for event in fixture.events if isinstance(event, StepEnded)]
    assert ended.result.error == {"summary": "`id` does not succeed"}
    assert [step.resource for step in after.steps] == ["reboot"]
    assert not [event for event in fixture.events if isinstance(event, HostUnreachable)]


def test_a_host_that_is_cancelled_while_it_is_connected_to_runs_nothing(tmp_path: Path) -> None:
    link = Link("b1")
    fixture = Fixture(tmp_path, link)
    opening = fixture.session._open_link

    def interrupted() -> Opened:
        opened = opening()
        fixture.session.cancel()
        return opened

    fixture.session._open_link = interrupted
    assert fixture.session.advance() is None
    assert link.closed
    assert link.steps == []
    assert not [event for event in fixture.events if isinstance(event, HostUnreachable)]
