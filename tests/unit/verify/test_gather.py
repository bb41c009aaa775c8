"""One host through its looks, with answers that a test gives in the place of a host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provision.agent.protocol import Result
from provision.agent.resources import load
from provision.compile import HostVariables, PlannedStep, Run, start
from provision.errors import ProvisionError
from provision.inventory import load_inventory
from provision.roles import load_playbook
from provision.translate import Translator
from provision.verify.gather import Gatherer
from provision.verify.ladder import Finding
from provision.verify.probes import Depth

Answer = Callable[[PlannedStep], dict[str, Any]]
HOSTS = 'all:\n  vars: {gpus: {count: 8, kind: "A100"}}\n  hosts:\n    gpu-01:\n'
LOCK = "a" * 64
PLAY = """
- hosts: all
  become: true
  tasks:
    - {name: Sources, file: {path: /srv/web, state: directory}}
    - {name: Built, conda_env: {file: environment.yml}}
    - {name: Shared, link: {path: /srv/web/assets, target: /data/assets}}
    - {name: Configured, copy: {dest: /etc/web.conf, content: "port 80"}, notify: Told}
    - name: Serving
      app:
        {name: web, environment: own, directory: /srv/web, command: [python, web.py], port: 80, user: video,
         data: [/data], secrets: {TOKEN: hidden}}
  handlers:
    - {name: Told, command: {argv: [logger, changed]}}
"""
CHANGE = {"verb": "change", "target": "/etc/web.conf", "before": "port 81\n", "after": "port 80\n"}


def specify(lock: Any, options: dict[str, Any], variables: Any) -> Any:
    blobs = {"listing_blob": "b" * 64, "conda_blob": "c" * 64, "rattler_blob": "d" * 64}
    more = {"imports": ["torch"], "expect": {"torch": "2.0.1"}, "floor": {"driver": "450.80.02"}}
    return {"root": "/opt/conda", **options, **more, "lock": lock, **blobs}, {"b" * 64: b"[]"}


class Looked:
    """A host looked at: the steps of each batch, and what was found."""

    def __init__(self, folder: Path, answer: Answer, *, play: str = PLAY, **more: Any) -> None:
        (folder / "play.yaml").write_text(play)
        (folder / "hosts.yaml").write_text(more.pop("hosts", HOSTS))
        (folder / "environment.yml").write_text("name: own\n")
        locks = {(folder / "environment.yml").resolve(): LOCK}
        run = Run(load_inventory([folder / "hosts.yaml"]), translator=Translator(locks, specify), check=True)
        self.gatherer = Gatherer(
            "gpu-01", "play.yaml", "provision apply play.yaml -l gpu-01", more.pop("depth", Depth())
        )
        self.batches: list[list[PlannedStep]] = []
        self.forgotten: list[str] = []
        for loaded in load_playbook(folder / "play.yaml").plays:
            self.drive(
                loaded, HostVariables(run, "gpu-01", {"user": "root"}, ("gpu-01",)), answer, more.get("pending", ())
            )

    def drive(self, play: Any, variables: HostVariables, answer: Answer, pending: tuple[str, ...]) -> None:
        cursor, results = start(play, first_id=1 + sum(map(len, self.batches))), {}
        for _ in range(50):
            batch, cursor = self.gatherer(play, cursor, variables, results, pending)
            pending = ()
            self.forgotten += batch.forget
            assert batch.failed is None
            if batch.steps:
                self.batches.append(list(batch.steps))
            if batch.done:
                return
            results = {
                each.step.id: Result(**{"step": each.step.id, "status": "ok", **answer(each)}) for each in batch.steps
            }
        raise AssertionError("the looks do not end")

    @property
    def steps(self) -> list[PlannedStep]:
        return [step for batch in self.batches for step in batch]

    def spec(self, resource: str) -> dict[str, Any]:
        (found,) = [step.step.spec for step in self.steps if step.step.resource == resource]
        return found

    def told(self, *statuses: str) -> list[Finding]:
        wanted = statuses or ("failed", "warning", "skipped")
        return [each for each in self.gatherer.findings() if each.status in wanted]


def right(step: PlannedStep) -> dict[str, Any]:
    return {"fields": {"findings": []}}


def differing(*resources: str, **result: Any) -> Answer:
    def answer(step: PlannedStep) -> dict[str, Any]:
        named = step.step.resource in resources and not step.handler
        return {"status": "changed", "actions": [CHANGE], **result} if named else right(step)

    return answer


def finding(rung: str, **more: Any) -> dict[str, Any]:
    told = {"rung": rung, "check": f"{rung}.check", "status": "failed", "summary": "broken", "mend": "provision apply"}
    return {"fields": {"findings": [{**told, **more}]}}


def test_the_lower_rungs_come_first_and_each_app_behind_its_step(tmp_path: Path) -> None:
    looked = Looked(tmp_path, right)
    assert [[step.step.resource for step in batch] for batch in looked.batches] == [
        [
            "verify_system",
            "verify_driver",
            "verify_environment",
            "verify_imports",
            "verify_compute",
            "verify_shared_data",
            "verify_made",
        ],
        ["file", "conda_env", "link", "file", "app", "conda_flip", "verify_app"],
        ["app_settled"],
    ]
    assert looked.told() == []
    assert [each.summary for each in looked.told("ok")] == ["7 steps are as the playbook says"]


def test_every_spec_is_one_that_the_host_takes(tmp_path: Path) -> None:
    looked = Looked(tmp_path, right)
    for step in looked.steps:
        if step.step.resource.startswith("verify_"):
            load(step.step.resource).Spec(**step.step.spec)
    assert looked.spec("verify_driver")["count"] == 8
    assert looked.spec("verify_driver")["floors"] == {"own": {"driver": "450.80.02"}}
    assert looked.spec("verify_environment")["users"] == ["video"]
    assert looked.spec("verify_shared_data")["links"] == {"/srv/web/assets": "/data/assets"}
    assert looked.spec("verify_shared_data")["writable"] == {"/data/assets": ["video"]}
    assert looked.spec("verify_imports")["user"] == looked.spec("verify_compute")["user"] == "video"


def test_nothing_that_is_sent_can_act(tmp_path: Path) -> None:
    play = PLAY.replace("  handlers:", "    - {name: Always, command: {argv: [sync]}, check_mode: false}\n  handlers:")
    looked = Looked(tmp_path, differing("file", "command"), play=play, pending=("left",))
    assert all(step.step.check and step.step.on_failure == "continue" for step in looked.steps)
    assert not any(step.step.notify or step.step.clears for step in looked.steps)
    assert looked.forgotten == []
    assert len({step.step.id for step in looked.steps}) == len(looked.steps)


def test_an_app_with_secrets_is_looked_at_by_a_sensitive_step(tmp_path: Path) -> None:
    looked = Looked(tmp_path, right)
    (app,) = [step for step in looked.steps if step.step.resource == "verify_app"]
    assert app.step.sensitive
    assert app.no_log


def test_behind_a_broken_lower_rung_nothing_more_is_sent(tmp_path: Path) -> None:
    looked = Looked(tmp_path, lambda step: finding("system") if step.step.resource == "verify_system" else right(step))
    assert len(looked.batches) == 1
    (told,) = looked.told()
    assert (told.rung, told.mend) == ("system", "provision apply play.yaml -l gpu-01")
    assert looked.told("ok") == []


def test_drift_has_its_place_its_difference_and_its_mend(tmp_path: Path) -> None:
    looked = Looked(tmp_path, lambda step: differing("file")(step) if step.title == "Configured" else right(step))
    (told,) = looked.told()
    assert (told.rung, told.check, told.subject) == ("configuration", "configuration.file", "/etc/web.conf")
    assert told.summary == "`/etc/web.conf` is not as the playbook says"
    assert told.detail["differs"] == ["-port 81", "+port 80"]
    assert str(told.detail["where"]).startswith(str(tmp_path / "play.yaml:8:"))
    assert told.mend == "provision apply play.yaml -l gpu-01"


@pytest.mark.parametrize(
    ("resource", "rung"),
    [("conda_env", "environments"), ("conda_flip", "environments"), ("link", "shared_data"), ("app", "apps")],
)
def test_drift_belongs_to_the_rung_of_its_resource(tmp_path: Path, resource: str, rung: str) -> None:
    assert [each.rung for each in Looked(tmp_path, differing(resource)).told()] == [rung]


def test_a_failed_step_is_a_finding_and_the_rest_is_looked_at(tmp_path: Path) -> None:
    error = {"summary": "cannot link `/srv/web/assets`", "cause": "a directory", "hint": "move it"}
    looked = Looked(tmp_path, differing("link", status="failed", actions=[], error=error))
    (told,) = looked.told()
    assert (told.rung, told.summary, told.mend) == ("shared_data", "cannot link `/srv/web/assets`", "move it")
    assert [batch[-1].step.resource for batch in looked.batches[-2:]] == ["verify_app", "app_settled"]


def test_a_failure_that_the_task_ignores_is_a_warning(tmp_path: Path) -> None:
    play = PLAY.replace("notify: Told", "ignore_errors: true")
    looked = Looked(
        tmp_path, lambda step: {"status": "failed"} if step.title == "Configured" else right(step), play=play
    )
    assert [each.status for each in looked.told()] == ["warning"]


def test_an_act_is_not_checkable_and_never_right(tmp_path: Path) -> None:
    play = "- {hosts: all, tasks: [{name: Tuned, command: {argv: [tune]}}]}\n"
    act = {"verb": "run", "target": "tune", "before": None, "after": None}
    looked = Looked(tmp_path, differing("command", actions=[act]), play=play)
    (told,) = looked.told()
    assert (told.status, told.summary) == ("skipped", "`Tuned` is not checkable: apply would run")
    assert looked.told("ok") == []


def test_changed_when_is_heeded(tmp_path: Path) -> None:
    play = "- {hosts: all, tasks: [{name: Asked, shell: ask, changed_when: false}]}\n"
    act = {"verb": "run", "target": "ask", "before": None, "after": None}
    assert Looked(tmp_path, differing("shell", actions=[act]), play=play).told() == []


def test_a_play_that_cannot_go_on_is_a_finding_with_its_place(tmp_path: Path) -> None:
    play = "- {hosts: all, tasks: [{name: Big enough, assert: {that: [1 > 2]}}]}\n"
    (told,) = Looked(tmp_path, right, play=play).told()
    assert (told.rung, told.check) == ("configuration", "configuration.play")
    assert "play.yaml:1" in str(told.detail["where"])


def test_pending_handlers_are_told_and_not_run(tmp_path: Path) -> None:
    looked = Looked(tmp_path, right, pending=("a", "b"))
    (told,) = looked.told()
    assert (told.status, told.check) == ("warning", "configuration.handlers")
    assert not any(step.handler for step in looked.steps)


def test_a_look_that_fails_is_no_proof(tmp_path: Path) -> None:
    error = {"summary": "it broke", "cause": "", "hint": ""}
    looked = Looked(tmp_path, differing("verify_environment", status="failed", actions=[], error=error))
    (told,) = looked.told()
    assert (told.rung, told.status) == ("environments", "failed")
    assert told.summary == "environment own could not be looked at: it broke"


def test_drift_of_a_file_tells_since_when_and_who_and_which_run_made_it(tmp_path: Path) -> None:
    def answer(step: PlannedStep) -> dict[str, Any]:
        if step.step.resource == "verify_traces":
            assert step.step.spec == {"paths": ["/etc/web.conf"]}
            traces = {"/etc/web.conf": {"since": 12.5, "by": ["root"], "made": {"run": "r1"}}}
            return {"fields": {"traces": traces}}
        return differing("file")(step) if step.title == "Configured" else right(step)

    looked = Looked(tmp_path, answer)
    (told,) = looked.told()
    assert (told.since, told.detail["by"], told.detail["made"]) == (12.5, ["root"], {"run": "r1"})
    assert [step.step.resource for step in looked.batches[-1]] == ["verify_traces"]


def test_a_command_that_mends_an_app_names_inventory_and_host(tmp_path: Path) -> None:
    mend = "see `provision app logs web`, then `provision app restart web`"
    told = finding("apps", mend=mend)
    looked = Looked(tmp_path, lambda step: told if step.step.resource == "verify_app" else right(step))
    (app,) = looked.told()
    assert app.mend == "see `provision app logs web -l gpu-01`, then `provision app restart web -l gpu-01`"


def made(step: PlannedStep) -> dict[str, Any]:
    if step.step.resource != "verify_made":
        return right(step)
    paths = [
        {"path": path, "since": 9, "step": "Old"} for path in ("/srv/web/x", "/etc/old", "/etc/old/a", "/etc/web.conf")
    ]
    environments = [{"root": "/opt/conda", "name": name, "since": 5} for name in ("own", "older")]
    apps = [{"name": name, "since": 7} for name in ("web", "left")]
    return {"fields": {"environments": environments, "apps": apps, "paths": paths}}


def test_what_no_play_names_is_an_orphan_and_only_a_warning(tmp_path: Path) -> None:
    told = Looked(tmp_path, made).told()
    assert {(each.status, each.check, each.subject, each.since) for each in told} == {
        ("warning", "environments.orphan", "older", 5.0),
        ("warning", "apps.orphan", "left", 7.0),
        ("warning", "configuration.orphan", "", 9.0),
    }
    (paths,) = [each for each in told if each.rung == "configuration"]
    assert paths.detail["paths"] == ["/etc/old"]


def test_what_is_taken_away_by_name_is_no_orphan(tmp_path: Path) -> None:
    gone = "    - {app: {name: left, state: absent}}\n    - {conda_env: {name: older, state: absent}}\n  handlers:"
    told = Looked(tmp_path, made, play=PLAY.replace("  handlers:", gone)).told()
    assert {each.check for each in told} == {"configuration.orphan"}


def test_orphans_are_not_judged_where_the_play_was_not_gone_through(tmp_path: Path) -> None:
    looked = Looked(tmp_path, lambda step: finding("driver") if step.step.resource == "verify_driver" else made(step))
    assert {each.rung for each in looked.told()} == {"driver"}


def test_a_second_play_adds_only_what_is_new(tmp_path: Path) -> None:
    second = "- {hosts: all, tasks: [{link: {path: /srv/more, target: /data/more}}]}\n"
    looked = Looked(tmp_path, right, play=PLAY + second)
    assert [[step.step.resource for step in batch] for batch in looked.batches[3:]] == [
        ["verify_shared_data"],
        ["link"],
    ]


@pytest.mark.parametrize("gpus", ["8", "{count: eight}", "{cards: 8}", "{count: true}"])
def test_wrong_expected_gpus_are_named(tmp_path: Path, gpus: str) -> None:
    with pytest.raises(ProvisionError, match="the variable `gpus` of `gpu-01` cannot be used"):
        Looked(tmp_path, right, hosts=HOSTS.replace('{count: 8, kind: "A100"}', gpus))


def test_deep_and_busy_reach_the_looks(tmp_path: Path) -> None:
    looked = Looked(tmp_path, right, depth=Depth(deep=True, busy=True))
    assert all(looked.spec(name)["deep"] for name in ("verify_driver", "verify_environment", "verify_imports"))
    assert looked.spec("verify_compute")["busy"]
    assert replace(Depth(), deep=True).busy is False
