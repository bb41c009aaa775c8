"""What a host did is told in the order of its play, whenever each part of it became known."""

from __future__ import annotations

from provision.agent.protocol import Result, Step
from provision.events import StepEnded
from provision.outcome import PlannedStep
from provision.telling import Telling


def verdict(title: str, step: int = -1) -> StepEnded:
    return StepEnded("n1", title, None, Result(step, "ok"))


def planned(number: int, *then: str, judged: bool = False, on_failure: str = "stop") -> PlannedStep:
    step = Step(number, "file", {}, on_failure=on_failure)
    return PlannedStep(step, f"step {number}", None, judged=judged, then=tuple(map(verdict, then)))


def told(telling: Telling, *steps: tuple[PlannedStep, str]) -> list[str]:
    return [event.title for item, status in steps for event in telling.result(item, Result(item.step.id, status))]


def test_what_was_decided_between_two_steps_is_told_between_them() -> None:
    telling = Telling("n1")
    assert [event.title for event in telling.batch([verdict("first")])] == ["first"]
    assert told(telling, (planned(1, "between", "still"), "changed")) == ["step 1", "between", "still"]
    assert told(telling, (planned(2), "ok")) == ["step 2"]


def test_nothing_is_told_of_what_follows_a_failure() -> None:
    for on_failure, then in (("stop", []), ("continue", ["after"]), ("later", ["after"])):
        telling = Telling("n1")
        assert told(telling, (planned(1, "after", on_failure=on_failure), "failed")) == ["step 1", *then]


def test_the_rest_of_a_loop_is_told_and_then_nothing() -> None:
    telling = Telling("n1")
    steps = [planned(1, on_failure="later"), planned(2, "of the loop", on_failure="later"), planned(3, "after it")]
    ends = told(telling, (steps[0], "failed"), (steps[1], "ok"), (steps[2], "ok"), (planned(4, "no"), "skipped"))
    assert ends == ["step 1", "step 2", "of the loop", "step 3", "step 4"]


def test_a_verdict_that_is_still_to_come_holds_back_what_follows() -> None:
    telling = Telling("n1")
    assert told(telling, (planned(1), "ok"), (planned(2, "said", judged=True), "changed"), (planned(3), "ok")) == [
        "step 1"
    ]
    came = [event.title for event in telling.batch([verdict("judged 2", 2), verdict("next")])]
    assert came == ["judged 2", "said", "step 3", "next"]
    assert list(telling.rest()) == []


def test_what_is_held_back_is_told_when_no_verdict_comes() -> None:
    telling = Telling("n1")
    assert told(telling, (planned(1, judged=True), "changed"), (planned(2), "ok")) == []
    assert [event.title for event in telling.rest()] == ["step 2"]
