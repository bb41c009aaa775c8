"""What a step would do, held against what a saved plan says; and whether a check rests on earlier steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent_parts import Agent

from provision.agent.expected import against, differences
from provision.agent.pending import Pending, rested
from provision.agent.protocol import Step
from provision.agent.shown import summed_up

KEY = b"k" * 32


def action(
    verb: str = "change", target: str = "/etc/motd", before: str | None = "a\n", after: str | None = "b\n"
) -> Any:
    return {"verb": verb, "target": target, "before": before, "after": after}


def test_what_is_planned_may_be_done_and_less_of_it_too() -> None:
    assert against([action(), action(target="/b")], [action()], KEY) is None
    assert against([], [], KEY) is None


def test_a_content_that_moved_is_told_with_both_sides() -> None:
    refusal = against([action(before="a\n--x\n")], [action(before="by hand\n--x\n")], KEY)
    assert refusal is not None and refusal.summary == "`/etc/motd` is not as the plan says"
    assert refusal.cause.splitlines() == [
        "/etc/motd: planned to change",
        "what is there has changed:",
        "  -a",
        "  +by hand",
    ]


def test_an_action_that_is_not_planned_is_none_to_be_done() -> None:
    refusal = against([action(target="/other")], [action()], KEY)
    assert refusal is not None and "the plan leaves it, and now it would be to change" in refusal.cause


def test_one_planned_action_does_not_stand_for_two() -> None:
    assert against([action()], [action(), action()], KEY) is not None


def test_what_rests_on_earlier_steps_is_held_to_what_and_where_only() -> None:
    loose = {"verb": "create", "target": "/opt/x"}
    assert against([loose], [action("create", "/opt/x", None, "anything\n")], KEY) is None
    assert against([loose], [action("remove", "/opt/x")], KEY) is not None


def test_a_hidden_content_is_compared_by_its_hash() -> None:
    hidden = action(after=summed_up("secret\n", KEY))
    assert against([hidden], [action(after="secret\n")], KEY) is None
    assert against([hidden], [action(after="Secret\n")], KEY) is not None


def test_what_is_planned_and_not_to_be_done_any_more_is_a_difference_when_hosts_are_looked_at() -> None:
    assert differences([action()], [], KEY) == [
        ("/etc/motd", ["/etc/motd: planned to change, and now there is nothing to do"])
    ]


def test_only_who_was_told_of_something_rests_on_it() -> None:
    pending = Pending()
    pending.update(("/opt/x", "user ada"))
    assert "/opt/y" not in pending and not rested(pending)
    assert "/opt/x" in pending and rested(pending) and not rested(pending)
    assert {"user ada", "group ada"} & pending == {"user ada"} and rested(pending)
    assert any("opt" in each for each in pending) and rested(pending)
    assert not rested({"/opt/x"})


def test_a_step_acts_only_as_expected(agent: Agent, tmp_path: Path) -> None:
    path = tmp_path / "conf"
    spec = {"path": str(path), "content": "new\n", "mode": "0644"}
    planned = {"verb": "create", "target": str(path), "before": None, "after": "new\n"}
    path.write_text("by hand\n")
    (refused,) = agent.results(Step(1, "file", spec, expected=[planned]))
    assert refused.status == "failed" and refused.actions == [] and path.read_text() == "by hand\n"
    path.unlink()
    (done,) = agent.results(Step(2, "file", spec, expected=[planned]))
    assert done.status == "changed" and path.read_text() == "new\n"


def test_a_check_says_which_steps_rest_on_earlier_ones(agent: Agent, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    results = agent.results(
        Step(1, "file", {"path": str(folder), "state": "directory"}, check=True),
        Step(2, "file", {"path": str(folder / "x"), "content": "x"}, check=True),
        Step(3, "file", {"path": str(tmp_path / "y"), "content": "y"}, check=True),
    )
    assert [result.foretold for result in results] == [False, True, False]
