"""`--explain HOST TASK`: whether a task runs and why, and where its values come from; no host is there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from driven import loaded
from syrupy.assertion import SnapshotAssertion

from provision import fact_store
from provision.apply import explain as stage
from provision.errors import ProvisionError
from provision.explain.finding import explained
from provision.explain.parts import Explanation
from provision.explain.text import document, lines
from provision.extra_vars import extra_variables
from provision.inventory import load_inventory
from provision.modules import DIRECTIVES, INCLUDES
from provision.options import Shown, What, Where
from provision.roles import load_playbook
from provision.scopes import Run

FLOW = [
    case
    for case in yaml.safe_load(Path(__file__).with_name("flow.yaml").read_text(encoding="utf-8"))
    if not (case.get("fails") or case.get("failed") or case.get("check") or "fail:" in case["tasks"])
]
HANDLER = "  handlers:\n    - {name: h, command: x}\n"
FACTS = {"os": {"id": "debian", "version": "12"}, "hostname": "gpu-01"}
FILES = {
    "inventory.yaml": """
        all:
          vars: {ansible_become: true, model: small}
          children:
            gpu: {hosts: {gpu-01: {port: 7861}, gpu-02: {}}}
            web: {hosts: {web-01: {}}}
        """,
    "group_vars/gpu.yaml": """
        port: 7000
        workers: 4
        token: hunter2-hunter2
        """,
    "roles/app/defaults/main.yaml": """
        port: 7860
        workers: 1
        address: "{{ inventory_hostname }}:{{ port }}"
        """,
    "roles/app/templates/app.conf.j2": "{{ address }} {{ workers }} {{ title | default('none') }}\n",
    "roles/app/tasks/main.yaml": """
        - name: Version is read
          command: app --version
          register: version
        - name: Name is chosen
          set_fact: {title: "{{ model }} on {{ inventory_hostname }}"}
        - name: It is big
          when: model != 'small'
          block:
            - name: Configuration is written
              template: {src: app.conf.j2, dest: "/etc/app/{{ port }}.conf"}
              when:
                - ansible_distribution == 'Debian'
                - version.rc == 0
              notify: App restarts
        - name: Parts follow
          include_tasks: {file: parts.yaml}
          when: workers > 2
        """,
    "roles/app/tasks/parts.yaml": """
        - name: Worker {{ index }} is there
          file: {path: "/srv/{{ item }}", state: directory}
          loop: [one, two, three]
          loop_control: {index_var: index}
          when: item != 'two'
        """,
    "roles/app/handlers/main.yaml": """
        - name: App restarts
          service: {name: "app-{{ port }}", state: restarted}
        """,
    "play.yaml": """
        - name: Apps
          hosts: gpu
          roles: [{role: app, tags: [app]}]
          tasks:
            - name: User is there
              user: {name: app, password: "{{ token }}"}
            - name: Address is unknown
              command: "echo {{ adress }}"
            - name: Once
              command: "true"
              run_once: true
            - name: Try
              block:
                - {name: Tried, command: "true"}
              rescue:
                - {name: Rescued, command: "true"}
            - {name: Forbidden, command: "true", tags: [never]}
            - {name: Registered for nobody, command: "true", register: skipped, when: model == 'huge'}
            - {name: Result is asked for, command: "true", when: skipped is not skipped}
            - name: Empty
              command: "true"
              loop: []
            - name: Hidden
              command: "echo {{ token }}"
              no_log: true
            - name: Title is told
              debug: {msg: "{{ title }}"}
            - name: Version is told
              debug: {msg: "{{ version.stdout | default('') }}"}
            - {meta: end_host, when: inventory_hostname == 'gpu-02'}
            - {name: Behind, command: "true"}
        """,
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if name.endswith(".j2") else yaml.safe_dump(yaml.safe_load(text), sort_keys=False))
    return tmp_path


def of(
    title: str, host: str = "gpu-01", facts: Mapping[str, Any] | None = FACTS, *extra: str, **chosen: Any
) -> list[Explanation]:
    inventory = load_inventory([Path("inventory.yaml")])
    plays = load_playbook(Path("play.yaml")).plays
    run = Run(inventory, extra=extra_variables(list(extra)), check=True, facts_of={host: facts} if facts else {})
    hosts = [tuple(inventory.select(play.hosts, where=play.where)) for play in plays]
    return explained(plays, hosts, replace(run, **chosen), host, title)


def told(found: list[Explanation]) -> str:
    return "\n".join(str(line) for one in found for line in lines("gpu-01", one))


@pytest.mark.usefixtures("project")
def test_a_realistic_task_is_told_whole(snapshot: SnapshotAssertion) -> None:
    found = of("app : Configuration is written", "gpu-01", FACTS, "workers=8")
    assert found[0].verdict == "not"
    assert told(found) == snapshot


@pytest.mark.usefixtures("project")
def test_what_only_a_run_knows_is_said(snapshot: SnapshotAssertion) -> None:
    (one,) = of("Configuration is written", "gpu-01", None, "model=big")
    assert one.verdict == "depends"
    assert told([one]) == snapshot
    assert document(one)["variables"]["version"]["state"] == "later"


@pytest.mark.usefixtures("project")
def test_a_loop_in_an_include_is_counted() -> None:
    (one,) = of("Worker {{ index }} is there")
    assert (one.verdict, one.items) == ("runs", 3)
    assert one.reasons == ("`item != 'two'` is true for 2 of 3 items",)
    assert [each.kind for each in one.around] == ["play", "role", "include_tasks"]
    assert one.around[2].conditions[0].state == "true"


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("title", "host", "verdict", "reason"),
    [
        ("User is there", "web-01", "not", "the play is for `gpu`, and web-01 is not among them"),
        ("Address is unknown", "gpu-01", "fails", "variable `adress` is undefined, which argument `cmd` needs"),
        ("Once", "gpu-02", "not", "it runs once for all hosts, on `gpu-01`"),
        ("Once", "gpu-01", "runs", ""),
        ("Tried", "gpu-01", "runs", ""),
        ("Rescued", "gpu-01", "depends", "it is in `rescue`, which runs where something in its block fails"),
        ("Forbidden", "gpu-01", "not", "it has the tag `never`, and no `--tags` names it"),
        ("Empty", "gpu-01", "not", "its loop has no items"),
        ("Result is asked for", "gpu-01", "not", "`skipped is not skipped` is false"),
        ("Behind", "gpu-01", "runs", ""),
        ("Behind", "gpu-02", "not", "`meta: end_host` at play.yaml:47:5 comes before it"),
        (
            "App restarts",
            "gpu-01",
            "depends",
            "it is a handler: it runs where one of these changes something: `app : Configuration is written`",
        ),
    ],
)
def test_verdict(title: str, host: str, verdict: str, reason: str) -> None:
    (one,) = of(title, host)
    assert (one.verdict, "".join(one.reasons)) == (verdict, reason)


@pytest.mark.usefixtures("project")
def test_tags_leave_out() -> None:
    (one,) = of("Once", tags=frozenset(("app",)))
    assert one.reasons == ("--tags app leaves it out: it has no tags",)
    (one,) = of("app : Configuration is written", skip_tags=frozenset(("app",)))
    assert one.reasons == ("--skip-tags app leaves it out: it has the tags `app`",)
    (one,) = of("Forbidden", tags=frozenset(("never",)))
    assert one.verdict == "runs"


@pytest.mark.usefixtures("project")
def test_what_earlier_tasks_set_is_followed() -> None:
    (one,) = of("Title is told")
    title = one.names["title"]
    assert (title.value, title.origins[0].label) == ("small on gpu-01", 'set by task "app : Name is chosen"')
    assert set(title.reads) == {"model", "inventory_hostname"}
    (one,) = of("Version is told")
    assert (one.names["version"].state, one.names["version"].why) == ("later", "its task has not run")


@pytest.mark.usefixtures("project")
def test_what_goes_into_a_password_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    for output, title in (("text", "User is there"), ("json", "User is there"), ("text", "Hidden")):
        stage(Path("play.yaml"), ("gpu-01", title), What(), Where(), Shown(output=output), check=True)  # type: ignore[arg-type]
        out = capsys.readouterr().out
        assert "token" in out
        assert "group_vars of `gpu`" in out
        assert "hunter2" not in out


def test_the_document_and_the_age_of_facts(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fact_store.remember(load_inventory([project / "inventory.yaml"]), "gpu-01", FACTS)
    asked = ("gpu-01", "Configuration is written")
    stage(Path("play.yaml"), asked, What(), Where(extra_vars=["model=big"]), Shown(output="json"), check=True)
    found = json.loads(capsys.readouterr().out)
    (task,) = found["tasks"]
    assert [one["value"] for one in task["when"]] == ["true", "later"]
    assert task["variables"]["model"]["from"] == {"layer": "--extra-vars", "where": None}
    assert task["variables"]["ansible_distribution"]["value"] == "Debian"
    assert found["facts_of"] is not None
    stage(Path("play.yaml"), asked, What(), Where(), Shown(), check=True)
    assert "facts of gpu-01 are less than a minute old; no host was contacted" in capsys.readouterr().out


@pytest.mark.parametrize("case", FLOW, ids=lambda case: case["name"].replace(" ", "-"))
def test_what_is_told_is_what_the_engine_does(tmp_path: Path, case: dict[str, Any]) -> None:
    """Where nothing fails: what would run has steps, what would not has none."""
    tasks = "".join(f"    {line}\n" for line in case["tasks"].splitlines())
    handlers = "".join(f"    {line}\n" for line in case.get("handlers", "").splitlines())
    play = loaded(tmp_path, f"- hosts: all\n  tasks:\n{tasks}{HANDLER}{handlers}", case.get("files"))
    steps = {title.partition(" (")[0] for titles in case.get("steps", []) for title in titles}
    run = Run(load_inventory([tmp_path / "hosts.yaml"]), tags=frozenset(case.get("tags", [])))
    for task in play.tasks:
        found = explained([play], [("gpu-01", "gpu-02")], run, "gpu-01", task.title)
        told_apart = len(found) == 1 and "{{" not in task.title
        if told_apart and task.module not in (*DIRECTIVES, *INCLUDES) and found[0].verdict != "depends":
            assert (found[0].title in steps) == (found[0].verdict == "runs"), (task.title, found[0].reasons)


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("host", "title"),
    [("gpu-1", "Once"), ("nowhere", "Once"), ("gpu-01", "Configuration is writen"), ("gpu-01", "Unheard of")],
)
def test_error(host: str, title: str, snapshot: SnapshotAssertion) -> None:
    with pytest.raises(ProvisionError) as caught:
        of(title, host)
    assert str(caught.value) == snapshot


@pytest.mark.usefixtures("project")
def test_other_outputs_are_refused(snapshot: SnapshotAssertion) -> None:
    with pytest.raises(ProvisionError) as caught:
        stage(Path("play.yaml"), ("gpu-01", "Once"), What(), Where(), Shown(output="junit"), check=True)
    assert str(caught.value) == snapshot
