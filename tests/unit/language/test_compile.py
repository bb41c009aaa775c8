"""What a host is to do next: batches, handlers, flips, decisions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from driven import driven, loaded, specify

from provision.compile import PlannedStep, handler_id

TAGGED = """
- hosts: all
  tasks:
    - {name: plain, command: a}
    - {name: one, command: a, tags: [one, both]}
    - {name: two, command: a, tags: "two,both"}
    - {name: always, command: a, tags: always}
    - {name: never, command: a, tags: [never, extra]}
"""
HANDLERS = """
- hosts: all
  name: web
  tasks:
    - {name: first, command: a, notify: [restart, both]}
    - {name: second, command: a, notify: restart}
    - {name: third, command: a}
  post_tasks:
    - {name: last, command: a}
  handlers:
    - {name: reload, command: r, listen: both}
    - {name: restart, command: r}
    - {name: unused, command: r}
"""


def changed(*titles: str) -> Any:
    return lambda step: {"status": "changed"} if step.title in titles else {}


def test_what_needs_no_answer_goes_in_one_batch(tmp_path: Path) -> None:
    play = loaded(tmp_path, "- hosts: all\n  tasks:\n    - {name: a, command: x}\n    - {name: b, command: y}\n")
    assert driven(play).titles == [["a", "b"]]


def test_a_batch_ends_before_what_reads_a_result(tmp_path: Path) -> None:
    play = loaded(
        tmp_path,
        """
- hosts: all
  vars: {through: "{{ r.stdout }}"}
  tasks:
    - {name: a, command: x, register: r}
    - {name: b, command: y}
    - {name: c, command: "echo {{ through }}"}
    - {name: d, command: z, when: r is changed}
""",
    )
    seen = driven(play, lambda step: {"fields": {"stdout": "{{ 1 }}"}})
    assert seen.titles == [["a", "b"], ["c"]]
    assert seen.step("c").step.spec == {"cmd": "echo {{ 1 }}"}
    assert ("d", "skipped", "`r is changed` is false") in seen.verdicts


def test_sections_end_with_a_barrier(tmp_path: Path) -> None:
    play = loaded(
        tmp_path,
        "- hosts: all\n  pre_tasks: [{command: a}]\n  tasks: [{command: b}]\n  post_tasks: [{command: c}]\n",
    )
    batches = driven(play).batches
    assert [(len(batch.steps), batch.barrier, batch.done) for batch in batches] == [
        (1, False, False),
        (0, True, False),
        (1, False, False),
        (0, True, False),
        (1, False, False),
        (0, False, True),
    ]


def test_handlers_run_once_in_their_order_at_the_end_of_the_section(tmp_path: Path) -> None:
    seen = driven(loaded(tmp_path, HANDLERS), changed("first", "second"))
    assert seen.titles == [["first", "second", "third"], ["reload", "restart"], ["last"]]
    assert all(step.handler for step in seen.steps if step.title in ("reload", "restart"))


def test_handlers_of_what_did_not_change_do_not_run(tmp_path: Path) -> None:
    assert driven(loaded(tmp_path, HANDLERS)).titles == [["first", "second", "third"], ["last"]]


def test_the_journal_knows_handlers_by_stable_ids(tmp_path: Path) -> None:
    play = loaded(tmp_path, HANDLERS)
    seen = driven(play, changed("first"))
    reload, restart = (handler_id(play, task) for task in play.handlers[:2])
    assert seen.step("first").step.notify == [restart, reload]
    assert seen.step("restart").step.clears == [restart]
    assert [handler_id(loaded(tmp_path, HANDLERS), task) for task in play.handlers[:2]] == [reload, restart]


def test_handlers_that_a_crash_left_run_at_the_end_of_the_first_section(tmp_path: Path) -> None:
    play = loaded(tmp_path, HANDLERS)
    seen = driven(play, pending=("unknown", handler_id(play, play.handlers[2])))
    assert seen.titles == [["first", "second", "third"], ["unused"], ["last"]]


def test_what_is_judged_unchanged_leaves_the_journal(tmp_path: Path) -> None:
    task = "{name: a, command: x, changed_when: false, notify: h}"
    text = f"- hosts: all\n  tasks: [{task}]\n  handlers: [{{name: h, command: y}}]\n"
    play = loaded(tmp_path, text)
    seen = driven(play, changed("a"))
    assert seen.titles == [["a"]]
    assert [name for batch in seen.batches for name in batch.forget] == [handler_id(play, play.handlers[0])]
    assert ("a", "ok", "") in seen.verdicts


def test_a_skipped_handler_leaves_the_journal(tmp_path: Path) -> None:
    text = (
        "- hosts: all\n  tasks: [{name: a, command: x, notify: h}]\n  handlers: [{name: h, command: y, when: false}]\n"
    )
    play = loaded(tmp_path, text)
    seen = driven(play, changed("a"))
    assert [name for batch in seen.batches for name in batch.forget] == [handler_id(play, play.handlers[0])]


def test_flush_handlers(tmp_path: Path) -> None:
    text = """
- hosts: all
  tasks:
    - {name: a, command: x, notify: h}
    - meta: flush_handlers
    - {name: b, command: x}
  handlers: [{name: h, command: y}]
"""
    assert driven(loaded(tmp_path, text), changed("a")).titles == [["a"], ["h", "b"]]


def test_a_handler_may_notify_another(tmp_path: Path) -> None:
    text = """
- hosts: all
  tasks: [{name: a, command: x, notify: h}]
  handlers: [{name: g, command: y}, {name: h, command: y, notify: g}]
"""
    assert driven(loaded(tmp_path, text), changed("a", "h")).titles == [["a"], ["h"], ["g"]]


ENVIRONMENT = {"environment.yml": "name: env\n"}
APP = "environment: '{{ env }}', directory: /x, command: [x]"


def test_the_link_moves_after_the_last_app_of_the_environment(tmp_path: Path) -> None:
    text = f"""
- hosts: all
  vars: {{env: env}}
  environments: [{{name: env, file: environment.yml}}]
  apps:
    - {{name: a, {APP}}}
    - {{name: b, environment: other, directory: /x, command: [x]}}
    - {{name: c, {APP}}}
  tasks: [{{name: t, command: x}}]
"""
    seen = driven(loaded(tmp_path, text, ENVIRONMENT))
    apps = ["App a", "App b", "App c"]
    assert seen.titles == [["Environment env", *apps, "Environment env serves", "t", "Apps stay up"]]
    flip = seen.step("Environment env serves").step
    assert (flip.resource, flip.spec["lock"]) == ("conda_flip", "a" * 64)
    assert seen.step("App a").step.spec["lock"] == "a" * 64
    assert "lock" not in seen.step("App b").step.spec


def test_the_link_moves_at_once_without_apps(tmp_path: Path) -> None:
    text = "- hosts: all\n  environments: [{file: environment.yml}]\n  tasks: [{name: t, command: x}]\n"
    seen = driven(loaded(tmp_path, text, ENVIRONMENT))
    assert [step.step.resource for step in seen.steps] == ["conda_env", "conda_flip", "command"]
    assert seen.steps[0].step.spec["name"] == "env"


def test_a_skipped_app_does_not_hold_the_link(tmp_path: Path) -> None:
    text = f"""
- hosts: all
  vars: {{env: env}}
  environments: [{{name: env, file: environment.yml}}]
  apps: [{{name: a, {APP}, when: false}}]
"""
    seen = driven(loaded(tmp_path, text, ENVIRONMENT))
    assert [step.step.resource for step in seen.steps] == ["conda_env", "conda_flip"]


def test_apps_are_watched_together_at_the_end_of_their_section_behind_its_handlers(tmp_path: Path) -> None:
    text = f"""
- hosts: all
  vars: {{env: env}}
  pre_tasks:
    - {{name: a, app: {{name: a, {APP}}}}}
    - {{name: t, command: x, notify: h}}
    - {{name: b, app: {{name: b, {APP}}}, when: t is defined}}
    - {{name: stopped, app: {{name: c, state: stopped}}}}
  tasks: [{{name: last, command: x}}]
  handlers: [{{name: h, app: {{name: d, {APP}}}}}]
"""
    seen = driven(loaded(tmp_path, text, ENVIRONMENT), changed("t"))
    assert [title for batch in seen.titles for title in batch] == ["a", "t", "stopped", "h", "Apps stay up", "last"]
    wanted = [{"name": name, "environment": "env", "root": "/opt/conda"} for name in ("a", "d")]
    assert seen.step("Apps stay up").step.spec == {"apps": wanted}


@pytest.mark.parametrize(("said", "health", "wanted"), [("'2'", "", 2.0), (3, ", health: {settle: 4}", 4)])
def test_how_long_apps_are_watched_is_a_variable_that_an_app_may_overrule(
    tmp_path: Path, said: object, health: str, wanted: float
) -> None:
    text = f"- {{hosts: all, vars: {{app_settle: {said}, env: e}}, apps: [{{name: a, {APP}{health}}}]}}\n"
    assert driven(loaded(tmp_path, text)).step("App a").step.spec["health"] == {"settle": wanted}


def test_the_link_waits_for_an_app_of_a_later_section(tmp_path: Path) -> None:
    text = f"""
- hosts: all
  vars: {{env: env}}
  pre_tasks: [{{name: e, conda_env: {{name: env}}}}]
  tasks: [{{name: t, command: x}}]
  post_tasks: [{{name: a, app: {{name: a, {APP}}}}}]
"""
    seen = driven(loaded(tmp_path, text, ENVIRONMENT))
    assert [[step.step.resource for step in batch.steps] for batch in seen.batches if batch.steps] == [
        ["conda_env"],
        ["command"],
        ["app", "conda_flip", "app_settled"],
    ]


def test_loops_and_their_results(tmp_path: Path) -> None:
    text = """
- hosts: all
  tasks:
    - name: make {{ thing.name }}
      file: {path: "/{{ thing.name }}", state: directory}
      loop: [{name: a}, {name: b, skip: true}, {name: c}]
      loop_control: {loop_var: thing, index_var: number, label: "{{ number }}"}
      when: thing.skip is not defined
      register: made
    - debug: {msg: "{{ made.results | map(attribute='changed') | list }} {{ made.results[2].thing.name }}"}
"""
    seen = driven(loaded(tmp_path, text), changed("make c (2)"))
    assert seen.titles == [["make a (0)", "make c (2)"]]
    assert seen.verdicts[-1][2] == "[False, False, True] c"


def test_a_failure_ends_the_host(tmp_path: Path) -> None:
    text = "- hosts: all\n  tasks: [{name: a, command: x}]\n  post_tasks: [{name: b, command: x}]\n"
    error = {"summary": "`x` failed", "cause": "no", "hint": "try"}
    seen = driven(loaded(tmp_path, text), lambda step: {"status": "failed", "error": error})
    failed = seen.batches[-1].failed
    assert seen.titles == [["a"]]
    assert failed is not None
    assert (failed.summary, failed.cause, failed.hint, failed.exit_code) == ("`x` failed", "no", "try", 2)
    assert failed.context == 'task "a"'


def test_ignored_failures_go_on(tmp_path: Path) -> None:
    text = """
- hosts: all
  tasks:
    - {name: a, command: x, ignore_errors: true, register: r}
    - debug: {msg: "{{ r.failed }}"}
"""
    seen = driven(loaded(tmp_path, text), lambda step: {"status": "failed", "error": {"summary": "s"}})
    assert seen.step("a").step.on_failure == "continue"
    assert seen.step("a").ignore_errors
    assert seen.verdicts[-1] == ("debug", "ok", "true")
    assert seen.batches[-1].failed is None


@pytest.mark.parametrize(("code", "fails"), [(0, False), (3, False), (4, True)])
def test_failed_when_decides(tmp_path: Path, code: int, fails: bool) -> None:
    text = "- hosts: all\n  tasks: [{name: a, command: x, register: r, failed_when: r.rc > 3}, {name: b, command: y}]\n"
    answer = {"status": "failed" if code else "changed", "fields": {"cmd": ["x"], "rc": code}}
    seen = driven(loaded(tmp_path, text), lambda step: answer if step.title == "a" else {})
    assert seen.step("a").judged
    assert (seen.batches[-1].failed is not None) == fails
    assert seen.titles == ([["a"]] if fails else [["a"], ["b"]])
    assert seen.verdicts[0][1] == ("failed" if fails else "changed")


def test_what_comes_before_an_assertion_runs_before_it_fails(tmp_path: Path) -> None:
    text = "- hosts: all\n  tasks: [{name: a, command: x}, {assert: {that: [1 == 2], fail_msg: no good}}]\n"
    seen = driven(loaded(tmp_path, text))
    assert seen.titles == [["a"]]
    assert seen.batches[-1].failed is not None
    assert seen.batches[-1].failed.summary == "no good"


def test_set_facts_are_values(tmp_path: Path) -> None:
    text = """
- hosts: all
  vars: {base: "{{ 40 + 1 }}", late: "{{ fact }}"}
  tasks:
    - set_fact: {fact: "{{ base + 1 }}", odd: "{{ '{' ~ '{ base }' ~ '}' }}"}
    - debug: {msg: "{{ late }} {{ odd }}"}
"""
    assert driven(loaded(tmp_path, text)).verdicts[-1][2] == "42 {{ base }}"


@pytest.mark.parametrize(
    ("tags", "skip", "titles"),
    [
        ((), (), ["plain", "one", "two", "always"]),
        (("one",), (), ["one", "always"]),
        (("both",), ("two",), ["one", "always"]),
        (("never",), (), ["always", "never"]),
        (("extra",), (), ["always", "never"]),
        (("untagged",), (), ["plain", "always"]),
        (("tagged",), (), ["one", "two", "always"]),
        ((), ("always",), ["plain", "one", "two"]),
        ((), ("tagged",), ["plain"]),
    ],
)
def test_tags(tmp_path: Path, tags: tuple[str, ...], skip: tuple[str, ...], titles: list[str]) -> None:
    seen = driven(loaded(tmp_path, TAGGED), tags=frozenset(tags), skip_tags=frozenset(skip))
    assert seen.titles == [titles]


def test_a_check_says_what_only_apply_can_know(tmp_path: Path) -> None:
    text = """
- hosts: all
  tasks:
    - {name: a, command: x, register: r}
    - {name: b, command: y, when: r.stdout == ''}
    - {name: b, command: z, check_mode: false, register: said}
"""
    seen = driven(loaded(tmp_path, text), changed("a"), check=True)
    assert seen.verdicts[0][:2] == ("b", "skipped")
    assert seen.verdicts[0][2].startswith("known after apply")
    assert [step.step.check for step in seen.steps] == [True, False]


def user(step: PlannedStep) -> str | None:
    return step.step.user


@pytest.mark.parametrize(
    ("login", "agent", "users"),
    [("", "root", [None, None, "app"]), ("ops", "root", ["ops", None, "app"])],
)
def test_users(tmp_path: Path, login: str, agent: str, users: list[str | None]) -> None:
    text = """
- hosts: all
  tasks:
    - {name: a, command: x}
    - {name: b, command: x, become: true}
    - {name: c, command: x, become: true, become_user: app}
"""
    seen = driven(loaded(tmp_path, text), facts={"user": agent}, login_user=login)
    assert [user(step) for step in seen.steps] == users


def test_environment_is_inherited_from_the_outside_inwards(tmp_path: Path) -> None:
    text = """
- hosts: all
  environment: {A: play, B: play, C: play}
  tasks:
    - block: [{name: t, command: x, environment: {C: "{{ 1 + 1 }}"}}]
      environment: {B: block}
"""
    assert driven(loaded(tmp_path, text)).step("t").step.environment == {"A": "play", "B": "block", "C": "2"}


def test_secrets_make_steps_sensitive(tmp_path: Path) -> None:
    text = """
- hosts: all
  vars: {token: s3cret, header: "Bearer {{ token }}"}
  tasks:
    - {name: app, app: {name: a, environment: e, directory: /x, command: [x], secrets: {T: "{{ token }}"}}}
    - {name: file, copy: {content: "{{ header }}", dest: /x}}
    - {name: other, copy: {content: "nothing", dest: /y}}
    - {name: hidden, copy: {content: "nothing", dest: /z}, no_log: true}
"""
    seen = driven(loaded(tmp_path, text))
    assert [step.step.sensitive for step in seen.steps] == [True, True, False, True, False]


def test_roles_see_their_own_defaults_and_parameters(tmp_path: Path) -> None:
    files = {
        "roles/a/defaults/main.yml": "v: default a\nw: default\n",
        "roles/a/tasks/main.yml": "- debug: {msg: '{{ [v, w, role_name] }}'}\n- {command: x, notify: h, name: t}\n",
        "roles/a/handlers/main.yml": "- {name: h, command: 'echo {{ v }}'}\n",
        "roles/b/defaults/main.yml": "v: default b\n",
        "roles/b/meta/main.yml": "dependencies: [a]\n",
        "roles/b/tasks/main.yml": "- debug: {msg: '{{ [v, w] }}'}\n",
    }
    text = "- hosts: all\n  roles: [b, {role: a, vars: {w: parameter}, when: true}]\n"
    seen = driven(loaded(tmp_path, text, files), changed("a : t"))
    assert [json.loads(message) for _, _, message in seen.verdicts] == [
        ["default a", "default", "a"],
        ["default b", "default"],
        ["default a", "parameter", "a"],
    ]
    assert seen.step("a : h").step.spec == {"cmd": "echo default a"}


def test_variables_win_in_ansibles_order(tmp_path: Path) -> None:
    files = {
        "roles/r/defaults/main.yml": "a: default\nb: default\nc: default\nd: default\ne: default\nf: default\n",
        "roles/r/vars/main.yml": "d: role\ne: role\nf: role\n",
        "roles/r/tasks/main.yml": "- debug: {msg: '{{ [a, b, c, d, e, f] }}'}\n  vars: {e: task, f: task}\n",
        "group_vars/all.yml": "b: inventory\nc: inventory\nd: inventory\n",
    }
    text = "- hosts: all\n  vars: {c: play, d: play}\n  roles: [r]\n"
    seen = driven(loaded(tmp_path, text, files), extra={"f": "extra"})
    assert json.loads(seen.verdicts[0][2]) == ["default", "inventory", "play", "role", "task", "extra"]


def test_magic_variables_and_facts(tmp_path: Path) -> None:
    text = """
- hosts: all
  tasks:
    - debug:
        msg: "{{ inventory_hostname }} {{ hostvars['gpu-02'].port }} {{ groups['all'] | length }}
          {{ ansible_distribution }} {{ play_hosts | length }} {{ facts.cpus }} {{ ansible_check_mode }}"
    - file: {path: /x, state: directory, owner: "{{ nobody | default(omit) }}"}
"""
    facts = {"user": "root", "os": {"id": "debian", "version": "12"}, "cpus": 4}
    seen = driven(loaded(tmp_path, text), facts=facts)
    assert seen.verdicts[0][2] == "gpu-01 2 2 Debian 2 4 False"
    assert seen.steps[0].step.spec == {"path": "/x", "state": "directory"}


def test_content_over_the_limit_goes_by_hash(tmp_path: Path) -> None:
    files = {"files/big": "x" * 70_000, "files/small": "y", "templates/t.j2": "a\n{{ 'z' * 70000 }}\n"}
    text = """
- hosts: all
  tasks:
    - {name: big, copy: {src: big, dest: /big}}
    - {name: small, copy: {src: small, dest: /etc/}}
    - {name: made, template: {src: t.j2, dest: /made}}
"""
    seen = driven(loaded(tmp_path, text, files))
    blobs = seen.batches[0].blobs
    assert seen.step("small").step.spec == {"path": "/etc/small", "content": "y", "state": "file"}
    assert blobs[seen.step("big").step.spec["content_blob"]] == tmp_path / "files/big"
    assert blobs[seen.step("made").step.spec["content_blob"]] == b"a\n" + b"z" * 70_000 + b"\n"


def test_shared_data_becomes_directories_and_links(tmp_path: Path) -> None:
    text = """
- hosts: all
  vars: {root: /srv}
  shared_data: {path: "{{ root }}", directories: [in], links: {/root/app/in: in, /x: /elsewhere}, mode: "0775"}
"""
    seen = driven(loaded(tmp_path, text))
    assert [(step.step.resource, step.step.spec) for step in seen.steps] == [
        ("file", {"path": "/srv/in", "state": "directory", "mode": "0775"}),
        ("link", {"path": "/root/app/in", "target": "/srv/in"}),
        ("link", {"path": "/x", "target": "/elsewhere"}),
    ]


def test_shared_data_renders_what_is_a_template_and_nothing_else(tmp_path: Path) -> None:
    text = """
- hosts: all
  vars: {root: /srv, name: in}
  shared_data:
    - path: "{% if name %}/a{% endif %}"
      directories: ["{{ name }}", !unsafe "{{ root }}"]
      links: {"{{ root }}/x": !unsafe "/{{ root }}", "{{ root }}/y": !unsafe "{% root %}"}
    - {path: !unsafe "/{{ root }}", directories: [in]}
"""
    seen = driven(loaded(tmp_path, text))
    assert [(step.step.spec["path"], step.step.spec.get("target")) for step in seen.steps] == [
        ("/a/in", None),
        ("/a/{{ root }}", None),
        ("/srv/x", "/{{ root }}"),
        ("/srv/y", "/a/{% root %}"),
        ("/{{ root }}/in", None),
    ]
    assert seen.steps[-1].title == "Shared directory in"


def test_shared_data_looks_at_its_file_system_before_it_makes_anything(tmp_path: Path) -> None:
    text = """
- hosts: all
  vars: {server: storage}
  shared_data:
    path: /data
    filesystem: {type: nfs4, source: "{{ server }}:/export", timeout: 5}
    directories: [in]
    links:
      /srv/app/in: {target: in, parents: true}
"""
    seen = driven(loaded(tmp_path, text))
    assert [(step.step.resource, step.step.spec) for step in seen.steps] == [
        ("mounted", {"path": "/data", "type": "nfs4", "source": "storage:/export", "timeout": 5}),
        ("file", {"path": "/data/in", "state": "directory"}),
        ("link", {"path": "/srv/app/in", "target": "/data/in", "parents": True}),
    ]
    assert [step.step.on_failure for step in seen.steps] == ["stop"] * 3


@pytest.mark.parametrize(
    ("said", "path"), [("mounted: true", "/mnt/all/data"), ("filesystem: {mount_point: /mnt/all}", "/mnt/all")]
)
def test_shared_data_that_is_meant_to_be_mounted(tmp_path: Path, said: str, path: str) -> None:
    seen = driven(loaded(tmp_path, f"- hosts: all\n  shared_data: {{path: /mnt/all/data, {said}}}\n"))
    assert [(step.step.resource, step.step.spec) for step in seen.steps] == [("mounted", {"path": path})]


def test_numbers_become_text_where_text_is_meant(tmp_path: Path) -> None:
    text = """
- hosts: all
  vars: {port: 7860}
  tasks:
    - {name: c, command: {argv: [x, "{{ port }}", 3.10], creates: /x}}
    - {name: g, git: {repo: "https://x/y", dest: /y, version: 2}}
    - {name: free, command: make install creates=/done chdir=/src}
"""
    seen = driven(loaded(tmp_path, text))
    assert seen.step("c").step.spec["argv"] == ["x", "7860", "3.10"]
    assert seen.step("g").step.spec["version"] == "2"
    assert seen.step("free").step.spec == {"cmd": "make install", "creates": "/done", "chdir": "/src"}


def test_of_handlers_with_one_name_the_last_answers(tmp_path: Path) -> None:
    files = {
        "roles/a/tasks/main.yml": "- {name: t, command: x, notify: h}\n",
        "roles/a/handlers/main.yml": "- {name: h, command: a}\n",
    }
    text = "- hosts: all\n  roles: [a]\n  handlers: [{name: h, command: p}]\n"
    seen = driven(loaded(tmp_path, text, files), changed("a : t"))
    assert [step.step.spec["cmd"] for step in seen.steps] == ["x", "p"]


def test_a_condition_that_fails_on_a_result_is_reported(tmp_path: Path) -> None:
    text = "- hosts: all\n  tasks: [{name: a, command: x, register: r, failed_when: r.nothing > 3}]\n"
    seen = driven(loaded(tmp_path, text))
    assert seen.verdicts[0][:2] == ("a", "failed")
    assert seen.batches[-1].failed is not None


def test_blocks_and_imports_pass_on_what_they_say(tmp_path: Path) -> None:
    files = {"more.yml": "- {name: c, command: x, tags: own}\n"}
    text = """
- hosts: all
  tags: play
  tasks:
    - block:
        - {name: a, command: x}
        - {name: b, command: x, when: false}
      when: inventory_hostname == 'gpu-01'
      tags: block
    - {import_tasks: more.yml, when: 1 == 1, tags: imported}
"""
    play = loaded(tmp_path, text, files)
    assert [sorted(task.tags) for task in play.tasks] == [
        ["block", "play"],
        ["block", "play"],
        ["imported", "own", "play"],
    ]
    assert driven(play).titles == [["a", "c"]]
    assert driven(play, host="gpu-02").titles == [["c"]]


def test_a_task_that_is_decided_between_two_steps_stays_between_them(tmp_path: Path) -> None:
    text = """
- hosts: all
  tasks:
    - {name: before, debug: {msg: 1}}
    - {name: a, command: a}
    - {name: between, debug: {msg: 2}}
    - {name: b, command: "b {{ item }}", loop: [1, 2, 3], when: item != 2}
    - {name: after, debug: {msg: 3}}
"""
    batch = driven(loaded(tmp_path, text)).batches[0]
    assert [item.title for item in batch.verdicts] == ["before"]
    told = [[step.title, *(item.title for item in step.then)] for step in batch.steps]
    assert told == [["a", "between"], ["b (1)", "b (2)"], ["b (3)", "after"]]


def test_all_items_of_a_loop_run_before_a_failed_one_ends_the_host(tmp_path: Path) -> None:
    text = """
- hosts: all
  tasks:
    - {name: a, command: "a {{ item }}", loop: [1, 2, 3]}
    - {name: thought, assert: {that: item > 1}, loop: [1, 2, 0]}
"""
    seen = driven(loaded(tmp_path, text))
    assert [step.step.on_failure for step in seen.steps] == ["later", "later", "stop"]
    assert [(title, status) for title, status, _ in seen.verdicts] == [
        ("thought (1)", "failed"),
        ("thought (2)", "ok"),
        ("thought (0)", "failed"),
    ]
    assert seen.batches[-1].failed and "item > 1" in str(seen.batches[-1].failed)


def test_what_a_play_does_not_gather_its_templates_do_not_see_and_installers_do(tmp_path: Path) -> None:
    text = """
- hosts: all
  gather_facts: false
  tasks:
    - {name: seen, debug: {msg: "{{ facts is defined }} {{ ansible_hostname | default('none') }}"}}
    - {name: made, conda_env: {name: e}}
"""
    told: set[str] = set()

    def specified(lock: Any, options: dict[str, Any], variables: Any) -> Any:
        told.add(variables["facts"]["python"])
        return specify(lock, options, variables)

    seen = driven(
        loaded(tmp_path, text, {"environment.yml": "name: e\n"}),
        facts={"user": "root", "hostname": "h", "python": "3.9.2"},
        gathered=False,
        specified=specified,
    )
    assert seen.verdicts[0][2] == "False none"
    assert told == {"3.9.2"}
