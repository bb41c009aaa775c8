"""Blocks, attempts, includes: cases as data, in `flow.yaml`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from driven import answered, driven, loaded

from provision.compile import HostVariables, PlannedStep, Run, next_batch, start
from provision.inventory import load_inventory
from provision.translate import Translator

CASES = yaml.safe_load(Path(__file__).with_name("flow.yaml").read_text(encoding="utf-8"))
HANDLER = "  handlers:\n    - {name: h, command: x}\n"


class Host:
    """Answers as a case says."""

    def __init__(self, case: dict[str, Any]) -> None:
        self.case = case
        self.asked: dict[str, int] = {}

    def __call__(self, step: PlannedStep) -> dict[str, Any]:
        answers = self.case.get("answers", {}).get(step.title)
        number = self.asked[step.title] = self.asked.get(step.title, 0) + 1
        fields = {"rc": 0, **(answers[min(number, len(answers)) - 1] if answers else {})}
        if step.title in self.case.get("fails", []):
            return {"status": "failed", "fields": fields, "error": {"summary": "`x` failed"}}
        return {"status": "changed" if step.title in self.case.get("changes", []) else "ok", "fields": fields}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"].replace(" ", "-"))
def test_flow(tmp_path: Path, case: dict[str, Any]) -> None:
    tasks = "".join(f"    {line}\n" for line in case["tasks"].splitlines())
    handlers = "".join(f"    {line}\n" for line in case.get("handlers", "").splitlines())
    play = loaded(tmp_path, f"- hosts: all\n  tasks:\n{tasks}{HANDLER}{handlers}", case.get("files"))
    seen = driven(play, Host(case), tags=frozenset(case.get("tags", [])), check=case.get("check", False))
    assert seen.titles == case.get("steps", [])
    if "said" in case:
        said = [f"{title}: {status} {message}".strip() for title, status, message in seen.verdicts]
        assert [line for line in said if not line.startswith("in: ")] == case["said"]
    if "waits" in case:
        assert [batch.wait for batch in seen.batches if batch.steps or batch.wait] == case["waits"]
    if "resets" in case:
        assert [batch.resets for batch in seen.batches if batch.steps] == case["resets"]
    failed = seen.batches[-1].failed
    assert (failed.summary if failed else None) == case.get("failed")


def test_a_failure_counts_where_the_run_ends_before_always(tmp_path: Path) -> None:
    play = loaded(
        tmp_path,
        "- hosts: all\n  tasks:\n    - block: [{name: bad, command: x}]\n      always: [{name: last, command: y}]\n",
    )
    run = Run(load_inventory([tmp_path / "hosts.yaml"]), translator=Translator({}))
    variables = HostVariables(run, "gpu-01", {"user": "root"}, ("gpu-01",))
    batch, cursor = next_batch(play, start(play), variables, {})
    results = answered(batch, Host({"fails": ["bad"]}))
    goes_on, _ = next_batch(play, cursor, variables, results)
    ends, _ = next_batch(play, cursor, replace(variables, halted=True), results)
    assert [step.title for step in goes_on.steps] == ["last"]
    assert ends.failed is not None
    assert ends.failed.summary == "`x` failed"
