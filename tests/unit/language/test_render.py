"""Templates: native values, laziness, taint, and that data is never rendered."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.errors import Mark, ProvisionError
from provision.render import KnownAfterApply, Renderer, Unsettled
from provision.source import Template, loads
from provision.variables import Layer, Pending, Registered, Scope

HERE = Mark("f.yaml", 1, 1)
RENDERER = Renderer()


def template(text: str) -> Template:
    return Template(text, HERE, text)


def scope(text: str = "", secrets: frozenset[str] = frozenset(), **host: Any) -> Scope:
    layers = (Layer("registered", host), Layer("vars", loads(text, "vars.yaml") or {}))
    return Scope(RENDERER, layers, secrets)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ n }}", 5),
        ("{{ n + 1 }}", 6),
        ("{{ list }}", [1, "5"]),
        ("n is {{ n }}", "n is 5"),
        ("{{ n }}{{ n }}", "55"),
        ("{{ nothing | default('d') }}", "d"),
        ("{{ nothing.at.all | default(3) }}", 3),
        ("{{ through | default('e') }}", "e"),
        ("{{ none }}", None),
        ("x{{ none }}", "x"),
        ("{{ list | map('string') | list }}", ["1", "5"]),
        ("{{ {'a': 1} | combine({'b': 2}) }}", {"a": 1, "b": 2}),
        ("{{ d | dict2items }}", [{"key": "k", "value": 1}]),
        ("{{ '/a/b.txt' | basename }}", "b.txt"),
        ("{{ 'gpu-01' | regex_replace('[^0-9]+', '') }}", "01"),
        ("{{ (n > 3) | ternary('big', 'small') }}", "big"),
        ("{{ '11.8' is version('9.0', '>=') }}", True),
        ("{{ [[1], [2, [3]]] | flatten }}", [1, 2, 3]),
        ("{{ ['a'] | product(['x', 'y']) | list }}", [["a", "x"], ["a", "y"]]),
        ("{{ d | to_json }}", '{"k": 1}'),
        ("{{ d | to_nice_yaml }}", "k: 1\n"),
        ("{{ 'yes' | bool }}", True),
    ],
)
def test_value(text: str, expected: Any) -> None:
    names = scope("n: 5\nlist: [1, '{{ n | string }}']\nnone: null\nd: {k: 1}\nthrough: '{{ nothing }}'\n")
    value = names.render(template(text))
    assert value == expected
    assert type(value) is type(expected)


@given(st.text())
def test_values_of_hosts_are_never_rendered(text: str) -> None:
    evil = "{{ 1 + 1 }}" + text
    names = scope("a: '{{ answer.stdout }}'\nb: {c: ['{{ a }}']}\n", answer=Registered(stdout=evil))
    assert names.render(template("{{ a }}")) == evil
    assert names.render(template("{{ b }}")) == {"c": [evil]}
    assert names.render(template("x{{ a }}")) == "x" + evil
    assert type(names.render(template("{{ a }}"))) is str


@given(st.text().filter(lambda text: "{" not in text))
def test_plain_text_stays(text: str) -> None:
    assert scope().render(text) == text


def test_a_secret_taints_what_is_made_of_it() -> None:
    names = scope("token: s\nheader: 'Bearer {{ token }}'\nother: 1\n", secrets=frozenset({"token"}))
    names.render(template("{{ other }}"))
    assert not names.touched
    names.render(template("{{ header }}"))
    assert names.touched
    names.touched = False
    names.render(template("{{ header }}"))
    assert names.touched


def test_what_has_not_run_is_unsettled() -> None:
    names = scope("through: '{{ answer.rc }}'\n", answer=Pending("answer"))
    with pytest.raises(Unsettled):
        names.render(template("{{ through }}"))


def test_a_check_knows_what_it_does_not_know() -> None:
    answer = Registered(changed=True)
    answer.partial = True
    names = scope(answer=answer)
    assert names.render(template("{{ answer.changed }}")) is True
    with pytest.raises(KnownAfterApply):
        names.render(template("{{ answer.stdout | default('') }}"))


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ d.update({'a': 1}) }}",
        "{{ 'x' * 100000000 }}",
        "{{ range(10000000) | list }}",
        "{{ 10 ** 100000 }}",
        "{% include 'x' %}",
    ],
)
def test_the_sandbox_holds(text: str) -> None:
    with pytest.raises(ProvisionError):
        scope("d: {k: 1}").render(template(text))


def test_conditions() -> None:
    names = scope("yes_: true\nempty: []\nresult: {changed: true, failed: false}\n")
    assert RENDERER.test("yes_ and not empty", names, HERE)
    assert RENDERER.test("result is changed and result is succeeded", names, HERE)
    assert not RENDERER.test("missing is defined", names, HERE)
    assert RENDERER.test(True, names, HERE)


@pytest.mark.parametrize(
    ("expression", "value"), [("n == 5", True), ("list is defined and n > 9", False), (True, True), (False, False)]
)
def test_conditions_hold_or_not(expression: Any, value: bool) -> None:
    names = scope("n: 5\nlist: [1]\n")
    assert RENDERER.test(expression, names, HERE) is value


@pytest.mark.parametrize("expression", ["n", "list", "list | length", "text", "none", "'yes'", "d"])
def test_conditions_that_give_no_truth_value_are_errors(expression: str) -> None:
    with pytest.raises(ProvisionError, match="not a truth value"):
        RENDERER.test(expression, scope("n: 5\nlist: [1]\ntext: a\nd: {}\n"), HERE)


def test_backslashes_are_as_in_ansible() -> None:
    """In values they are what they look like; in conditions and template files they are Python's."""
    names = scope("a: x1\n")
    assert names.render(template(r"{{ a | regex_replace('x(\d)', '<\1>') }}")) == "<1>"
    assert names.render(template(r"{{ '\n' | length }}")) == 2
    assert RENDERER.test(r"a is match('x\\d')", names, HERE)
    assert RENDERER.text(r"{{ '\n' | length }}", "f.j2", names) == "1"


def test_how_a_template_file_is_read() -> None:
    text = "  {% if true %}\n  b\n  {% endif %}\nc"
    assert RENDERER.text(text, "f.j2", scope()) == "    b\n  c"
    assert RENDERER.text(text, "f.j2", scope(), {"lstrip_blocks": True}) == "  b\nc"
    assert RENDERER.text("#jinja2: lstrip_blocks: True, trim_blocks: False\n" + text, "f.j2", scope()) == "\n  b\n\nc"
    assert (
        RENDERER.text("<< 1 + 1 >>", "f.j2", scope(), {"variable_start_string": "<<", "variable_end_string": ">>"})
        == "2"
    )
    with pytest.raises(ProvisionError, match="`lstrip: True` is no option of Jinja"):
        RENDERER.text("#jinja2: lstrip: True\nx", "f.j2", scope())


def test_an_undefined_name_in_an_unused_branch_is_fine() -> None:
    assert scope("n: 5\n").render(template("{{ n if n > 1 else nothing }}")) == 5
