"""Loops, registered results, options from elsewhere, variables of files: cases as data, in `loops.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from driven import driven, loaded

from provision.compile import PlannedStep
from provision.errors import ProvisionError
from provision.inventory import load_inventory
from provision.prompted import answered
from provision.scopes import Run
from provision.source import plain
from provision.task_listing import hosts_of, tags_of, tasks_of

CASES = yaml.safe_load(Path(__file__).with_name("loops.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"].replace(" ", "-"))
def test_loops(tmp_path: Path, case: dict[str, Any]) -> None:
    def answer(step: PlannedStep) -> dict[str, Any]:
        code = case.get("rc", {}).get(step.title, 0)
        return {"status": "failed" if code else "changed", "fields": {"cmd": ["x"], "rc": code}}

    keywords, tasks = (_indented(case.get(part, ""), by) for part, by in (("play", 2), ("tasks", 4)))
    play = loaded(tmp_path, f"- hosts: all\n{keywords}  tasks:\n{tasks}", case.get("files"))
    seen = driven(play, answer)
    known = seen.batches[-1].known or {}
    assert {name: plain(known.get(name)) for name in case.get("known", {})} == case.get("known", {})
    assert seen.titles == case.get("steps", seen.titles)
    assert [step.step.spec for step in seen.steps] == case.get("specs", [step.step.spec for step in seen.steps])
    assert [batch.wait for batch in seen.batches if batch.steps] == case.get("waits", [0.0] * len(seen.titles))
    failed = seen.batches[-1].failed
    assert (failed is not None) == ("failed" in case)
    assert failed is None or case["failed"] in failed.summary


def _indented(text: str, by: int) -> str:
    return "".join(f"{' ' * by}{line}\n" for line in text.splitlines())


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("{debug: {}, with_lines: [ls]}", "`with_lines` is not supported"),
        ("{debug: {}, with_itms: [1]}", "did you mean `with_items`?"),
        ("{debug: {}, with_items: }", "`with_items` has no items"),
        ("{debug: {}, with_items: [1], loop: [1]}", "a task loops once: `with_items` or `loop`"),
        ("{command: a, args: '{{ b }}'}", "`args` is a mapping of options"),
        ("{command: a, args: {nothing: 1}}", "`command` has no option `nothing`"),
        ("{debug: {}, module_defaults: {group/aws: {}}}", "`group/aws` in `module_defaults` is not supported"),
        ("{debug: {}, module_defaults: {fille: {}}}", "did you mean `file`?"),
        ("{debug: {msg: a, var: b}}", "`debug` shows `msg` or `var`, not both"),
    ],
)
def test_refusals(tmp_path: Path, task: str, said: str) -> None:
    with pytest.raises(ProvisionError) as refused:
        loaded(tmp_path, f"- hosts: all\n  tasks:\n    - {task}\n")
    assert said in str(refused.value)


def test_a_host_does_not_say_which_file_is_read(tmp_path: Path) -> None:
    text = "- hosts: all\n  tasks: [{command: x, register: r}, {include_vars: '{{ r.stdout }}'}]\n"
    play = loaded(tmp_path, text, {"secret.yaml": "a: 1\n"})
    seen = driven(play, lambda _: {"fields": {"stdout": "secret.yaml"}})
    assert "a host's values in the name of a file" in str(seen.batches[-1].failed)


IMPORTED = "- import_playbook: inner.yaml\n  vars: {who: outer}\n  tags: outer\n  when: who == 'outer'\n"
INNER = """
- hosts: all
  gather_subset: [min]
  vars: {who: inner}
  vars_prompt:
    - {name: word, prompt: A word, private: false, default: "{{ who }}"}
    - {name: other, confirm: true}
  tasks: [{command: "echo {{ word }} {{ other }}", tags: own, notify: h}]
  handlers: [{name: h, command: x}]
"""


def test_what_stands_beside_an_import_of_a_playbook_is_for_all_in_it(tmp_path: Path) -> None:
    play = loaded(tmp_path, IMPORTED, {"inner.yaml": INNER})
    task, handler = play.tasks
    assert sorted(task.tags) == ["outer", "own"]
    assert [one.expression for one in task.when] == ["who == 'outer'"]
    assert handler.when == ()
    (asked,) = answered([play], {"other": "given"}, None)
    assert driven(asked, extra={"other": "given"}).steps[0].step.spec == {"cmd": "echo outer given"}


def test_what_is_asked_for(tmp_path: Path) -> None:
    told: list[tuple[str, bool]] = []
    lines = iter(["typed", "one", "two", "three", "three"])

    def ask(text: str, shown: bool) -> str:
        told.append((text, shown))
        return next(lines)

    play = loaded(tmp_path, INNER)
    (asked,) = answered([play], {}, ask)
    assert dict(asked.variables[0].values) == {"word": "typed", "other": "three"}
    assert told == [
        ("A word [{{ who }}]: ", True),
        ("other: ", False),
        ("confirm other: ", False),
        ("the two differ, other: ", False),
        ("confirm other: ", False),
    ]
    with pytest.raises(ProvisionError, match="there is no terminal to ask on"):
        answered([play], {}, None)


def test_what_a_playbook_holds_is_listed(tmp_path: Path) -> None:
    tasks = "[{name: a, command: x, tags: [t, s]}, {name: b, command: x, tags: never}, {name: c, command: x}]"
    play = loaded(tmp_path, f"- hosts: all\n  name: web\n  tasks: {tasks}\n")
    run = Run(load_inventory([tmp_path / "hosts.yaml"]))
    assert list(hosts_of([play], [("gpu-01",)])) == ["web (1 host)", "  gpu-01"]
    assert list(tasks_of([play], run)) == ["web", "  a  [s, t]", "  c"]
    assert list(tags_of([play])) == ["web: never, s, t"]


def test_a_role_knows_who_took_it_in(tmp_path: Path) -> None:
    files = {
        "roles/outer/tasks/main.yaml": "- import_role: {name: inner}\n",
        "roles/inner/tasks/main.yaml": '- set_fact: {x: "{{ ansible_parent_role_names }}"}\n',
    }
    seen = driven(loaded(tmp_path, "- hosts: all\n  roles: [outer]\n", files))
    assert (seen.batches[-1].known or {})["x"] == ["outer"]


def test_what_is_kept_back_is_shown_to_those_who_ask(tmp_path: Path) -> None:
    play = loaded(tmp_path, "- hosts: all\n  tasks: [{debug: {msg: hi, verbosity: 2}}]\n")
    assert driven(play, verbosity=2).verdicts == [("debug", "ok", "hi")]
    assert driven(play, verbosity=1).verdicts == [("debug", "skipped", "Verbosity threshold not met.")]
