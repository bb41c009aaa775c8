"""Secrets in a play: which steps are sensitive, what is told of them, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from driven import driven, loaded
from keys import VECTORS, opening
from syrupy.assertion import SnapshotAssertion

from provision.errors import ProvisionError
from provision.inventory import load_inventory
from provision.preflight import check
from provision.roles import load_playbook
from provision.scopes import Run
from provision.secret import vault
from provision.secret.known import clean
from provision.secret.value import Secret, holds

VALUE = "Tr0ub4dor&3"
INLINE = "\n".join("      " + line for line in vault.encrypt(VALUE.encode(), b"correct horse").splitlines())
HEAD = f"- hosts: all\n  vars:\n    pin: 12\n    password: !vault |\n{INLINE}\n"
HEAD += "    users:\n      - {name: alice, password: '{{ password }}'}\n  tasks:\n"


def play(folder: Path, tasks: str, files: dict[str, str] | None = None, **options: Any) -> Any:
    opening()
    text = HEAD + "".join(f"    {line}\n" for line in tasks.splitlines())
    return driven(loaded(folder, text, files), **options)


def test_a_step_that_a_secret_went_into_is_sensitive_and_holds_it_for_the_host(tmp_path: Path) -> None:
    tasks = """\
- {name: inline, copy: {dest: /a, content: "key={{ password }}"}}
- {name: file, template: {dest: /b, src: b.j2}}
- {name: stdin, command: {argv: [login], stdin: "{{ password | to_json }}"}}
- {name: part, copy: {dest: "/{{ users[0].name }}", content: "{{ users | map(attribute='name') | join }}"}}
- {name: environment, command: {argv: [login]}, environment: {PASSWORD: "{{ password }}"}}"""
    done = play(tmp_path, tasks, {"templates/b.j2": "{% for u in users %}{{ u.password }}{% endfor %}"})
    assert [(step.title, step.step.sensitive) for step in done.steps] == [
        ("inline", True),
        ("file", True),
        ("stdin", True),
        ("part", False),
        ("environment", False),
    ]
    spec = json.loads(json.dumps(done.step("inline").step.spec))
    assert spec["content"] == f"key={VALUE}"
    assert done.step("environment").step.environment == {"PASSWORD": VALUE}


def test_an_encrypted_file_is_copied_decrypted(tmp_path: Path) -> None:
    sealed = (VECTORS / "whole.yml").read_text()
    tasks = "- {name: copied, copy: {dest: /a, src: whole.yml}}\n- {name: templated, template: {dest: /b, src: t.j2}}"
    files = {"files/whole.yml": sealed, "templates/t.j2": vault.encrypt(b"{{ pin }}x", b"correct horse")}
    done = play(tmp_path, tasks, files)
    copied, templated = done.step("copied").step, done.step("templated").step
    assert copied.spec["content"].startswith("db_password: Tr0ub") and copied.sensitive
    assert templated.spec["content"] == "12x" and templated.sensitive


def test_a_binary_file_is_copied_decrypted(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files/b.bin").write_bytes((VECTORS / "binary.bin").read_bytes())
    done = play(tmp_path, "- {name: copied, copy: {dest: /a, src: b.bin}}")
    assert list(done.batches[0].blobs.values()) == [b"\x00\x01\xffbinary"]
    assert done.step("copied").step.sensitive


def test_titles_and_messages_show_no_secret(tmp_path: Path) -> None:
    tasks = """\
- {name: "for {{ password }}", debug: {msg: "it is {{ password }}!"}}
- {name: whole, debug: {var: users}}
- {name: looped, debug: {msg: "{{ item.password | hash }}"}, loop: "{{ users }}"}
- {name: pin, set_fact: {short: "{{ password[:2] }}"}}
- {name: shown, debug: {var: short}}"""
    said = play(tmp_path, tasks).verdicts
    assert VALUE not in repr(said) and "Tr" not in [message for _, _, message in said]
    titles = [title for title, _, _ in said]
    assert titles == ["for ***", "whole", 'looped ({"name": "alice", "password": "***"})', "pin", "shown"]
    assert [message for _, _, message in said][:1] == ["it is ***!"]
    assert said[-1][2] == 'short: "***"'


def test_what_a_sensitive_step_gives_is_secret_and_is_not_shown(tmp_path: Path) -> None:
    tasks = """\
- {name: asks, command: {argv: [ask]}, no_log: true, register: answer, changed_when: answer.rc == 0}
- {name: tells, debug: {msg: "{{ answer.stdout }} {{ answer.stdout_lines[0] }} {{ answer.rc }} {{ answer.path }}"}}
- {name: uses, command: {argv: [use], stdin: "{{ answer.stdout }}"}}
- {name: where, command: {argv: [ls, "{{ answer.path }}"]}}"""
    fields = {"rc": 0, "stdout": "one-time-code 4711", "path": "/etc/answer"}
    done = play(tmp_path, tasks, answer=lambda step: {"fields": fields} if step.title == "asks" else {})
    assert "4711" not in repr([clean(verdict) for batch in done.batches for verdict in batch.verdicts])
    assert done.step("uses").step.sensitive and done.step("uses").step.spec["stdin"] == "one-time-code 4711"
    assert not done.step("where").step.sensitive


def test_no_log_hides_what_is_decided_here_as_well(tmp_path: Path) -> None:
    tasks = """\
- {name: told, debug: {msg: "plain words {{ pin }}"}, no_log: true}
- {name: set, set_fact: {code: "plain words"}, no_log: true}"""
    done = play(tmp_path, tasks)
    assert [message for _, _, message in done.verdicts] == ["hidden by no_log"] * 2
    assert "plain words" not in repr([batch.verdicts for batch in done.batches])


def test_password_options_are_secrets_wherever_they_come_from(tmp_path: Path) -> None:
    done = play(tmp_path, "- {name: got, get_url: {url: 'http://h/x', dest: /x, url_password: 'plain $word'}}")
    assert done.step("got").step.sensitive
    assert clean("is plain $word") == "is ***"


@pytest.mark.parametrize(
    "task",
    [
        '{name: t, command: {argv: [login, "{{ password }}"]}}',
        '{name: t, command: "login {{ users[0].password }}"}',
        '{name: t, shell: "login {{ password | b64encode }}"}',
        '{name: t, command: {argv: [login, "{{ item.password }}"]}, loop: "{{ users }}"}',
    ],
)
def test_a_secret_in_arguments_is_refused(task: str, tmp_path: Path) -> None:
    done = play(tmp_path, f"- {task}")
    failed = done.batches[-1].failed
    assert failed is not None and failed.summary == "a secret in a command's arguments"
    assert VALUE not in str(failed)


def test_it_is_refused_before_any_host_where_that_can_be_told(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    tasks = '    - {name: t, command: {argv: [login, "{{ password }}"]}}\n'
    loaded(tmp_path, HEAD + tasks)
    plays = load_playbook(tmp_path / "play.yaml").plays
    inventory = load_inventory([tmp_path / "hosts.yaml"])
    with pytest.raises(ProvisionError) as caught:
        check(plays, Run(inventory), {plays[0]: ["gpu-01"]})
    assert str(caught.value).replace(str(tmp_path), "") == snapshot


def test_of_encrypted_tasks_the_variables_are_secrets(tmp_path: Path) -> None:
    text = """\
- block:
    - {name: inner, command: {argv: [ls], stdin: "{{ own }}"}, vars: {own: "in tasks"}}
- {name: outer, file: {path: /a, state: directory}}
"""
    files = {"tasks.yml": vault.encrypt(text.encode(), b"correct horse")}
    done = play(tmp_path, "- import_tasks: tasks.yml", files)
    assert [(step.title, step.step.sensitive) for step in done.steps] == [("inner", True), ("outer", False)]
    assert clean("in tasks, a directory") == "***, a directory"


def test_inventories_and_their_files_may_hold_them(tmp_path: Path) -> None:
    opening()
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars/all.yml").write_text((VECTORS / "whole.yml").read_text())
    host = "\n".join("          " + line for line in vault.encrypt(b"for the host", b"correct horse").splitlines())
    hosts = f"all:\n  hosts:\n    gpu-01:\n      token: !vault |\n{host}\n"
    (tmp_path / "hosts.yaml").write_text(hosts)
    (tmp_path / "sealed.yaml").write_text(vault.encrypt(b"all: {hosts: {gpu-02: {key: abcdef}}}\n", b"correct horse"))
    inventory = load_inventory([tmp_path / "hosts.yaml", tmp_path / "sealed.yaml"])
    assert list(inventory.hosts) == ["gpu-01", "gpu-02"]
    assert all(type(name) is str for name in inventory.hosts)
    assert holds(inventory.variables("gpu-01")["db_password"])
    assert type(inventory.variables("gpu-02")["key"]) is Secret
