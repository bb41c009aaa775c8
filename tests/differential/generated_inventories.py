"""Hypothesis strategies for inventories as folders of files, and for host patterns over them.

Owns what is generated; must not know who reads it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

GROUPS = ("alpha", "beta", "gamma", "delta", "eps_1", "zeta")
SINGLE = ("web", "db-1", "node.example", "h01", "10.0.0.7", "gpu2")
RANGES = ("n[1:3]", "n[01:03]", "h[01:04:2]", "c-[a:c].example", "gpu[2:4]", "r[1:2]x[a:b]", "n[:2]")
NAMES = ("one", "two", "three", "four", "five", "six")


@dataclass(frozen=True)
class Written:
    """An inventory as files by relative path, where it begins, and patterns to ask of it."""

    files: dict[str, str]
    inventory: str
    playbook_directory: str
    patterns: tuple[str, ...]

    def write(self, folder: Path) -> None:
        """Write it below a folder."""
        (folder / self.playbook_directory).mkdir(parents=True, exist_ok=True)
        for name, text in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)


SCALARS = st.one_of(
    st.integers(-5, 70000),
    st.booleans(),
    st.none(),
    st.sampled_from(
        [0.5, 1e3, "", "text", "1", "01", "true", "no", "~", "a: b", "#x", "ü", "two\nlines\n", "{ }", "[]"]
    ),
)
PLAIN = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["k", "l", "port"]), inner, max_size=3)
    ),
    max_leaves=4,
)
FORMS = (
    "{{ %s }}",
    "x{{ %s }}y",
    "{{ %s | default('none') }}",
    "{{ %s | string }}",
    "{{ [%s | default('u')] }}",
    "{{ {'k': %s | default('u')} }}",
    "{{ %s is defined }}",
    "{%% if %s is defined %%}yes{%% else %%}no{%% endif %%}",
    "{{ 'a' if %s else 'b' }}",
    "{{ (%s | string) ~ inventory_hostname }}",
    "{{ (%s | string | length) + 1 }}",
    "{{ groups['all'] | length }}{{ %s | default(1) }}",
)


def valued(index: int) -> st.SearchStrategy[Any]:
    """Values of the variable of this place: plain ones, and templates over the variables before it."""
    if index == 0:
        return PLAIN
    template = st.builds(lambda form, name: form % name, st.sampled_from(FORMS), st.sampled_from(NAMES[:index]))
    return st.one_of(
        PLAIN, template, st.lists(template, min_size=1, max_size=2), st.builds(lambda t: {"k": t}, template)
    )


@st.composite
def variables(draw: st.DrawFn, most: int = 3) -> dict[str, Any]:
    """A few variables."""
    chosen = draw(st.lists(st.integers(0, len(NAMES) - 1), unique=True, max_size=most))
    return {NAMES[index]: draw(valued(index)) for index in chosen}


def _hosts(draw: st.DrawFn, most: int) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(SINGLE + RANGES), unique=True, max_size=most))
    return {name: draw(st.one_of(st.none(), variables(2))) for name in names}


def _group(draw: st.DrawFn, index: int, deep: bool = True) -> dict[str, Any] | None:
    """A group's body; children only come after their parents in GROUPS, so that none is inside itself."""
    body: dict[str, Any] = {}
    if draw(st.booleans()):
        body["hosts"] = _hosts(draw, 2)
    if draw(st.booleans()):
        body["vars"] = draw(variables())
        if draw(st.integers(0, 3)) == 0:
            body["vars"]["ansible_group_priority"] = draw(st.integers(-2, 20))
    later = range(index + 1, len(GROUPS))
    if later and draw(st.booleans()):
        chosen = draw(st.lists(st.sampled_from(later), unique=True, max_size=2))
        body["children"] = {GROUPS[one]: _group(draw, one, False) if deep else None for one in chosen}
    return body or None


def _source(draw: st.DrawFn, first: bool) -> dict[str, Any]:
    """One inventory file: some groups under `all`, some beside it."""
    content: dict[str, Any] = {}
    chosen = draw(st.lists(st.integers(0, len(GROUPS) - 1), unique=True, min_size=1, max_size=3))
    below = {GROUPS[index]: _group(draw, index) for index in chosen[:2]}
    beside = {GROUPS[index]: _group(draw, index) for index in chosen[2:]}
    content["all"] = {"children": below}
    if first or draw(st.booleans()):
        content["all"]["hosts"] = _hosts(draw, 3) or {"web": None}
    if draw(st.booleans()):
        content["all"]["vars"] = draw(variables())
    if draw(st.integers(0, 4)) == 0:
        content["ungrouped"] = {"hosts": _hosts(draw, 1) or {"web": None}}
    return content | beside


def _hosts_named() -> list[str]:
    return [*SINGLE, "n1", "n01", "h03", "c-b.example", "r1xa", "localhost"]


def _variable_files(draw: st.DrawFn, at: str) -> dict[str, str]:
    files = {}
    for kind, names in (("group_vars", ("all", "ungrouped", *GROUPS)), ("host_vars", _hosts_named())):
        for name in draw(st.lists(st.sampled_from(names), unique=True, max_size=2)):
            content = draw(variables())
            form = draw(st.sampled_from([".yml", ".yaml", "", ".json", "/main.yml", "/two"]))
            if form == "/two":
                files[f"{at}{kind}/{name}/10.yml"] = _dump(content)
                files[f"{at}{kind}/{name}/20.yaml"] = _dump(draw(variables()))
            else:
                files[f"{at}{kind}/{name}{form}"] = json.dumps(content) if form == ".json" else _dump(content)
    return files


def _dump(content: Any) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


TERMS = (
    *GROUPS,
    *SINGLE,
    "all",
    "*",
    "ungrouped",
    "n*",
    "*.example",
    "h0?",
    "~n[0-9]+",
    "~(web|db).*",
    "~.*a$",
    "[hn]*",
)
PARTS = ("", "", "", "[0]", "[-1]", "[1]", "[0:1]", "[1:]", "[0:]", "[:1]", "[5]", "[-2:]", "[1:-1]")


@st.composite
def patterns(draw: st.DrawFn) -> str:
    """A host pattern; some of its names may be nobody's."""
    count = draw(st.integers(1, 3))
    signs = ["", *(draw(st.sampled_from(["", "&", "!"])) for _ in range(count - 1))]
    terms = [sign + draw(st.sampled_from(TERMS)) for sign in signs]
    first = terms[0]
    if not first.startswith("~") and not any(sign in first for sign in "*?["):
        terms[0] = first + draw(st.sampled_from(PARTS))
    return draw(st.sampled_from([":", ","])).join(terms)


@st.composite
def inventories(draw: st.DrawFn) -> Written:
    """An inventory of one file or a folder, variables beside it and beside the playbook, and patterns."""
    folder = draw(st.booleans())
    files = {}
    if folder:
        for number in range(draw(st.integers(1, 2))):
            files[f"inventory/{number}-hosts.yaml"] = _dump(_source(draw, number == 0))
    else:
        files["inventory/hosts.yaml"] = _dump(_source(draw, True))
    files |= _variable_files(draw, "inventory/")
    if draw(st.booleans()):
        files |= _variable_files(draw, "play/")
    asked = tuple(draw(st.lists(patterns(), min_size=3, max_size=6)))
    return Written(files, "inventory" if folder else "inventory/hosts.yaml", "play", asked)
