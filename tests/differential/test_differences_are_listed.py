"""The list of differences on purpose is the guide's, and each way to recognise one belongs to an entry."""

from __future__ import annotations

import differences
import recognised


def test_guide_shows_the_list() -> None:
    assert differences.shown() == differences.table(), "run `python tests/differential/differences.py`"


def test_each_recognised_difference_is_listed() -> None:
    functions = {name for name, value in vars(recognised).items() if getattr(value, "__module__", "") == "recognised"}
    assert {entry["recognised"] for entry in differences.listed() if "recognised" in entry} == functions


def test_a_difference_that_is_not_listed_is_kept() -> None:
    context = {"hosts": {"a": {}}, "groups": {"g": ["a"]}, "deep": False}
    found = [
        differences.Found("pattern", "b", "<error> no host or group is called `b`", [], context),
        differences.Found("pattern", "a", "<error> no host or group is called `a`", ["a"], context),
        differences.Found("variable", "a x", 1, 2, context),
    ]
    assert differences.unlisted(found) == found[1:]
