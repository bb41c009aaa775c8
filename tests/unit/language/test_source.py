"""YAML as values that know their places."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from provision.errors import ProvisionError
from provision.source import Mapping, Template, loads, plain

SCALARS = st.none() | st.booleans() | st.integers() | st.text(st.characters(min_codepoint=32, max_codepoint=0x24F))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcxyz", min_size=1), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_reads_what_was_dumped(value: Any) -> None:
    text = yaml.safe_dump({"key": value})
    assert plain(loads(text, "f.yaml"))["key"] == value


@given(VALUES)
def test_json_is_yaml(value: Any) -> None:
    assert plain(loads(json.dumps([value]), "f.yaml")) == [value]


def test_places_of_keys_values_and_fragments() -> None:
    content = loads('a: 1\nb:\n  - "x {{ one }} {{ two }}"\nc: |\n  text\n    {{ three }}\n', "f.yaml")
    assert str(content.key_mark("b")) == "f.yaml:2:1"
    assert str(content["b"].marks[0]) == "f.yaml:3:5"
    template = content["b"][0]
    assert isinstance(template, Template)
    assert str(template.place("two")) == "f.yaml:3:21"
    assert str(content["c"].place("three")) == "f.yaml:6:8"


def test_only_text_with_braces_is_a_template() -> None:
    content = loads("a: x {{ y }}\nb: !unsafe '{{ y }}'\nc: '{ y }'\n", "f.yaml")
    assert [type(content[key]) for key in "abc"] == [Template, str, str]


def test_merge_keys_keep_what_is_written() -> None:
    content = loads("base: &b {x: 1, y: 2}\nown: {<<: *b, y: 3}\n", "f.yaml")
    assert content["own"] == {"y": 3, "x": 1}
    assert isinstance(content["own"], Mapping)


def test_octal_is_meant_under_mode_only() -> None:
    assert loads("mode: 0644", "f.yaml") == {"mode": "0644"}
    with pytest.raises(ProvisionError, match="0644"):
        loads("number: 0644", "f.yaml")


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: *nothing", "[" * 200 + "]" * 200, "a: !!binary aGk="])
def test_refuses(text: str) -> None:
    with pytest.raises(ProvisionError):
        loads(text, "f.yaml")
