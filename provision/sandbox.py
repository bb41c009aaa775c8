"""Jinja as it is used here: strict, sandboxed, and giving values rather than text where nothing but a value is written.

Owns what undefined is, how names reach a template, and which functions it may call. Must not know where names come
from, nor state errors for the operator.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import ItemsView, Iterable, Iterator, KeysView, ValuesView
from typing import Any

import jinja2
from jinja2 import nodes, pass_context
from jinja2.compiler import Frame
from jinja2.exceptions import SecurityError
from jinja2.lexer import TokenStream
from jinja2.nativetypes import NativeCodeGenerator
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from provision.errors import ProvisionError
from provision.filters import FILTERS, GLOBALS, TESTS
from provision.secret.rendering import secrets_exist
from provision.template_errors import UndefinedVariable
from provision.template_names import mark_lookups

__all__ = [
    "Missing",
    "MissingName",
    "NamesContext",
    "expression_environment",
    "joined",
    "shown",
    "text_environment",
    "value_environment",
]

MAX_REPEAT = 10_000_000


class MissingName(jinja2.UndefinedError):
    """A name or a key that does not exist was used."""

    def __init__(self, message: str | None, undefined: Missing) -> None:
        super().__init__(message)
        self.undefined = undefined


class Missing(jinja2.StrictUndefined):
    """Fails when used, as in Ansible also through attributes, unless `default` or `is defined` asks first."""

    __slots__ = ("cause", "inside")
    cause: ProvisionError | None
    inside: bool
    """Something in a list or mapping is undefined: as in Ansible the whole is defined, but cannot be used."""

    def __init__(
        self,
        hint: str | None = None,
        obj: Any = missing,
        name: str | None = None,
        exc: Any = jinja2.UndefinedError,
        cause: ProvisionError | None = None,
        inside: bool = False,
    ) -> None:
        stated: Any = exc if exc is SecurityError else lambda message: MissingName(message, self)
        super().__init__(hint, obj, name, stated)
        self.cause = cause
        self.inside = inside

    def __getattr__(self, name: str) -> Any:
        if name[:2] == "__":
            raise AttributeError(name)
        return self

    def __getitem__(self, key: Any) -> Any:
        return self

    @property
    def subject(self) -> tuple[Any, str]:
        return self._undefined_obj, str(self._undefined_name)

    @property
    def hint(self) -> str:
        """What is said instead of the name, where something is."""
        return self._undefined_hint or ""

    def fail(self) -> Exception:
        return self._undefined_exception(self._undefined_message)


class NamesContext(Context):
    """Looks names up in the `Names` that stands as its parent."""

    def resolve_or_missing(self, key: str) -> Any:
        if key in self.vars:
            return self.vars[key]
        try:
            return self.parent.find(key)  # type: ignore[attr-defined]
        except UndefinedVariable as error:
            written = self.parent.raw(key)  # type: ignore[attr-defined]
            return Missing(name=key, cause=error, inside=isinstance(written, dict | list))


class _Sandbox(ImmutableSandboxedEnvironment):
    context_class = NamesContext
    intercepted_binops = frozenset(("*", "**"))

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        return mark_lookups(super()._parse(source, name, filename))

    def _generate(
        self, source: nodes.Template, name: str | None, filename: str | None, defer_init: bool = False
    ) -> str:
        tree = source
        if secrets_exist():
            from provision.secret.watch import LOOKS, watched

            filters: Any = self.filters
            if not isinstance(filters, ChainMap):
                filters = ChainMap(LOOKS, filters)
            self.filters = filters
            tree = watched(source, not isinstance(self, _ExpressionSandbox))
        return super()._generate(tree, name, filename, defer_init)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        size = len(left) * right if isinstance(left, str | list) and isinstance(right, int) else 0
        if size > MAX_REPEAT or (operator == "**" and isinstance(right, int) and right > 1000):
            raise SecurityError("the result would be too large")
        return super().call_binop(context, operator, left, right)


class _Values(NativeCodeGenerator):
    """Leaves every expression a value; Jinja's own folds constants into text."""

    def _output_child_to_const(self, node: nodes.Expr, frame: Frame, finalize: Any) -> str:
        if isinstance(node, nodes.TemplateData):
            return str(super()._output_child_to_const(node, frame, finalize))
        raise nodes.Impossible()


class _ExpressionSandbox(_Sandbox):
    code_generator_class = _Values
    concat = staticmethod(lambda parts: joined(parts))


class _ValueSandbox(_ExpressionSandbox):
    """In values of YAML files a backslash in a quoted text is just that, as in Ansible: `regex_replace('a', '\\1')`."""

    def _tokenize(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> TokenStream:
        tokens = self.lexer.tokeniter(source, name, filename, state)
        doubled = (
            (line, kind, text.replace("\\", "\\" * 2) if kind == "string" else text) for line, kind, text in tokens
        )
        return TokenStream(self.lexer.wrap(doubled, name, filename), name, filename)


def joined(parts: Iterable[Any]) -> Any:
    """What a template comes to, as in Ansible: one value stays as it is, several become text; None is nothing."""
    found = [part for part in parts if part is not None]
    if not found:
        return None
    return found[0] if len(found) == 1 else "".join(str(shown(part)) for part in found)


def shown(value: Any) -> Any:
    """A value as it stands in text: what is a list to a play is written as one, as in Ansible; None is nothing."""
    if isinstance(value, str | bool | int | float | range):
        return value
    if value is None:
        return ""
    if isinstance(value, dict):
        return {key: item if item is None else shown(item) for key, item in value.items()}
    if isinstance(value, list | tuple | KeysView | ValuesView | ItemsView | Iterator):
        return [item if item is None else shown(item) for item in value]
    return value


@pass_context
def _lookup(context: Context, kind: Any = "", *terms: Any, **options: Any) -> Any:
    from provision.lookups import look_up

    names: Any = context.parent
    return look_up(names, str(kind), terms, options)


@pass_context
def _query(context: Context, kind: Any = "", *terms: Any, **options: Any) -> Any:
    return _lookup(context, kind, *terms, **{**options, "wantlist": True})


def _undef(hint: Any = None) -> Missing:
    return Missing(hint=str(hint) if hint is not None else "it must be given a value")


def _now(utc: bool = False, fmt: str | None = None) -> Any:
    from provision.filters.numbers import now

    return now(utc, fmt)


_FUNCTIONS = {"lookup": _lookup, "query": _query, "q": _query, "undef": _undef, "now": _now}


def value_environment() -> jinja2.Environment:
    """For values: a template that is one expression keeps its type, also with a line's end after it, as in Ansible."""
    return _prepared(_ValueSandbox(**{**_OPTIONS, "keep_trailing_newline": False}))


def expression_environment() -> jinja2.Environment:
    """For bare expressions, such as those of `when`, wrapped in braces; they keep their type."""
    return _prepared(_ExpressionSandbox(**_OPTIONS))


def text_environment(**options: Any) -> jinja2.Environment:
    """For files of text; `options` are Jinja's, such as `lstrip_blocks`."""
    return _prepared(_Sandbox(finalize=shown, **{**_OPTIONS, **options}))


_OPTIONS: dict[str, Any] = {
    "undefined": Missing,
    "trim_blocks": True,
    "keep_trailing_newline": True,
    "autoescape": False,
}


def _prepared(environment: jinja2.Environment) -> jinja2.Environment:
    words: Any = environment
    words.filters, words.tests = FILTERS, TESTS
    kept = {name: value for name, value in environment.globals.items() if name in GLOBALS}
    environment.globals = {**kept, **_FUNCTIONS}
    return environment
