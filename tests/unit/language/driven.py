"""A play driven through `next_batch` with answers that a test gives in the place of a host."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provision.agent.protocol import Result
from provision.compile import Batch, HostVariables, PlannedStep, Run, next_batch, start
from provision.inventory import load_inventory
from provision.playbook import Play
from provision.roles import load_playbook
from provision.translate import Translator

Answer = Callable[[PlannedStep], dict[str, Any]]
HOSTS = "all:\n  hosts:\n    gpu-01:\n    gpu-02: {port: 2}\n"


def specify(lock: Any, options: dict[str, Any], variables: Any) -> Any:
    blobs = {"listing_blob": "b" * 64, "conda_blob": "c" * 64, "rattler_blob": "d" * 64}
    return {"root": "/opt/conda", **options, "lock": lock, **blobs}, {"b" * 64: b"[]"}


@dataclass
class Driven:
    """All batches of one host in one play."""

    batches: list[Batch] = field(default_factory=list)

    @property
    def steps(self) -> list[PlannedStep]:
        return [step for batch in self.batches for step in batch.steps]

    @property
    def titles(self) -> list[list[str]]:
        """The titles of the steps of each batch that has some."""
        return [[step.title for step in batch.steps] for batch in self.batches if batch.steps]

    @property
    def verdicts(self) -> list[tuple[str, str, str]]:
        said = [
            item
            for batch in self.batches
            for verdicts in (batch.verdicts, *(step.then for step in batch.steps))
            for item in verdicts
        ]
        return [(item.title, item.result.status, item.message) for item in said]

    def step(self, title: str) -> PlannedStep:
        return next(step for step in self.steps if step.title == title)


def loaded(folder: Path, text: str, files: dict[str, str] | None = None) -> Play:
    """The one play of a playbook's text, with further files beside it."""
    for name, content in {"play.yaml": text, "hosts.yaml": HOSTS, **(files or {})}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return load_playbook(folder / "play.yaml").plays[0]


def driven(
    play: Play,
    answer: Answer = lambda step: {},
    *,
    host: str = "gpu-01",
    pending: tuple[str, ...] = (),
    facts: dict[str, Any] | None = None,
    login_user: str = "",
    gathered: bool = True,
    specified: Callable[..., Any] = specify,
    **options: Any,
) -> Driven:
    """Drive a play to its end. `answer` gives what differs from "ok" in a step's result."""
    folder = play.directory
    locks = {path.resolve(): "a" * 64 for path in folder.rglob("environment.yml")}

    run = Run(load_inventory([folder / "hosts.yaml"]), translator=Translator(locks, specified), **options)
    variables = HostVariables(run, host, facts or {"user": "root"}, ("gpu-01", "gpu-02"), login_user, gathered)
    cursor, results, seen = start(play, pending), {}, Driven()
    for _ in range(100):
        before = copy.deepcopy(cursor.facts)
        batch, after = next_batch(play, cursor, variables, results)
        again, _ = next_batch(play, cursor, variables, results)
        assert [step.step for step in again.steps] == [step.step for step in batch.steps]
        assert cursor.facts == before
        seen.batches.append(batch)
        if batch.done:
            return seen
        assert not (batch.barrier and batch.steps)
        results = answered(batch, answer)
        cursor = after
    raise AssertionError("the play does not end")


def answered(batch: Batch, answer: Answer) -> dict[int, Result]:
    """The results of a batch; behind a step that failed and stops it, none is run."""
    results: dict[int, Result] = {}
    stopped = False
    for step in batch.steps:
        said = {"status": "skipped"} if stopped else answer(step)
        result = Result(**{"step": step.step.id, "status": "ok", **said})
        results[step.step.id] = result
        stopped = stopped or (result.status == "failed" and step.step.on_failure == "stop")
    return results
