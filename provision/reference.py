"""The reference of the playbook's language, as Markdown made from the models: `python -m provision.reference`.

Owns how models are shown; must not state a keyword, an option or a default of its own.
"""

from __future__ import annotations

import dataclasses
import re
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from provision import ansible_names as names
from provision import filters, modules
from provision.playbook import (
    FileSystem,
    Keywords,
    LoopControl,
    PlayKeywords,
    PromptKeywords,
    RoleEntry,
    SharedData,
    SharedLink,
    TaskKeywords,
)

__all__ = ["reference"]

FILE = Path("docs/reference/playbook.md")
_NAMES = {str: "text", bool: "truth value", int: "whole number", float: "number", Any: "any"}
_KEYWORDS = (
    ("Play", PlayKeywords),
    ("Task, handler, block", TaskKeywords),
    ("loop_control", LoopControl),
    ("Item of `roles`", RoleEntry),
    ("Item of `vars_prompt`", PromptKeywords),
    ("shared_data", SharedData),
    ("`filesystem` of shared_data", FileSystem),
    ("Link of shared_data", SharedLink),
)
_PLACES: tuple[tuple[str, type[Keywords]], ...] = (
    ("play", PlayKeywords),
    ("task", TaskKeywords),
    ("block", TaskKeywords),
    ("role", RoleEntry),
    ("loop_control", LoopControl),
)
_BLOCK = ("block", "rescue", "always")
_INTRODUCTION = """# Playbook reference

Made from the models by `python -m provision.reference`; do not edit. What the words are for is in the
[guide](../guide.md). Where Ansible has a word, it has Ansible's meaning. Each type may also be a template, `"{{ … }}"`.
Whatever is not listed here is refused before any host is contacted."""


def reference() -> str:
    """The whole reference as Markdown."""
    parts: list[Iterable[str]] = [[_INTRODUCTION]]
    parts += [_keywords(title, model) for title, model in _KEYWORDS]
    parts += [["## Resources", "A task has one of these, with a mapping of options."]]
    parts += [_resource(words) for words in _same_words()]
    parts += [["## Directives", "They only think; no host is asked."]]
    parts += [_directive(word) for word in sorted(modules.DIRECTIVES)]
    parts += [_words(), _ansible()]
    return "\n\n".join(line for part in parts for line in part) + "\n"


def _keywords(title: str, model: type[Keywords]) -> Iterator[str]:
    yield f"## {title}"
    yield str(model.__doc__)
    rows = (
        (name, kind_words(kind), getattr(model, "register_" if name == "register" else name, "required"))
        for name, kind in model.kinds().items()
    )
    yield _table("keyword", rows)


def _same_words() -> list[list[str]]:
    """Words that mean the same stand together."""
    groups: list[list[str]] = []
    for word in sorted(filter(modules.is_word, modules.MODULES)):
        group = next((group for group in groups if modules.MODULES[group[0]] == modules.MODULES[word]), None)
        groups.append([word]) if group is None else group.append(word)
    return groups


def _resource(words: list[str]) -> Iterator[str]:
    module = modules.MODULES[words[0]]
    spec = modules.spec_class(module.resource)
    yield f"### {', '.join(words)}"
    yield _sentences(sys.modules[spec.__module__].__doc__)[0]
    yield _table("option", _options(words[0], module, spec))
    if told := _told(str(spec.__doc__), module.hidden):
        yield told
    if module.aliases:
        yield "Also accepted: " + ", ".join(f"`{a}` for `{b}`" for a, b in sorted(module.aliases.items())) + "."
    if module.free_form:
        yield f"Plain text in place of the mapping is `{module.free_form}`."


def _options(word: str, module: modules.Module, spec: type[Any]) -> Iterator[tuple[str, str, Any]]:
    """Where the control side fills fields in itself, only what the table of words calls required is."""
    defaults = {field.name: _default(field) for field in dataclasses.fields(spec)}
    for name, kind in modules.options(word).items():
        default = "required" if name in module.required else defaults.get(name)
        if default == "required" and module.extra and name not in module.required:
            default = None
        yield name, kind_words(kind) + _states(spec, name, default), default


def _directive(word: str) -> Iterator[str]:
    yield f"### {word}"
    options = modules.DIRECTIVES[word]
    if word == "meta":
        yield "Plain text: " + ", ".join(f"`{name}`" for name in modules.META) + "."
    elif options:
        yield _table("option", ((name, kind_words(kind), None) for name, kind in options.items()))
    else:
        yield "Any names, with their values."


def _words() -> Iterator[str]:
    yield "## Imports"
    yield ", ".join(f"`{word}`" for word in sorted({*modules.IMPORTS, "import_playbook"})) + ": read before the run."
    yield "## Filters and tests"
    yield "Jinja's own, and these filters: " + _listed(filters.FILTERS.names()) + "."
    yield "These tests: " + _listed(filters.TESTS.names()) + "."
    yield "These lookups: " + _listed(filters.LOOKUPS) + "."
    for kind, refused in filters.REFUSED.items():
        yield f"Each {kind} of these is refused, with the reason: " + _listed(refused) + "."


def _ansible() -> Iterator[str]:
    """Every keyword, module and option of Ansible that the language is about: supported, or why not."""
    yield "## Ansible's words"
    yield "Every keyword, module and option of Ansible's set (names as of ansible-core 2.19), supported or not."
    yield "### Ansible's keywords"
    rows = [
        (f"`{word}`", where, *_keyword(word, model)) for where, model in _PLACES for word in names.keywords()[where]
    ]
    yield _ansible_table("keyword | of", rows)
    for word in sorted(filter(_tabled, [*modules.MODULES, *modules.DIRECTIVES])):
        yield f"### Ansible's {word}"
        yield _ansible_table("option", [(f"`{own}`", *_option(word, own)) for own in names.options(word)])
    yield "### Ansible's other modules"
    others = [word for word in names.known_modules() if names.module(word) is not None]
    yield _ansible_table("module", [(f"`{word}`", *_refusal(names.module(word))) for word in others])


def _tabled(word: str) -> bool:
    return bool(names.options(word)) and modules.is_word(word) and word != "systemd"


def _keyword(word: str, model: type[Keywords]) -> tuple[str, str]:
    supported = word in model.words() or word in _BLOCK
    return ("yes", "") if supported else _refusal(names.keyword(word))


def _option(word: str, name: str) -> tuple[str, str]:
    module = modules.MODULES.get(word)
    written = module.aliases.get(name, name) if module else name
    if written not in modules.options(word):
        return _refusal(names.option(word, name))
    return "yes", "" if written == name else f"here also `{written}`"


def _refusal(refused: names.Refused | None) -> tuple[str, str]:
    found = refused or names.Refused()
    return "no", "; ".join(part for part in (found.why, found.instead) if part)


def _ansible_table(head: str, rows: Iterable[tuple[str, ...]]) -> str:
    columns = head.count("|") + 3
    cells = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([f"| {head} | supported | |", "|" + "---|" * columns, *cells])


def kind_words(kind: Any) -> str:
    """A type as people read it."""
    origin, inner = get_origin(kind), [part for part in get_args(kind) if part is not type(None)]
    if origin is Annotated:
        return kind_words(inner[0])
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(kind_words(part) for part in inner))
    if origin is list:
        return "list" if inner == [Any] else f"list of {kind_words(inner[0])}"
    if origin is dict:
        return "mapping" if inner[1] is Any else f"mapping to {kind_words(inner[1])}"
    return _NAMES.get(kind, "mapping")


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else "required"


def _states(spec: type[Any], name: str, default: Any) -> str:
    """The values of `state`, where the resource names them."""
    known = getattr(sys.modules[spec.__module__], "_STATES", ("present", "absent") if default == "present" else ())
    return ": " + ", ".join(f"`{value}`" for value in known) if name == "state" and known else ""


def _table(head: str, rows: Iterable[tuple[str, str, Any]]) -> str:
    lines = [f"| {head} | type | default |", "|---|---|---|"]
    lines += [f"| `{name}` | {kind} | {_shown(default)} |" for name, kind, default in rows]
    return "\n".join(lines)


def _shown(default: Any) -> str:
    if default == "required":
        return "**required**"
    if default is None or default in ("", [], {}):
        return ""
    text = (
        str(default).lower() if isinstance(default, bool) else f"{default:g}" if isinstance(default, float) else default
    )
    return f"`{text}`"


def _told(docstring: str, hidden: frozenset[str]) -> str:
    """What a Spec says of its options: no example, and nothing of the fields that an operator does not write."""
    paragraphs = [" ".join(part.split()) for part in _prose(docstring)]
    sentences = [sentence for part in paragraphs for sentence in _sentences(part)]
    return " ".join(s for s in sentences if "_blob" not in s and not any(f"`{name}`" in s for name in hidden))


def _prose(docstring: str) -> Iterator[str]:
    """The paragraphs behind the first that hold no YAML."""
    for paragraph in docstring.split("\n\n")[1:]:
        first = paragraph.strip("\n").splitlines()[0] if paragraph.strip() else "- "
        if not first.strip().startswith("- ") and not re.match(r"\s*\w+:", first):
            yield paragraph


def _sentences(text: str | None) -> list[str]:
    return re.split(r"(?<=\.) (?=[A-Z`])", " ".join((text or "").split("\n\n")[0].split()))


def _listed(words: Iterable[str] | Mapping[str, Any]) -> str:
    return ", ".join(f"`{word}`" for word in sorted(words))


if __name__ == "__main__":
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(reference(), encoding="utf-8")
