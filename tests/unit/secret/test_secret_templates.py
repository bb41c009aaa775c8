"""Templates over secrets: what used one is secret, what did not is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from keys import VECTORS, opening
from syrupy.assertion import SnapshotAssertion

from provision.errors import Mark, ProvisionError
from provision.render import Renderer
from provision.secret.known import KNOWN, secret
from provision.secret.value import Secret, holds
from provision.source import Template, load, loads
from provision.variables import Layer, Scope

RENDERER = Renderer()
HERE = Mark("f.yaml", 1, 1)


def scope(**values: Any) -> Scope:
    password = secret("Tr0ub4dor&3")
    users = [{"name": "alice", "password": password}, {"name": "bob", "password": secret("hunter2-bob")}]
    known = {"password": password, "db": {"user": "app", "password": password, "port": 5432}, "users": users}
    return Scope(RENDERER, (Layer("vars", {**known, "plain": "word", **values}),))


@pytest.mark.parametrize(
    "text",
    [
        "{{ password }}",
        "{{ db.password }}",
        "{{ db['password'] }}",
        "x{{ password }}",
        "{{ 'x' ~ password }}",
        "{{ 'x' + password }}",
        "{{ '%s' % password }}",
        "{{ '%s' | format(password) }}",
        "{{ password[:3] }}",
        "{{ password.upper() }}",
        "{{ plain.replace('w', password) }}",
        "{{ ','.join([password, 'a']) }}",
        "{{ '{}'.format(db.password) }}",
        "{{ password | b64encode }}",
        "{{ password | quote }}",
        "{{ password | hash('sha256') }}",
        "{{ password | regex_replace('T', 'x') }}",
        "{{ plain | regex_replace('w', password) }}",
        "{{ db | to_json }}",
        "{{ db | to_nice_yaml }}",
        "{{ [plain, password] | join(' ') }}",
        "{{ users | map(attribute='password') | join(',') }}",
        "{{ users | map(attribute='password') | map('hash', 'sha1') | list }}",
        "{{ users | map(attribute='password') | first ~ 'x' }}",
        "{{ (users | first).password }}",
        "{{ (users | selectattr('name', 'equalto', 'bob') | first).password }}",
        "{{ password | default('x') }}",
        "{{ password if plain else 'x' }}",
        "{{ {'a': password}.a }}",
        "{% for user in users %}{{ user.password }}{% endfor %}",
        "{% for key, value in db.items() %}{{ key }}={{ value }} {% endfor %}",
        "{% set p = password %}{{ p }}",
        "{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(password) }}",
        "{{ db }} is it",
        "{{ db | dict2items | map(attribute='value') | list }}",
    ],
)
def test_what_uses_a_secret_is_secret(text: str) -> None:
    names = scope()
    value = names.render(Template(text, HERE, text))
    assert holds(value)
    assert names.touched or isinstance(value, list)
    as_text = RENDERER.text(text + "\n", "f.j2", (other := scope()))
    assert other.touched and type(as_text) is Secret
    assert "***" not in as_text, "a secret must reach its destination"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ plain }}", "word"),
        ("{{ db.user }}", "app"),
        ("{{ db.user ~ db.port }}", "app5432"),
        ("{{ users[0].name }}", "alice"),
        ("{{ users | map(attribute='name') | join(',') }}", "alice,bob"),
        ("{{ users | selectattr('name', 'equalto', 'bob') | map(attribute='name') | list }}", ["bob"]),
        ("{{ users | length }}", 2),
        ("{{ 'yes' if password is defined else 'no' }}", "yes"),
        ("{{ db.get('user') }}", "app"),
        ("{{ db.keys() | list }}", ["user", "password", "port"]),
        ("{% for user in users %}{{ user.name }} {% endfor %}", "alice bob "),
        ("{% if password %}on{% endif %}", "on"),
    ],
)
def test_what_uses_none_is_not(text: str, expected: Any) -> None:
    names = scope()
    value = names.render(Template(text, HERE, text))
    assert value == expected
    assert not names.touched and not holds(value)


def test_secrets_keep_their_type_through_variables_and_loops() -> None:
    through = loads("again: '{{ users }}'\none: '{{ again[1] }}'\nurl: 'https://{{ one.password }}@host'\n", "v.yaml")
    names = scope(**through)
    assert [holds(names.find(name)) for name in ("again", "one", "url")] == [True, True, True]
    assert not names.touched
    assert names.render(Template("{{ one.name }}", HERE, "")) == "bob" and not names.touched


def test_a_connection_password_is_a_secret_by_its_name() -> None:
    names = scope(ansible_become_password="opensesame")
    assert type(names.find("ansible_become_password")) is Secret
    assert KNOWN.redact("it is opensesame") == "it is ***"


def test_an_inline_value_is_opened_when_it_is_used_and_never_rendered(tmp_path: Path) -> None:
    from provision.secret import vault

    inline = vault.encrypt(b"{{ 7 * 6 }}", b"correct horse").replace("\n", "\n  ")
    values = loads(
        f"odd: !vault |\n  {inline}\nlist:\n  - !vault-encrypted |\n    {inline.replace('  ', '    ')}\n", "v"
    )
    values |= load(VECTORS / "inline.yml")
    names = scope(**values)
    with pytest.raises(ProvisionError, match="no password is given"):
        names.find("inline")
    opening()
    assert names.find("inline") == "an inline value"
    assert names.find("odd") == "{{ 7 * 6 }}" and names.find("list") == ["{{ 7 * 6 }}"]
    assert all(type(value) is Secret for value in (names.find("inline"), names.find("odd"), names.find("list")[0]))
    assert KNOWN.redact("an inline value") == "***"


def test_all_texts_of_an_encrypted_file_are_secrets() -> None:
    opening()
    values = load(VECTORS / "whole.yml")
    names = Scope(RENDERER, (Layer("vars", values),))
    nested = names.find("nested")
    assert nested == {"token": "Tr0ub4dor&3!", "port": 5432}
    assert type(nested["token"]) is Secret and type(names.find("db_password")) is Secret
    assert all(type(key) is str for key in values)


def test_errors_of_values_say_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, snapshot: SnapshotAssertion
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("vars.yml").write_text("a: 1\nsecret: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  3132\n")
    Path("whole.yml").write_text((VECTORS / "whole.yml").read_text())
    names = Scope(RENDERER, (Layer("vars", load("vars.yml")),))
    said = []
    with pytest.raises(ProvisionError) as caught:
        names.find("secret")
    said.append(str(caught.value))
    with pytest.raises(ProvisionError) as caught:
        load("whole.yml")
    assert [*said, str(caught.value)] == snapshot


def test_an_error_of_a_template_does_not_show_it() -> None:
    from provision.secret.known import clean

    names = scope()
    for text in ("{{ password | from_json }}", "{{ [1][password] }}", "{{ password | mandatory | to_datetime }}"):
        with pytest.raises(ProvisionError) as caught:
            names.render(Template(text, HERE, text))
        assert "Tr0ub4" not in str(clean(caught.value))
