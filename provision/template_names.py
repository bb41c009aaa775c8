"""What a template is made of, found without rendering it: names, filters, tests and lookups.

Pure, over Jinja's syntax trees.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from jinja2 import nodes
from jinja2.meta import find_undeclared_variables

from provision.agent.record import record
from provision.filters import FILTERS, LOOKUPS, TESTS

__all__ = ["MARKED", "NamesOf", "facts_in", "mark_lookups", "unknown_words"]

_LOOKUPS = ("lookup", "query", "q")
_BY_NAME = {"map": "filter", "select": "test", "reject": "test", "selectattr": "test", "rejectattr": "test"}
"""Filters that are given another filter, or a test, by name."""
_OF_OTHER_FILES: dict[type[nodes.Node], str] = {
    nodes.Extends: "extends",
    nodes.FromImport: "import",
    nodes.Import: "import",
    nodes.Include: "include",
}
MARKED = "names_in_arguments"


@record(frozen=True, slots=True)
class NamesOf:
    """The names that a template uses: `needed` must exist, `asked` may lack (a default or a test says so).

    `origins` are all that its value may come from: as the others, but of `hostvars[…].NAME` it is `hostvars.NAME`,
    and of `ansible_facts.NAME` that.
    """

    needed: frozenset[str]
    asked: frozenset[str]
    origins: frozenset[str]

    @property
    def all(self) -> frozenset[str]:
        return self.needed | self.asked

    @staticmethod
    def only(name: str) -> NamesOf:
        """Of a template that is nothing but a name."""
        one = frozenset((name,))
        return NamesOf(one, frozenset(), one)

    @staticmethod
    def of(tree: nodes.Template, known: frozenset[str]) -> NamesOf:
        names = frozenset(find_undeclared_variables(tree)) - known
        asked = frozenset(name for node in tree.find_all(nodes.Node) for name in _asked(node))
        looked = {name: needed for call in _calls(tree) for name, needed in _looked_up(call)}
        needed = names - asked | {name for name, must in looked.items() if must}
        others = frozenset(name for name, must in looked.items() if not must) - needed
        return NamesOf(needed, names & asked | others, _origins(tree, names) | frozenset(looked))


def facts_in(origins: Iterable[str]) -> Iterator[str]:
    """Those names that facts may give."""
    for name in origins:
        key = name.removeprefix("hostvars.")
        if key.startswith("ansible_") or key == "hostvars":
            yield name


def unknown_words(tree: nodes.Template) -> Iterator[tuple[str, str, int]]:
    """Filters, tests and lookups that do not exist, and statements that read other files: kind, name and line."""
    for other in tree.find_all(tuple(_OF_OTHER_FILES)):
        yield "statement", _OF_OTHER_FILES[type(other)], other.lineno
    for node in tree.find_all((nodes.Filter, nodes.Test, nodes.Call)):
        if isinstance(node, nodes.Filter):
            yield from _missing("filter", node.name, node.lineno)
            if node.name in _BY_NAME:
                position = 1 if node.name.endswith("attr") else 0
                named = node.args[position] if len(node.args) > position else None
                if isinstance(named, nodes.Const) and isinstance(named.value, str):
                    yield from _missing(_BY_NAME[node.name], named.value, node.lineno)
        elif isinstance(node, nodes.Test):
            yield from _missing("test", node.name, node.lineno)
        elif isinstance(node, nodes.Call) and _is_lookup(node) and node.args and isinstance(node.args[0], nodes.Const):
            yield from _missing("lookup", _short(node.args[0].value), node.lineno)


def _missing(kind: str, name: str, line: int) -> Iterator[tuple[str, str, int]]:
    known: Any = {"filter": FILTERS, "test": TESTS, "lookup": LOOKUPS}[kind]
    if name not in known:
        yield kind, name, line


def _short(name: Any) -> str:
    return str(name).removeprefix("ansible.builtin.").removeprefix("ansible.legacy.")


def mark_lookups(tree: nodes.Template) -> nodes.Template:
    """Tells each lookup the names that its arguments use, so that it can refuse those that come from a host."""
    calls = list(_calls(tree))
    free = find_undeclared_variables(tree) if calls else set()
    for call in calls:
        used = {node.name for part in (*call.args, *call.kwargs) for node in part.find_all(nodes.Name)}
        inside = used | {part.name for part in call.args if isinstance(part, nodes.Name)}
        # a name of the template's own, such as a loop's, may be made of any other
        names = inside if inside <= free else free
        origins = _origins(tree, frozenset(names)) - set(_LOOKUPS)
        call.kwargs.append(nodes.Keyword(MARKED, nodes.Const(tuple(sorted(origins)))))
    return tree


def _is_lookup(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) and node.node.name in _LOOKUPS


def _calls(tree: nodes.Template) -> Iterator[nodes.Call]:
    return (call for call in tree.find_all(nodes.Call) if _is_lookup(call))


def _looked_up(call: nodes.Call) -> Iterator[tuple[str, bool]]:
    """The variables that `lookup('vars', …)` asks for by constant names, and whether each must exist."""
    kind, *terms = call.args or [nodes.Const("")]
    if isinstance(kind, nodes.Const) and _short(kind.value) == "vars":
        must = not any(word.key == "default" for word in call.kwargs)
        for term in terms:
            yield (str(term.value), must) if isinstance(term, nodes.Const) else ("hostvars", False)


def _origins(tree: nodes.Template, names: frozenset[str]) -> frozenset[str]:
    """The names, but `hostvars.NAME` and `ansible_facts.NAME` where that is all that is used of these."""
    for whole, key_of in (("hostvars", _key_of_host), ("ansible_facts", _key_of_facts)):
        if whole in names:
            used = sum(1 for node in tree.find_all(nodes.Name) if node.name == whole)
            keys = [key for node in tree.find_all((nodes.Getattr, nodes.Getitem)) if (key := key_of(node))]
            others = frozenset(f"{whole}.{key}" for key in keys)
            names = names - {whole} | others if used == len(keys) else names | others
    return names


def _key_of_host(node: nodes.Node) -> str | None:
    """NAME of `hostvars[HOST].NAME` and `hostvars[HOST]['NAME']`."""
    host = node.node if isinstance(node, nodes.Getattr | nodes.Getitem) else None
    whole = host.node if isinstance(host, nodes.Getattr | nodes.Getitem) else None
    return _key(node) if isinstance(whole, nodes.Name) and whole.name == "hostvars" else None


def _key_of_facts(node: nodes.Node) -> str | None:
    whole = node.node if isinstance(node, nodes.Getattr | nodes.Getitem) else None
    return _key(node) if isinstance(whole, nodes.Name) and whole.name == "ansible_facts" else None


def _key(node: nodes.Node) -> str | None:
    if isinstance(node, nodes.Getattr):
        return node.attr
    key = node.arg if isinstance(node, nodes.Getitem) else None
    return str(key.value) if isinstance(key, nodes.Const) else None


def _asked(node: nodes.Node) -> Iterable[str]:
    if isinstance(node, nodes.Filter) and node.name.rpartition(".")[2] in ("default", "d") and node.node is not None:
        return _base(node.node)
    if isinstance(node, nodes.Test) and node.name.rpartition(".")[2] in ("defined", "undefined"):
        return _base(node.node)
    return ()


def _base(node: nodes.Node) -> Iterable[str]:
    while isinstance(node, nodes.Getattr | nodes.Getitem | nodes.Filter) and node.node is not None:
        node = node.node
    return (node.name,) if isinstance(node, nodes.Name) else ()
