"""Strict, sandboxed Jinja over what the operator wrote: only `Template` is rendered, once, and the result is plain.

Owns compiling (cached by text), rendering and the errors of templates with their places. Where names come from is
the `Names` that a caller gives; must not know of hosts, plays or files beyond a template's text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Protocol

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.meta import find_undeclared_variables
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from provision.agent.record import record
from provision.errors import Mark, ProvisionError
from provision.filters import FILTERS, GLOBALS, TESTS
from provision.source import Template
from provision.template_errors import UndefinedVariable, failed, place, syntax, through, undefined_name

__all__ = ["KnownAfterApply", "Names", "NamesOf", "Renderer", "UndefinedVariable", "Unsettled"]

MAX_REPEAT = 10_000_000
_NAME = re.compile(r"\{\{ *([A-Za-z]\w*) *\}\}\Z", re.ASCII)
_WORDS = frozenset(("true", "false", "none", "True", "False", "None", "not", "loop", "self", "super", "caller"))


class Names(Protocol):
    """Where a template's names are looked up."""

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


class _MissingName(jinja2.UndefinedError):
    def __init__(self, message: str | None, undefined: _Missing) -> None:
        super().__init__(message)
        self.undefined = undefined


class _Missing(jinja2.StrictUndefined):
    """Fails when used, as in Ansible also through attributes, unless `default` or `is defined` asks first."""

    __slots__ = ("cause",)
    cause: ProvisionError | None

    def __init__(
        self,
        hint: str | None = None,
        obj: Any = missing,
        name: str | None = None,
        exc: Any = jinja2.UndefinedError,
        cause: ProvisionError | None = None,
    ) -> None:
        stated: Any = exc if exc is SecurityError else lambda message: _MissingName(message, self)
        super().__init__(hint, obj, name, stated)
        self.cause = cause

    def __getattr__(self, name: str) -> Any:
        if name[:2] == "__":
            raise AttributeError(name)
        return self

    def __getitem__(self, key: Any) -> Any:
        return self

    @property
    def subject(self) -> tuple[Any, str]:
        return self._undefined_obj, str(self._undefined_name)

    def fail(self) -> Exception:
        return self._undefined_exception(self._undefined_message)


class _Context(Context):
    """Looks names up in the `Names` that stands as its parent."""

    def resolve_or_missing(self, key: str) -> Any:
        if key in self.vars:
            return self.vars[key]
        try:
            return self.parent.find(key)  # type: ignore[attr-defined]
        except UndefinedVariable as error:
            return _Missing(name=key, cause=error)


class _Sandbox(ImmutableSandboxedEnvironment):
    context_class = _Context
    intercepted_binops = frozenset(("*", "**"))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        size = len(left) * right if isinstance(left, str | list) and isinstance(right, int) else 0
        if size > MAX_REPEAT or (operator == "**" and isinstance(right, int) and right > 1000):
            raise SecurityError("the result would be too large")
        return super().call_binop(context, operator, left, right)


@record(frozen=True, slots=True)
class _Compiled:
    template: jinja2.Template
    native: bool


class Renderer:
    """Renders templates; compiled ones are kept by their text, so that a fleet compiles each once."""

    def __init__(self) -> None:
        options: dict[str, Any] = {
            "undefined": _Missing,
            "trim_blocks": True,
            "keep_trailing_newline": True,
            "autoescape": False,
        }
        self._environment = _Sandbox(finalize=_finalize, **options)
        self._environment.filters |= FILTERS
        self._environment.tests |= TESTS
        self._environment.globals = {
            name: value for name, value in self._environment.globals.items() if name in GLOBALS
        }
        self._globals = dict(self._environment.globals)
        self._compiled: dict[str, _Compiled] = {}
        self._names: dict[str, NamesOf] = {}

    def render(self, value: Any, names: Names) -> Any:
        """The plain value, templates rendered, in lists and dicts too; raises UndefinedVariable, ProvisionError."""
        kind = type(value)
        if kind is Template:
            return self._run(value, names)
        if isinstance(value, dict):
            return {key: self.render(item, names) for key, item in value.items()}
        if isinstance(value, list):
            return [self.render(item, names) for item in value]
        return value

    def evaluate(self, expression: str, names: Names, where: Mark) -> Any:
        """The value of a bare expression, such as that of `when`."""
        return self._run(_expression(expression, where), names)

    def test(self, expression: Any, names: Names, where: Mark) -> bool:
        """Whether a condition holds; text that looks like a truth value is an error, since all text counts as true."""
        if not isinstance(expression, str):
            return bool(expression)
        value = self.evaluate(expression, names, where)
        if isinstance(value, str) and value.strip().lower() in (
            "true",
            "false",
            "yes",
            "no",
            "on",
            "off",
            "0",
            "1",
            "",
        ):
            raise ProvisionError(
                f"the condition `{expression}` gives the text {value!r}, not a truth value",
                where=where,
                hint=f"write `{expression} | bool`" if value else f"write `{expression} | length > 0`",
            )
        return bool(value)

    def text(self, content: str, file: str, names: Names) -> str:
        """A template file's text, rendered; errors point into that file."""
        return str(self._run(Template(content, Mark(file, 1, 1), content), names, native=False))

    def check(self, template: Template, *, native: bool = True) -> NamesOf:
        """What a template needs, found without rendering it; raises ProvisionError where it does not parse."""
        found = self._names.get(template)
        if found is None and native and (name := self._name(template)):
            return NamesOf(frozenset((name,)), frozenset())
        if found is None:
            try:
                tree = self._environment.parse(template)
                self._compile(template, native)
            except jinja2.TemplateSyntaxError as error:
                raise syntax(error, template) from None
            found = self._names[str(template)] = NamesOf.of(tree, frozenset(self._globals))
        return found

    def check_expression(self, expression: str, where: Mark) -> NamesOf:
        """As `check`, of a bare expression."""
        return self.check(_expression(expression, where))

    def global_value(self, name: str) -> Any:
        return self._globals.get(name, missing)

    def _compile(self, text: str, native: bool) -> _Compiled:
        key = text if native else "\0" + text
        found = self._compiled.get(key)
        if found is None:
            found = self._compiled[key] = _compiled(self._environment, str(text), native)
        return found

    def _name(self, text: str) -> str | None:
        """The name that a template is nothing but, as most are: it needs no compiling."""
        found = _NAME.match(text)
        return found[1] if found and found[1] not in _WORDS and found[1] not in self._globals else None

    def _run(self, template: Template, names: Names, native: bool = True) -> Any:
        name = self._name(template) if native else None
        try:
            if name and (value := _found(names, name)) is not missing:
                return _plain(value)
            return _execute(self._compile(template, native), names)
        except jinja2.TemplateSyntaxError as error:
            raise syntax(error, template) from None
        except _MissingName as error:
            raise _undefined(error, template, names) from None
        except (Unsettled, KnownAfterApply, ProvisionError):
            raise
        except SecurityError as error:
            raise failed(error, template, f"the sandbox forbids it: {error}") from None
        except Exception as error:
            raise failed(error, template, str(error) or type(error).__name__) from None


def _undefined(error: _MissingName, template: Template, names: Names) -> ProvisionError:
    undefined = error.undefined
    owner, name = undefined.subject
    if undefined.cause is not None:
        return through(undefined.cause, name)
    return undefined_name((owner, name), place(template, name, error.__traceback__), names.known(), names.looked())


def _found(names: Names, name: str) -> Any:
    try:
        return names.find(name)
    except UndefinedVariable:
        return missing


def _finalize(value: Any) -> Any:
    return "" if value is None else value


def _compiled(environment: jinja2.Environment, text: str, native: bool) -> _Compiled:
    """A template that is one expression becomes an assignment, whose value keeps its type."""
    if native:
        tree = environment.parse(text)
        body = tree.body
        if len(body) == 1 and isinstance(body[0], nodes.Output) and len(body[0].nodes) == 1:
            expression = body[0].nodes[0]
            if not isinstance(expression, nodes.TemplateData):
                assign = nodes.Assign(nodes.Name("result", "store"), expression, lineno=1)
                return _Compiled(environment.from_string(nodes.Template([assign], lineno=1)), True)
    return _Compiled(environment.from_string(text), False)


def _execute(compiled: _Compiled, names: Names) -> Any:
    template = compiled.template
    # made here, as `new_context` also lists all globals, which takes longer than most templates
    context = _Context(template.environment, names, template.name, template.blocks)  # type: ignore[arg-type]
    parts = template.root_render_func(context)
    if not compiled.native:
        return "".join(parts)
    for _ in parts:
        pass
    value = context.vars["result"]
    if isinstance(value, _Missing):
        raise value.fail()
    return _plain(value)


def _plain(value: Any) -> Any:
    """What leaves a template: tuples, generators and views become lists, text becomes exactly `str`."""
    if isinstance(value, str):
        return value if type(value) is str else str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, _Missing):
        raise value.fail()
    if isinstance(value, Iterable):
        return [_plain(item) for item in value]
    return value


def _expression(text: str, where: Mark) -> Template:
    return Template("{{ " + text + " }}", where, text)


@record(frozen=True, slots=True)
class NamesOf:
    """The names that a template uses: `needed` must exist, `asked` may lack (a default or a test says so)."""

    needed: frozenset[str]
    asked: frozenset[str]

    @property
    def all(self) -> frozenset[str]:
        return self.needed | self.asked

    @staticmethod
    def of(tree: nodes.Template, known: frozenset[str]) -> NamesOf:
        names = frozenset(find_undeclared_variables(tree)) - known
        asked = frozenset(name for node in tree.find_all(nodes.Node) for name in _asked(node))
        return NamesOf(names - asked, names & asked)


def _asked(node: nodes.Node) -> Iterable[str]:
    if isinstance(node, nodes.Filter) and node.name in ("default", "d") and node.node is not None:
        return _base(node.node)
    if isinstance(node, nodes.Test) and node.name in ("defined", "undefined"):
        return _base(node.node)
    return ()


def _base(node: nodes.Node) -> Iterable[str]:
    while isinstance(node, nodes.Getattr | nodes.Getitem | nodes.Filter) and node.node is not None:
        node = node.node
    return (node.name,) if isinstance(node, nodes.Name) else ()
