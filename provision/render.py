"""Strict, sandboxed Jinja over what the operator wrote: only `Template` is rendered, once, and the result is plain.

Owns compiling (cached by text), rendering and the errors of templates with their places. Where names come from is
the `Names` that a caller gives (which of them come from a host, `host_values` tells); must not know of hosts, plays or
files beyond a template's text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import CodeType
from typing import Any, Protocol

import jinja2
from jinja2.exceptions import SecurityError
from jinja2.utils import missing

from provision.compiled_templates import CompiledTemplates
from provision.errors import Mark, ProvisionError
from provision.sandbox import (
    Missing,
    MissingName,
    NamesContext,
    expression_environment,
    joined,
    text_environment,
    value_environment,
)
from provision.secret.rendering import made_of_secrets, secretly, secrets_exist
from provision.secret.value import Secret, holds
from provision.source import Template
from provision.template_errors import (
    UndefinedVariable,
    failed,
    no_truth,
    place,
    syntax,
    through,
    undefined_name,
    undefined_on_purpose,
    unknown_word,
)
from provision.template_names import NamesOf, facts_in, unknown_words

__all__ = ["KnownAfterApply", "Names", "NamesOf", "Renderer", "UndefinedVariable", "Unsettled"]

_NAME = re.compile(r"\{\{ *([A-Za-z]\w*) *\}\}\Z", re.ASCII)
_WORDS = frozenset(("true", "false", "none", "True", "False", "None", "not", "loop", "self", "super", "caller"))
_OPTIONS = re.compile(r"#jinja2:([^\n]*)\n")
"""The first line of a template file may say how it is to be read."""


class Names(Protocol):
    """Where a template's names are looked up; `touched` says that a rendering has used a secret."""

    touched: bool

    def find(self, name: str) -> Any:
        """The plain value of a name, `jinja2.utils.missing` when there is none; may raise Unsettled."""

    def known(self) -> Iterable[str]:
        """All names, for hints."""

    def looked(self) -> str:
        """Where names are looked for, for errors."""


class Unsettled(Exception):
    """What was asked for is the result of a step that has not run yet."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class KnownAfterApply(Exception):
    """A check asks for what only a real run can know."""


Mode = str | tuple[tuple[str, Any], ...]
"""How a text is read: as a value, as an expression, or as a file, with Jinja's options."""
_VALUE, _EXPRESSION = "value", "expression"


class Renderer:
    """Renders templates; compiled ones are kept by their text, so that a fleet compiles each once."""

    def __init__(self) -> None:
        self._environments: dict[Mode, jinja2.Environment] = {_VALUE: value_environment()}
        self._globals = dict(self._environments[_VALUE].globals)
        self._compiled: dict[tuple[str, Mode, bool], jinja2.Template] = {}
        self._names: dict[tuple[Mode, str], NamesOf] = {}
        self.kept = CompiledTemplates()
        self.facts: set[str] = set()
        """Names that the checked templates use and facts may give."""

    def render(self, value: Any, names: Names) -> Any:
        """The plain value, templates rendered, in lists and dicts too; raises UndefinedVariable, ProvisionError."""
        kind = type(value)
        if kind is Template:
            return self._run(value, names)
        if isinstance(value, Template):
            return secretly(value, names, self._run)
        if isinstance(value, dict):
            return {key: self.render(item, names) for key, item in value.items()}
        if isinstance(value, list):
            return [self.render(item, names) for item in value]
        return value

    def evaluate(self, expression: str, names: Names, where: Mark) -> Any:
        """The value of a bare expression, such as that of `when`."""
        return self._run(_expression(expression, where), names, _EXPRESSION)

    def test(self, expression: Any, names: Names, where: Mark) -> bool:
        """Whether a condition holds; as in Ansible a value that is no truth value is an error, text above all."""
        if not isinstance(expression, str):
            return bool(expression)
        value = self.evaluate(expression, names, where)
        if not isinstance(value, bool):
            raise no_truth(expression, value, where)
        return value

    def text(self, content: str, file: str, names: Names, options: Mapping[str, Any] | None = None) -> str:
        """A template file's text, rendered; errors point into that file.

        `options` are Jinja's, such as `lstrip_blocks`; a first line `#jinja2: lstrip_blocks: True` says the same.
        """
        template, mode = _of_file(content, file, options)
        names.touched = names.touched or isinstance(content, Secret)
        return self._run(template, names, mode)  # type: ignore[no-any-return]

    def check(self, template: Template) -> NamesOf:
        """What a template needs, found without rendering it; raises ProvisionError where it does not parse."""
        return self._check(template, _VALUE)

    def check_text(self, content: str, file: str, options: Mapping[str, Any] | None = None) -> tuple[Template, NamesOf]:
        """As `check`, of a template file, read as `text` reads it."""
        template, mode = _of_file(content, file, options)
        return template, self._check(template, mode)

    def check_expression(self, expression: str, where: Mark) -> NamesOf:
        """As `check`, of a bare expression."""
        return self._check(_expression(expression, where), _EXPRESSION)

    def _check(self, template: Template, mode: Mode) -> NamesOf:
        key = (mode, str(template))
        found = self._names.get(key)
        if found is None and mode == _VALUE and (name := self._name(template)):
            if name.startswith("ansible_"):
                self.facts.add(name)
            return NamesOf.only(name)
        if found is None:
            found = self._names[key] = self._known(template, mode) or self._parsed(template, mode)
            self.facts.update(facts_in(found.origins))
        return found

    def _known(self, template: Template, mode: Mode) -> NamesOf | None:
        """What an earlier run found of the same text, with its code."""
        found = self.kept.find(mode, template) if not secrets_exist() else None
        if found is None:
            return None
        self._compiled[str(template), mode, False] = _loaded(self._environment(mode), found[0])
        return NamesOf(*found[1])

    def _parsed(self, template: Template, mode: Mode) -> NamesOf:
        environment = self._environment(mode)
        try:
            tree = environment.parse(template)
            for kind, name, line in unknown_words(tree):
                raise unknown_word(kind, name, line, template)
            names = NamesOf.of(tree, frozenset(self._globals))
            if secrets_exist():
                self._compile(template, mode)
                return names
            code = environment.compile(str(template))
        except jinja2.TemplateSyntaxError as error:
            raise syntax(error, template) from None
        self._compiled[str(template), mode, False] = _loaded(environment, code)
        self.kept.add(mode, template, code, (names.needed, names.asked, names.origins))
        return names

    def global_value(self, name: str) -> Any:
        return self._globals.get(name, missing)

    def _compile(self, text: str, mode: Mode, watched: bool = False) -> jinja2.Template:
        found = self._compiled.get((text, mode, watched))
        if found is None:
            found = self._compiled[str(text), mode, watched] = self._environment(mode).from_string(str(text))
        return found

    def _environment(self, mode: Mode) -> jinja2.Environment:
        if mode not in self._environments:
            made = expression_environment() if isinstance(mode, str) else text_environment(**dict(mode))
            self._environments[mode] = made
        return self._environments[mode]

    def _name(self, text: str) -> str | None:
        """The name that a template is nothing but, as most are: it needs no compiling."""
        found = _NAME.match(text)
        return found[1] if found and found[1] not in _WORDS and found[1] not in self._globals else None

    def _run(self, template: Template, names: Names, mode: Mode = _VALUE) -> Any:
        name = self._name(template) if isinstance(mode, str) else None
        try:
            if name and (value := _found(names, name)) is not missing:
                names.touched = names.touched or holds(value)
                return _plain(value)
            watched = secrets_exist()
            value = _execute(self._compile(template, mode, watched), names, isinstance(mode, str))
            if not watched and secrets_exist():
                # a secret came up while it was rendered: now it is looked for
                value = _execute(self._compile(template, mode, True), names, isinstance(mode, str))
            return _ended(value, template) if mode == _VALUE and template[-1:] == "\n" else value
        except jinja2.TemplateSyntaxError as error:
            raise syntax(error, template) from None
        except MissingName as error:
            raise _undefined(error, template, names) from None
        except ProvisionError as error:
            error.where = error.where or template.mark
            raise
        except (Unsettled, KnownAfterApply):
            raise
        except SecurityError as error:
            raise failed(error, template, f"the sandbox forbids it: {error}") from None
        except Exception as error:
            raise failed(error, template, str(error) or type(error).__name__) from None


def _loaded(environment: jinja2.Environment, code: CodeType) -> jinja2.Template:
    return environment.template_class.from_code(environment, code, environment.make_globals(None))


def _undefined(error: MissingName, template: Template, names: Names) -> ProvisionError:
    undefined = error.undefined
    owner, name = undefined.subject
    if undefined.cause is not None:
        return through(undefined.cause, name)
    if undefined.hint:
        return undefined_on_purpose(undefined.hint, place(template, "", error.__traceback__), template)
    return undefined_name((owner, name), place(template, name, error.__traceback__), names.known(), names.looked())


def _found(names: Names, name: str) -> Any:
    try:
        return names.find(name)
    except UndefinedVariable:
        return missing


def _execute(template: jinja2.Template, names: Names, native: bool) -> Any:
    # made here, as `new_context` also lists all globals, which takes longer than most templates
    context = NamesContext(template.environment, names, template.name, template.blocks)  # type: ignore[arg-type]
    before, names.touched = names.touched, False
    try:
        parts = template.root_render_func(context)
        value = _plain(joined(parts)) if native else "".join(parts)
        return made_of_secrets(value) if names.touched else value
    finally:
        names.touched = names.touched or before


def _ended(value: Any, template: str) -> Any:
    """A text with as many ends of lines as its template has; other values have none."""
    if not isinstance(value, str):
        return value
    lacking = (len(template) - len(template.rstrip("\n"))) - (len(value) - len(value.rstrip("\n")))
    ended = value + "\n" * lacking
    return Secret(ended) if type(value) is Secret else ended


def _plain(value: Any) -> Any:
    """What leaves a template: tuples, generators and views become lists, text becomes exactly `str`."""
    if isinstance(value, str):
        return value if type(value) is str or type(value) is Secret else str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Missing):
        raise value.fail()
    if isinstance(value, Mapping):
        return {key: _plain(value[key]) for key in value}
    if isinstance(value, Iterable):
        return [_plain(item) for item in value]
    return value


def _expression(text: str, where: Mark) -> Template:
    return Template("{{ " + text + " }}", where, text)


_JINJA_OPTIONS = frozenset(
    (
        *("block_start_string", "block_end_string", "variable_start_string", "variable_end_string"),
        *("comment_start_string", "comment_end_string", "lstrip_blocks", "trim_blocks", "newline_sequence"),
        "keep_trailing_newline",
    )
)


def _of_file(content: str, file: str, options: Mapping[str, Any] | None) -> tuple[Template, Mode]:
    """A file's text without the first line that says how to read it, and how it is read."""
    given, first = dict(options or {}), 1
    header = _OPTIONS.match(content)
    if header:
        given |= _options(header[1], file)
        content, first = content[header.end() :], 2
    return Template(content, Mark(file, first, 1), content), tuple(sorted(given.items()))


def _options(line: str, file: str) -> dict[str, Any]:
    """What the first line of a template file says: `lstrip_blocks: True, trim_blocks: False`."""
    import ast

    found: dict[str, Any] = {}
    for part in line.split(","):
        name, _, value = (word.strip() for word in part.partition(":"))
        try:
            found[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[name] = None
        if name not in _JINJA_OPTIONS or found[name] is None:
            raise ProvisionError(
                f"`{part.strip()}` is no option of Jinja",
                where=Mark(file, 1, 1),
                hint="write `#jinja2: lstrip_blocks: True`",
            )
    return found
