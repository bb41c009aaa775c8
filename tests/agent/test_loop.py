"""The converge loop with resources that are a few lines each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from provision.agent import questions, shown, worker
from provision.agent.protocol import FIELD_LIMIT, SHOWN_LIMIT, Output, Result, Started, Step
from provision.agent.resource import Action, Refusal, Verb
from provision.agent.spawn import Cancelled, Watch
from provision.agent.system import System


class Line(Watch):
    """A worker's line that only remembers."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.asked: list[dict[str, Any]] = []
        self.finishing: list[str] = []
        self.cancel_after: int | None = None

    def event(self, event: Any) -> None:
        self.events.append(event)

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(question)
        return {}

    def action(self, must_finish: str) -> None:
        self.finishing.append(must_finish)

    def cancelled(self) -> bool:
        return self.cancel_after is not None and len(self.finishing) > self.cancel_after

    def stopping(self) -> bool:
        return False


@dataclass(frozen=True)
class Spec:
    value: str = "wanted"
    others: list[str] = field(default_factory=list)


class Thing:
    """A resource that sets a value; what it does wrong is given."""

    def __init__(self, value: str = "", sticks: bool = True, verb: Verb = Verb.CHANGE, **extra: Any) -> None:
        self.value, self.sticks, self.verb = value, sticks, verb
        self.looks = 0
        self.Spec = Spec
        for name, function in extra.items():
            setattr(self, name, function)

    def observe(self, spec: Spec, system: System) -> str:
        self.looks += 1
        return self.value

    def decide(self, spec: Spec, state: str) -> list[Action]:
        return [] if state == spec.value else [Action(self.verb, "thing", before=state, after=spec.value)]

    def apply(self, action: Action, system: System, emit: Any) -> dict[str, Any]:
        emit(output=f"now {action.after}\n")
        if self.sticks:
            self.value = str(action.after)
        return {"did": action.after}


def run(monkeypatch: pytest.MonkeyPatch, thing: Any, line: Line | None = None, **step: Any) -> Result:
    monkeypatch.setattr(worker, "load", lambda name: thing)
    line = line or Line()
    planned = Step(**{"id": 1, "resource": "thing", "spec": {}, **step})
    return worker._perform(planned, System(blob=str), line, b"key")  # type: ignore[arg-type]


def test_what_is_right_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    thing = Thing("wanted")
    result = run(monkeypatch, thing)
    assert (result.status, result.actions, thing.looks) == ("ok", [], 1)


def test_what_was_done_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    thing, line = Thing("other"), Line()
    result = run(monkeypatch, thing, line)
    assert (result.status, thing.looks) == ("changed", 2)
    assert result.actions == [{"verb": "change", "target": "thing", "before": "other", "after": "wanted"}]
    assert result.fields == {"did": "wanted"}
    assert [type(event) for event in line.events] == [Started, Output]


def test_a_difference_that_stays_fails_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, Thing("other", sticks=False))
    assert result.status == "failed"
    assert result.error == {
        "summary": "`thing` is not as wanted after `change`",
        "cause": "still to change: thing",
        "hint": "look for what changes it back, such as another tool or a service; else `thing` has a fault",
    }
    assert [action["verb"] for action in result.actions] == ["change"]


def test_acts_are_judged_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, Thing("other", sticks=False, verb=Verb.RUN)).status == "changed"


def test_check_mode_does_nothing_and_remembers_what_is_pending(monkeypatch: pytest.MonkeyPatch) -> None:
    thing, system = Thing("other"), System(blob=str)
    monkeypatch.setattr(worker, "load", lambda name: thing)
    step = Step(1, "thing", {}, check=True, notify=["handler"])
    line = Line()
    result = worker._perform(step, system, line, b"key")  # type: ignore[arg-type]
    assert (result.status, thing.value, line.asked) == ("changed", "other", [])
    assert system.pending == {"thing"}


def test_handlers_are_journalled_before_the_first_action_only(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line()
    run(monkeypatch, Thing("wanted"), line, notify=["restart"])
    assert line.asked == []
    run(monkeypatch, Thing("other"), line, notify=["restart"])
    assert line.asked == [{"type": "journal", "step": 1}]


def test_a_refusal_becomes_a_failed_result_with_its_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(spec: Spec, system: System) -> str:
        raise Refusal("cannot do it", "because", "try this", {"rc": 3})

    result = run(monkeypatch, Thing(observe=refuse))
    assert result.status == "failed"
    assert result.error == {"summary": "cannot do it", "cause": "because", "hint": "try this"}
    assert result.fields == {"rc": 3}


def test_what_nobody_foresaw_tells_where_it_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(spec: Spec, system: System) -> str:
        raise ZeroDivisionError("by hand")

    result = run(monkeypatch, Thing(observe=fail))
    assert result.status == "failed" and result.error is not None
    assert result.error["summary"] == "`thing` failed unexpectedly"
    assert result.error["cause"].startswith("ZeroDivisionError: by hand\n") and "in fail" in result.error["cause"]


@pytest.mark.parametrize("spec", [{"unknown": 1}, {"value": 1, "other": 2}])
def test_a_spec_that_does_not_fit_fails(monkeypatch: pytest.MonkeyPatch, spec: dict[str, Any]) -> None:
    result = run(monkeypatch, Thing(), spec=spec)
    assert result.error is not None and result.error["summary"] == "`thing` does not take what the step says"


def test_an_unknown_resource_fails() -> None:
    result = worker._perform(Step(1, "nothing", {}), System(blob=str), Line(), b"key")  # type: ignore[arg-type]
    assert result.error is not None and result.error["summary"] == "this agent has no resource `nothing`"


def test_probes_gate_a_change_and_are_left_out_of_a_plan_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    probed: list[str] = []

    def probe(spec: Spec, state: str, system: System, emit: Any) -> None:
        probed.append(state)
        raise Refusal("it does not answer")

    assert run(monkeypatch, Thing("other", probe=probe)).status == "failed"
    assert run(monkeypatch, Thing("wanted", probe=probe), check=True).status == "failed"
    assert run(monkeypatch, Thing("other", probe=probe), check=True).status == "changed"
    assert probed == ["wanted", "wanted"]


def test_fields_of_the_last_state_are_registered_and_say_simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, Thing("other", fields=lambda spec, state: {"state": state, "simulated": True}))
    assert result.fields == {"did": "wanted", "state": "wanted", "simulated": True}
    assert result.simulated


def test_a_cancel_is_heeded_between_two_actions(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line()
    line.cancel_after = 2
    thing = Thing(decide=lambda spec, state: [Action(Verb.RUN, "one"), Action(Verb.RUN, "two")])
    result = run(monkeypatch, thing, line)
    assert result.error is not None and result.error["summary"] == "cancelled"
    assert [action["target"] for action in result.actions] == ["one"]


def test_an_action_that_must_finish_is_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    def decide(spec: Spec, state: str) -> list[Action]:
        return [] if state == "wanted" else [Action(Verb.INSTALL, "nginx", after="wanted", must_finish=True)]

    line = Line()
    run(monkeypatch, Thing("other", decide=decide), line)
    assert line.finishing == ["", "install nginx", ""]


def test_questions_are_asked_together_and_forgotten_after_an_action(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[tuple[str, str]]] = []

    def answer(system: System, wanted: list[tuple[str, str]]) -> None:
        asked.append(list(wanted))
        system.answers.update(dict.fromkeys(wanted, "known"))

    thing = Thing("", questions=lambda spec: [("unit", spec.value)])
    monkeypatch.setattr(worker, "load", lambda name: thing)
    monkeypatch.setattr(questions, "answer", answer)
    steps = [Step(number, "thing", {"value": value}) for number, value in enumerate(["", "", "b", "b"])]
    assert worker._run_all(steps, System(blob=str), Line(), b"") == (False, False)  # type: ignore[arg-type]
    assert asked == [[("unit", ""), ("unit", ""), ("unit", "b"), ("unit", "b")], [("unit", "b")]]


def test_a_failed_step_stops_the_rest_unless_it_says_continue(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(spec: Spec, system: System) -> str:
        raise Refusal("no")

    monkeypatch.setattr(worker, "load", lambda name: Thing(observe=refuse))
    cases = {"stop stop": (1, True), "continue continue": (2, False), "later later stop stop": (3, True)}
    for said, (count, stopped) in {**cases, "later continue stop": (2, True)}.items():
        line = Line()
        steps = [Step(number, "thing", {}, on_failure=on_failure) for number, on_failure in enumerate(said.split())]
        outcome = worker._run_all(steps, System(blob=str), line, b"")  # type: ignore[arg-type]
        assert (outcome[0], len([event for event in line.events if isinstance(event, Result)])) == (stopped, count)


def test_sensitive_steps_show_lengths_and_keyed_hashes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line()
    result = run(monkeypatch, Thing("old secret"), line, sensitive=True, spec={"value": "hunter2000"})
    shown_action = result.actions[0]
    assert "secret" not in str(shown_action) and "hunter" not in str(shown_action)
    assert shown_action["after"] == shown.summed_up("hunter2000", b"key") != shown.summed_up("hunter2000", b"other")
    assert shown_action["after"].startswith("<10 bytes, keyed hash ")
    assert not [event for event in line.events if isinstance(event, Output)]


def test_errors_of_sensitive_steps_hold_no_word_of_the_spec(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(spec: Spec, system: System) -> str:
        raise Refusal("cannot use it", "line 3: TOKEN=hunter2000 is wrong in /etc/app", "see hunter2000")

    result = run(monkeypatch, Thing(observe=refuse), sensitive=True, spec={"value": "A=1\nTOKEN=hunter2000\n"})
    assert result.error is not None and "hunter" not in str(result.error)
    assert "/etc/app" in result.error["cause"]


@pytest.mark.parametrize("text", ["\0binary", "x" * (SHOWN_LIMIT + 1), "\udc80"])
def test_large_and_binary_content_is_shown_as_size_and_hash(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    result = run(monkeypatch, Thing(text))
    assert result.actions[0]["before"].startswith("<") and "sha256" in result.actions[0]["before"]


def test_fields_are_cut_and_named() -> None:
    fields, cut = shown.cut({"stdout": "x" * (FIELD_LIMIT * 2), "lines": ["y" * 100] * 20000, "rc": 0})
    assert cut == ["lines", "stdout"]
    assert shown._size(fields["stdout"]) <= FIELD_LIMIT and shown._size(fields["lines"]) <= FIELD_LIMIT
    assert fields["rc"] == 0
    assert sum(shown._size(value) for value in fields.values()) <= shown._RESULT_LIMIT


def test_progress_is_passed_on_a_few_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    def apply(action: Action, system: System, emit: Any) -> dict[str, Any]:
        for number in range(1000):
            emit(done=number + 1, total=1000, unit="packages", label="torch")
        return {}

    line = Line()
    run(monkeypatch, Thing("other", verb=Verb.RUN, sticks=False, apply=apply), line)
    progress = [event for event in line.events if not isinstance(event, Started)]
    assert 1 <= len(progress) < 20 and progress[-1].done == 1000


def test_a_cancel_inside_an_action_is_no_fault_of_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    def apply(action: Action, system: System, emit: Any) -> dict[str, Any]:
        raise Cancelled

    result = run(monkeypatch, Thing("other", apply=apply))
    assert result.error is not None and result.error["summary"] == "cancelled"


@pytest.mark.parametrize(("spec", "simulated"), [({"simulated": True}, True), ({}, False)])
def test_a_step_that_rests_on_stand_ins_says_so_even_when_it_fails(
    monkeypatch: pytest.MonkeyPatch, spec: dict[str, bool], simulated: bool
) -> None:
    def refuse(spec: Any, system: System) -> str:
        raise Refusal("no")

    module = Thing(observe=refuse)
    module.Spec = dict  # type: ignore[assignment]
    monkeypatch.setattr(worker, "load", lambda name: module)
    line = Line()
    worker._run_all([Step(1, "thing", spec)], System(blob=str), line, b"")  # type: ignore[arg-type]
    (result,) = [event for event in line.events if isinstance(event, Result)]
    assert (result.status, result.simulated) == ("failed", simulated)
