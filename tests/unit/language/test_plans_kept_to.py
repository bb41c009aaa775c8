"""A plan made of a play, and hosts held to it, with answers in the place of hosts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from driven import loaded
from syrupy.assertion import SnapshotAssertion

from provision.agent.protocol import Result
from provision.compile import Batch, HostVariables, PlannedStep, Run, start
from provision.inventory import load_inventory
from provision.plans.document import HostPlan, Plan
from provision.plans.holding import Holding, moved
from provision.plans.making import Making
from provision.playbook import Play
from provision.secret.known import secret
from provision.session import NextBatch

KEY = "k" * 32
PLAY = """
- hosts: all
  vars: {text: hello}
  tasks:
    - name: Motd
      copy: {dest: /etc/motd, content: "{{ text }}"}
      notify: Tell
    - name: Run
      command: {argv: [id]}
      register: said
    - name: Depends
      copy: {dest: /etc/said, content: "{{ said.stdout }}"}
      notify: Tell too
  handlers:
    - {name: Tell, command: {argv: ["true"]}}
    - {name: Tell too, command: {argv: ["true"]}}
"""
Answer = Callable[[PlannedStep], Mapping[str, Any]]


def would(step: PlannedStep) -> Mapping[str, Any]:
    """What a bare host answers."""
    spec = step.step.spec
    verb, target = ("run", "id") if "argv" in spec else ("create", spec["path"])
    return {
        "status": "changed",
        "actions": [{"verb": verb, "target": target, "before": None, "after": spec.get("content")}],
    }


def through(play: Play, around: NextBatch, answer: Answer = would, *, check: bool = True, **extra: Any) -> list[Batch]:
    """All batches of a host, up to the one that ends it."""
    run = Run(load_inventory([play.directory / "hosts.yaml"]), check=check, extra=extra)
    variables = HostVariables(run, "gpu-01", {"user": "root"}, ("gpu-01",))
    results: dict[int, Result] = {}
    cursor, seen = start(play), []
    for _ in range(20):
        batch, cursor = around(play, cursor, variables, results, ())
        seen.append(batch)
        if batch.done or batch.failed:
            return seen
        results = {
            item.step.id: Result(**{"step": item.step.id, "status": "ok", **answer(item)}) for item in batch.steps
        }
    raise AssertionError("the play does not end")


def made(play: Play, answer: Answer = would, **extra: Any) -> HostPlan:
    making = Making([(0, play)], KEY)
    through(play, making, answer, **extra)
    return making.part()


def titles(batches: list[Batch]) -> list[str]:
    return [item.title for batch in batches for item in batch.steps]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    return loaded(tmp_path, PLAY)


def error_of(batches: list[Batch], play: Play) -> str:
    assert batches[-1].failed is not None
    return str(batches[-1].failed).replace(str(play.directory), "")


def test_a_plan_holds_steps_actions_and_what_only_apply_can_tell(play: Play) -> None:
    part = made(play)
    told = [(step.title, step.status, bool(step.unknown), step.handler) for step in part.steps]
    assert told == [
        ("Motd", "changed", False, False),
        ("Run", "changed", False, False),
        ("Depends", "skipped", True, False),
        ("Tell too", "skipped", True, True),
        ("Tell", "changed", False, True),
    ]
    assert part.incomplete == "" and part.steps[0].actions[0]["after"] == "hello"
    unknown = Plan("i", "", "", {}, {}, hosts={"a": part, "b": part}).unknown()
    assert [(title, hosts) for (title, _, _), hosts in unknown.items()] == [
        ("Depends", ["a", "b"]),
        ("Tell too", ["a", "b"]),
    ]


def test_a_host_that_fails_is_not_in_the_plan(play: Play) -> None:
    part = made(play, lambda step: {"status": "failed", "error": {"summary": "no room"}} if step.title == "Run" else {})
    assert part.incomplete == "no room"


def test_a_host_that_is_as_planned_is_held_to_every_step(play: Play) -> None:
    part = made(play)
    assert moved("gpu-01", part, made(play), KEY) is None

    def answer(step: PlannedStep) -> Mapping[str, Any]:
        return {**would(step), "fields": {"stdout": "ada"}}

    batches = through(play, Holding([(0, play)], part, KEY, None), answer, check=False)
    assert batches[-1].failed is None
    expected = {item.title: item.step.expected for batch in batches for item in batch.steps}
    assert titles(batches) == ["Motd", "Run", "Depends", "Tell", "Tell too"]
    assert expected["Motd"] == list(part.steps[0].actions)
    assert expected["Depends"] is None and expected["Tell too"] is None and expected["Tell"] is not None


def test_a_host_that_moved_is_refused_before_its_first_step(play: Play, snapshot: SnapshotAssertion) -> None:
    part = made(play)

    def by_hand(step: PlannedStep) -> Mapping[str, Any]:
        if step.title != "Motd":
            return would(step)
        action = {"verb": "change", "target": "/etc/motd", "before": "by hand\n", "after": "hello"}
        return {"status": "changed", "actions": [action]}

    refused = moved("gpu-01", part, made(play, by_hand), KEY)
    batches = through(play, Holding([(0, play)], part, KEY, refused), check=False)
    assert titles(batches) == []
    assert error_of(batches, play).replace("//", "/") == snapshot


def test_a_host_for_which_templates_give_something_else_has_moved(play: Play, snapshot: SnapshotAssertion) -> None:
    refused = moved("gpu-01", made(play), made(play, text="other"), KEY)
    assert str(refused).replace(str(play.directory), "") == snapshot


def test_a_step_that_renders_otherwise_while_applying_stops_the_host(play: Play, snapshot: SnapshotAssertion) -> None:
    batches = through(play, Holding([(0, play)], made(play), KEY, None), check=False, text="other")
    assert titles(batches) == [] and error_of(batches, play) == snapshot


def test_a_step_that_the_plan_has_not_stops_the_host(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    play = loaded(tmp_path, PLAY.replace("      register: said", "      when: more is defined\n      register: said"))
    batches = through(play, Holding([(0, play)], made(play), KEY, None), check=False, more=True)
    assert error_of(batches, play) == snapshot


def test_what_rests_on_earlier_steps_is_expected_without_its_content(play: Play) -> None:
    part = made(play, lambda step: {**would(step), "foretold": step.title == "Motd"})
    first = through(play, Holding([(0, play)], part, KEY, None), check=False)[0].steps[0]
    assert first.step.expected == [{"verb": "create", "target": "/etc/motd"}]


def test_a_step_that_cannot_tell_is_known_after_apply(play: Play) -> None:
    part = made(play, lambda step: {**would(step), "unknown": step.title == "Motd"})
    assert part.steps[0].unknown
    first = through(play, Holding([(0, play)], part, KEY, None), check=False)[0].steps[0]
    assert first.step.expected is None


def test_every_attempt_is_held_to_the_same(tmp_path: Path) -> None:
    play = loaded(
        tmp_path,
        "- hosts: all\n  tasks:\n    - name: Try\n      command: {argv: [id]}\n"
        "      register: said\n      until: said.stdout == 'ada'\n      retries: 3\n      delay: 0\n",
    )
    part = made(play)
    assert len(part.steps) == 1
    count = [0]

    def answer(step: PlannedStep) -> Mapping[str, Any]:
        count[0] += 1
        return {**would(step), "fields": {"stdout": "ada" if count[0] == 3 else ""}}

    batches = through(play, Holding([(0, play)], part, KEY, None), answer, check=False)
    tries = [item for batch in batches for item in batch.steps]
    assert batches[-1].failed is None and len(tries) == 3
    assert all(item.step.expected for item in tries)


def test_no_secret_is_in_a_plan(tmp_path: Path) -> None:
    word = secret("hush-9f2c1e")
    play = loaded(tmp_path, PLAY)
    making = Making([(0, play)], KEY)

    def answer(step: PlannedStep) -> Mapping[str, Any]:
        action = {"verb": "change", "target": "/etc/motd", "before": f"had {word[:]}\n", "after": "x"}
        return {"status": "changed", "actions": [action]}

    through(play, making, answer, text=word)
    text = json.dumps([asdict(step) for step in making.part().steps]) + json.dumps(making.specs)
    assert word[:] not in text and "keyed hash" in text and '"secret"' in text
