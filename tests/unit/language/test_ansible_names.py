"""Ansible's words are supported or refused by name, with a reason where that is not plain."""

from __future__ import annotations

import subprocess
import sys

import pytest

from provision import ansible_names, modules
from provision.playbook import Keywords, LoopControl, PlayKeywords, RoleEntry, TaskKeywords

KINDS: dict[str, type[Keywords]] = {
    "play": PlayKeywords,
    "task": TaskKeywords,
    "block": TaskKeywords,
    "role": RoleEntry,
    "loop_control": LoopControl,
}
WORDS = sorted(
    word for word in [*modules.MODULES, *modules.DIRECTIVES] if modules.is_word(word) and ansible_names.options(word)
)


def taken(word: str) -> set[str]:
    """The options that a word takes, aliases included."""
    aliases = modules.MODULES[word].aliases if word in modules.MODULES else {}
    return {*modules.options(word), *aliases}


@pytest.mark.parametrize("word", WORDS)
def test_each_option_is_taken_or_refused_with_a_reason(word: str) -> None:
    if word in ("set_fact", "meta"):
        return  # any names; and one text
    for name in ansible_names.options(word):
        refused = ansible_names.option(word, name)
        assert refused is not None
        assert name in taken(word) or refused.why or refused.instead, name


@pytest.mark.parametrize("word", WORDS)
def test_an_alias_is_taken_where_its_option_is(word: str) -> None:
    for name, aliases in ansible_names.options(word).items():
        lacking = [alias for alias in aliases if alias not in taken(word)]
        assert name not in taken(word) or not lacking, (name, lacking)


@pytest.mark.parametrize("kind", KINDS)
def test_each_keyword_is_taken_or_refused(kind: str) -> None:
    for word in ansible_names.keywords()[kind]:
        taken_here = {*KINDS[kind].words(), "block", "rescue", "always"}
        assert word in taken_here or ansible_names.keyword(word) is not None, word


def test_no_reason_is_for_an_option_that_is_taken() -> None:
    reasons = ansible_names._reasons()["options"]
    for word, refused in reasons.items():
        assert ansible_names.options(word), word
        assert not taken(word) & {*refused}, word
        assert {*refused} <= {*ansible_names.options(word)}, word


def test_the_reasons_of_modules_are_for_modules_that_ansible_has() -> None:
    for word in ansible_names._reasons()["modules"]:
        assert ansible_names.module(word) is not None, word


def test_the_tables_are_read_for_errors_only() -> None:
    code = "import sys, provision.apply, provision.arguments; sys.exit('provision.ansible_names' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
