"""Lookups that read the operator's files, and that no host says which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from provision.errors import Mark, ProvisionError
from provision.host_values import host_names_in, host_roots, names_in
from provision.render import Renderer
from provision.source import Template, loads
from provision.variables import Layer, Registered, Scope


def template(text: str) -> Template:
    return Template(text, Mark("play.yaml", 1, 1), text)


@pytest.fixture
def scope(tmp_path: Path) -> Scope:
    role, play = tmp_path / "role", tmp_path / "play"
    for name, text in {
        "role/files/motd": "of the role\n",
        "role/templates/conf.j2": "port={{ port }}\n",
        "role/vars/Debian.yml": "",
        "play/files/other": "of the play",
        "play/files/b.conf": "",
        "play/files/a.conf": "",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    written = loads(
        "port: 80\nname: motd\nfrom_host: '{{ result.stdout }}'\nfirst: {files: ['{{ ansible_os_family }}.yml']}\n"
        "second: {files: ['{{ ansible_facts.hostname }}.yml']}\nplain: '{{ name }}'\n",
        "vars.yaml",
    )
    facts = {"ansible_os_family": "Debian", "ansible_hostname": "motd", "ansible_facts": {"hostname": "motd"}}
    layers = (
        Layer("magic", {"ansible_search_path": [str(role), str(play)]}),
        Layer("results", {"result": Registered(stdout="motd"), "set": "x"}, True, {"set": template("{{ port }}")}),
        Layer("vars", written),
        Layer("facts", facts, True),
    )
    return Scope(Renderer(), layers)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ lookup('file', 'motd') }}", "of the role"),
        ("{{ lookup('file', 'motd', rstrip=false) }}", "of the role\n"),
        ("{{ lookup('file', plain, 'other') }}", "of the role,of the play"),
        ("{{ query('file', 'motd', 'other') }}", ["of the role", "of the play"]),
        ("{{ lookup('template', 'conf.j2') }}", "port=80\n"),
        ("{{ lookup('template', 'conf.j2', template_vars={'port': 8080}) }}", "port=8080\n"),
        ("{% for f in ['motd'] %}{{ lookup('file', f) }}{% endfor %}{{ port }}", "of the role80"),
    ],
)
def test_files(scope: Scope, text: str, value: Any) -> None:
    assert scope.render(template(text)) == value


def test_names_of_files(scope: Scope, tmp_path: Path) -> None:
    globbed = scope.render(template("{{ query('fileglob', '*.conf') }}"))
    assert [Path(name).name for name in globbed] == ["a.conf", "b.conf"]
    found = scope.render(template("{{ lookup('first_found', ['nope', 'other']) }}"))
    assert found == str(tmp_path / "play/files/other")


@pytest.mark.parametrize(
    "text",
    [
        "{{ lookup('file', result.stdout) }}",
        "{{ lookup('file', from_host) }}",
        "{{ lookup('file', ansible_hostname) }}",
        "{{ lookup('template', hostvars['x'].stdout) }}",
        "{{ query('fileglob', result.stdout ~ '*') }}",
        "{{ lookup('first_found', second) }}",
        "{% for line in result.stdout_lines | default(['motd']) %}{{ lookup('file', line) }}{% endfor %}",
        "{% set path = result.stdout %}{{ lookup('file', path) }}",
    ],
)
def test_no_host_says_which_file(scope: Scope, text: str) -> None:
    with pytest.raises(ProvisionError, match="that a host may choose"):
        scope.render(template(text))


def test_a_file_that_is_missing_says_where_it_was_looked_for(scope: Scope, tmp_path: Path) -> None:
    with pytest.raises(ProvisionError, match="there is no file `nope`") as caught:
        scope.render(template("{{ lookup('file', 'nope') }}"))
    assert f"`{tmp_path}/role/files`" in caught.value.cause
    assert str(caught.value.where) == "play.yaml:1:1"


def test_what_kind_a_host_is_may_choose(scope: Scope, tmp_path: Path) -> None:
    found = scope.render(template("{{ lookup('first_found', first) }}"))
    assert found == str(tmp_path / "role/vars/Debian.yml")
    lying = scope.with_layer("facts", {})
    lying.layers = (Layer("facts", {"ansible_os_family": "../vars/Debian"}, True), *scope.layers)
    with pytest.raises(ProvisionError, match="that a host may choose"):
        lying.render(template("{{ lookup('first_found', first) }}"))


def test_names_that_come_from_a_host(scope: Scope) -> None:
    written = {"a": template("{{ plain }}{{ port }}{{ set }}"), "b": [template("{{ from_host | default(port) }}")]}
    assert host_names_in(written, scope) == {"from_host"}
    assert host_roots(names_in(written, scope.renderer), scope) == {"result"}
    assert host_names_in(template("{{ hostvars['b'].port }}"), scope) == frozenset()
    assert host_names_in(template("{{ hostvars['b'].unknown }}"), scope) == {"hostvars.unknown"}
    assert host_names_in(template("{{ hostvars[x] | length }}"), scope) == {"hostvars"}
    assert host_names_in(template("{{ lookup('vars', 'from_host') }}"), scope) == {"from_host"}


@pytest.mark.parametrize("kind", ["pipe", "url", "password", "lines"])
def test_lookups_that_do_more_than_look_are_refused(scope: Scope, kind: str) -> None:
    with pytest.raises(ProvisionError, match="is not supported") as caught:
        scope.renderer.check(template(f"{{{{ lookup('{kind}', 'x') }}}}"))
    assert caught.value.cause
    with pytest.raises(ProvisionError, match="is not supported"):
        scope.render(template(f"{{{{ lookup('{kind[:2]}' ~ '{kind[2:]}', 'x') }}}}"))
