"""Filters, tests, lookups and types of values: each case of `expressions.yaml` gives what Ansible gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from provision.errors import Mark, ProvisionError
from provision.filters import FILTERS, LOOKUPS, REFUSED, TESTS
from provision.render import Renderer
from provision.source import Template, loads
from provision.variables import Layer, Scope

TEXT = (Path(__file__).parent / "expressions.yaml").read_text()
DOCUMENT = yaml.safe_load(TEXT)
CASES = DOCUMENT["cases"]
VARIABLES = loads(yaml.safe_dump(DOCUMENT["variables"]), "variables.yaml")
RENDERER = Renderer()
HERE = Mark("play.yaml", 1, 1)
SHIPPED_BY_ANSIBLE = {
    "filter": (
        "abs attr b64decode b64encode basename batch bool capitalize center checksum combinations combine comment "
        "commonpath count d default dict2items dictsort difference dirname e escape expanduser expandvars extract "
        "fileglob filesizeformat first flatten float forceescape format from_json from_yaml from_yaml_all groupby hash "
        "human_readable human_to_bytes indent int intersect items items2dict join last length list log lower mandatory "
        "map max md5 min normpath password_hash path_join permutations pow pprint product quote random realpath "
        "regex_escape regex_findall regex_replace regex_search reject rejectattr rekey_on_member relpath replace "
        "reverse root round safe select selectattr sha1 shuffle slice sort split splitext strftime string striptags "
        "subelements sum symmetric_difference ternary title to_datetime to_json to_nice_json to_nice_yaml to_uuid "
        "to_yaml tojson trim truncate type_debug union unique unvault upper urldecode urlencode urlize urlsplit vault "
        "win_basename win_dirname win_splitdrive wordcount wordwrap xmlattr zip zip_longest"
    ),
    "test": (
        "abs all any boolean callable change changed contains defined directory divisibleby eq equalto escaped even "
        "exists failed failure false falsy file filter finished float ge greaterthan gt in integer is_abs is_dir "
        "is_file is_link is_mount is_same_file isnan issubset issuperset iterable le lessthan link link_exists lower "
        "lt mapping match mount nan ne none number odd reachable regex same_file sameas search sequence skip skipped "
        "started string subset succeeded success successful superset test timedout true truthy undefined unreachable "
        "upper uri url urn vault_encrypted vaulted_file version version_compare"
    ),
    "lookup": (
        "config csvfile dict env file fileglob first_found indexed_items ini inventory_hostnames items lines list "
        "nested password pipe random_choice sequence subelements template together unvault url varnames vars"
    ),
}


def scope() -> Scope:
    return Scope(RENDERER, (Layer("vars", VARIABLES),))


def template(text: str) -> Template:
    return Template(text, HERE, text)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["template"][:60])
def test_expression(case: dict[str, Any]) -> None:
    names = scope()
    if case.get("fails"):
        with pytest.raises(ProvisionError):
            names.render(template(case["template"]))
        return
    value = names.render(template(case["template"]))
    assert value == case["value"]
    assert type(value) is type(case["value"])


@pytest.mark.parametrize("kind", SHIPPED_BY_ANSIBLE)
def test_each_word_of_ansible_is_there_or_refused_with_a_reason(kind: str) -> None:
    known: Any = {"filter": FILTERS, "test": TESTS, "lookup": LOOKUPS}[kind]
    words = SHIPPED_BY_ANSIBLE[kind].split()
    assert [word for word in words if (word in known) == (word in REFUSED[kind])] == []


def test_each_filter_and_test_that_is_named_can_be_loaded() -> None:
    for words in (FILTERS, TESTS):
        assert all(callable(words[name]) for name in words.names())
