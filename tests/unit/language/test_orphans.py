"""What provision made and the playbook no longer names, told behind the plays of a host."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from driven import loaded
from syrupy.assertion import SnapshotAssertion

from provision.agent.protocol import Result
from provision.apply import apply
from provision.compile import HostVariables, PlannedStep, Run, start
from provision.errors import ProvisionError
from provision.events import Event, OrphansFound, RunEnded
from provision.inventory import load_inventory
from provision.options import Shown, What, Where
from provision.orphans import Orphan, Orphans
from provision.prune import Telling, _spec, said

BOOK = "shop/playbooks/site.yaml"


def path(name: str, kind: str = "file", **more: Any) -> dict[str, Any]:
    sha256 = {"sha256": "12"} if kind == "file" else {}
    return {"path": name, "kind": kind, "resource": "file", "step": "Made", "playbook": BOOK, **sha256, **more}


def looked(folder: Path, tasks: str, made: Mapping[str, Any], answer: Mapping[str, Any] | None = None) -> Orphans:
    """A host that went through a play and was asked what was made there."""
    play = loaded(folder, f"- hosts: all\n  tasks:\n{tasks}")
    look = Orphans([play], BOOK)
    variables = HostVariables(Run(load_inventory([folder / "hosts.yaml"]), check=True), "gpu-01", {"user": "root"})
    results: dict[int, Result] = {}
    cursor = start(play)
    for _ in range(20):
        batch, cursor = look(play, cursor, variables, results)
        if batch.done or batch.failed:
            return look
        results = {item.step.id: result(item, made, answer or {}) for item in batch.steps}
    raise AssertionError("the play does not end")


def result(item: PlannedStep, made: Mapping[str, Any], answer: Mapping[str, Any]) -> Result:
    if item.step.resource == "verify_made":
        assert item.step.check
        return Result(item.step.id, "ok", fields=dict(made))
    return Result(**{"step": item.step.id, "status": "ok", **answer})


KEPT = "    - {name: Kept, copy: {dest: /etc/kept, content: x}}\n"


def test_what_no_task_names_is_an_orphan_and_what_lies_in_it_comes_first(tmp_path: Path) -> None:
    made = {"paths": [path("/etc/kept"), path("/opt/old", "directory"), path("/opt/old/a"), path("/opt/link", "link")]}
    assert looked(tmp_path, KEPT, made).found() == [
        Orphan("file", "/opt/old/a", "Made", "12"),
        Orphan("link", "/opt/link", "Made"),
        Orphan("directory", "/opt/old", "Made"),
    ]


def test_apps_environments_and_crontabs(tmp_path: Path) -> None:
    tasks = "    - {app: {name: kept, state: stopped}}\n    - {cron: {name: kept, job: x, user: ada}}\n"
    made = {
        "apps": [{"name": "kept", "playbook": BOOK}, {"name": "old", "playbook": BOOK}],
        "environments": [{"root": "/opt/conda", "name": "old", "playbook": BOOK}],
        "crontab": [
            {"name": "kept", "user": "ada", "playbook": BOOK},
            {"name": "kept", "user": "bob", "playbook": BOOK},
        ],
    }
    found = looked(tmp_path, tasks, made).found()
    assert [(each.kind, each.what) for each in found] == [
        ("app", "old"),
        ("environment", "/opt/conda/envs/old"),
        ("crontab", "kept"),
    ]
    assert _spec(found) == {
        "apps": ["old"],
        "environments": ["/opt/conda/envs/old"],
        "crontab": [{"name": "kept", "user": "bob"}],
    }


def test_another_playbooks_things_are_no_orphans_and_nobodys_stay(tmp_path: Path) -> None:
    made = {"paths": [path("/etc/a", playbook="shop/playbooks/other.yaml"), path("/etc/b", playbook="")]}
    look = looked(tmp_path, KEPT, made)
    assert [(each.what, each.stays) for each in look.found()] == [("/etc/b", "it is not known which playbook made it")]
    assert list(said({"gpu-01": look})) == [
        'orphan: file /etc/b, made by "Made"; it stays: it is not known which playbook made it  (gpu-01)'
    ]


@pytest.mark.parametrize(
    "task",
    [
        "{name: Not, copy: {dest: /etc/a, content: x}, when: false}",
        "{name: Not, copy: {dest: '/etc/{{ item }}', content: x}, loop: [a, b], when: item == 'c'}",
        "{name: Not, template: {dest: /etc/a, src: x.j2}, when: false}",
        "{name: Not, file: {path: /etc/a/b, state: touch}, when: false}",
    ],
)
def test_what_a_skipped_task_names_is_no_orphan(tmp_path: Path, task: str) -> None:
    (tmp_path / "x.j2").touch()
    assert looked(tmp_path, f"    - {task}\n", {"paths": [path("/etc/a")]}).found() == []


@pytest.mark.parametrize(
    "task",
    [
        "    - {name: Not, copy: {dest: '/etc/{{ said.stdout }}', content: x}, when: false}\n",
        "    - {name: Not, include_tasks: '{{ said.stdout }}.yaml', when: false}\n",
    ],
)
def test_where_it_cannot_be_told_what_a_task_names_nothing_is_judged(tmp_path: Path, task: str) -> None:
    first = "    - {name: Say, command: {argv: [id]}, register: said}\n"
    look = looked(tmp_path, first + task, {"paths": [path("/etc/a")]}, {"status": "changed"})
    assert look.found() == [] and 'task "Not"' in look.unclear
    (line,) = said({"gpu-01": look})
    assert line.startswith("orphans are not judged: ")


def test_a_host_that_failed_is_not_judged(tmp_path: Path) -> None:
    look = looked(tmp_path, KEPT, {"paths": [path("/etc/a")]}, {"status": "failed", "error": {"summary": "no"}})
    assert look.found() == [] and look.unclear == "it did not come to its end"


def test_equal_lines_are_said_once(tmp_path: Path) -> None:
    look = looked(tmp_path, KEPT, {"paths": [path("/etc/a")]})
    assert list(said({"gpu-01": look, "gpu-02": look})) == ['orphan: file /etc/a, made by "Made"  (all 2 hosts)']


class _Heard:
    """A report that keeps its events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def add(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None:
        pass


def test_reports_hear_of_orphans_right_before_the_end(tmp_path: Path) -> None:
    heard = _Heard()
    failed = looked(tmp_path, KEPT, {}, {"status": "failed", "error": {"summary": "no"}})
    looks = {"gpu-01": looked(tmp_path, KEPT, {"paths": [path("/etc/a")]}), "gpu-02": failed}
    Telling(heard, looks).add(RunEnded(1.0))
    orphan = {"kind": "file", "what": "/etc/a", "made_by": "Made", "stays": ""}
    assert heard.events == [
        OrphansFound("gpu-01", (orphan,)),
        OrphansFound("gpu-02", (), "it did not come to its end"),
        RunEnded(1.0),
    ]


def test_prune_refuses_a_part_of_a_playbook(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    (tmp_path / "site.yaml").write_text(
        "- hosts: all\n  tasks:\n    - {name: One, command: {argv: [id]}, tags: some}\n"
    )
    (tmp_path / "hosts.yaml").write_text("all: {hosts: {gpu-01: {}}}\n")
    where = Where(inventory=[tmp_path / "hosts.yaml"])
    with pytest.raises(ProvisionError) as refused:
        apply(
            tmp_path / "site.yaml",
            check=False,
            yes=True,
            what=What(tags=["some"]),
            where=where,
            shown=Shown(),
            prune=True,
        )
    assert str(refused.value) == snapshot
