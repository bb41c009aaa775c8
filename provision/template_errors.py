"""What goes wrong in templates, stated with the place in the operator's file.

Owns the errors and their places only; raises nothing itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from types import CodeType, TracebackType
from typing import Any

import jinja2
from jinja2.utils import missing

from provision.errors import Mark, ProvisionError
from provision.filters import FILTERS, LOOKUPS, REFUSED, TESTS
from provision.source import Template, kind_of, nearest

__all__ = [
    "UndefinedVariable",
    "failed",
    "no_truth",
    "place",
    "syntax",
    "through",
    "undefined_name",
    "undefined_on_purpose",
    "unknown_word",
]


class UndefinedVariable(ProvisionError):
    """A template uses a name, or a key of a value, that does not exist."""


def syntax(error: jinja2.TemplateSyntaxError, template: Template) -> ProvisionError:
    """The error that a template does not parse."""
    message = (error.message or "").rstrip(".")
    unknown = re.match(r"No (filter|test) named '([^']+)'", message)
    if unknown:
        return unknown_word(unknown[1], unknown[2], error.lineno, template)
    return ProvisionError(
        "a template does not parse", where=_line(template, error.lineno, ""), context=_shown(template), cause=message
    )


def unknown_word(kind: str, name: str, line: int, template: Template) -> ProvisionError:
    """The error that a filter, test, lookup or statement (`kind`) does not exist, or is refused.

    `line` counts in the template.
    """
    where = _line(template, line, name)
    if name in REFUSED[kind]:
        return ProvisionError(
            f"the {kind} `{name}` is not supported", where=where, context=_shown(template), cause=REFUSED[kind][name]
        )
    known = LOOKUPS if kind == "lookup" else (FILTERS if kind == "filter" else TESTS).names()
    return ProvisionError(
        f"unknown {kind} `{name}`", where=where, context=_shown(template), hint=nearest(name, set(known))
    )


def undefined_name(subject: tuple[Any, str], where: Mark, known: Iterable[str], looked: str) -> UndefinedVariable:
    """The error that a name or a key does not exist; `subject` is the value, or `missing`, and the name."""
    owner, name = subject
    if owner is missing:
        return UndefinedVariable(
            f"variable `{name}` is undefined",
            where=where,
            cause=f"it was looked for in {looked}",
            hint=nearest(name, set(known)),
        )
    keys = [str(key) for key in owner] if isinstance(owner, dict) else []
    named = ", ".join(f"`{key}`" for key in sorted(keys)[:12])
    cause = f"it has {named}" if keys else f"it is {'an empty mapping' if owner == {} else kind_of(owner)}"
    return UndefinedVariable(f"the value has no `{name}`", where=where, cause=cause, hint=nearest(name, keys))


def undefined_on_purpose(hint: str, where: Mark, template: Template) -> UndefinedVariable:
    """The error that a value was used that `undef(hint=…)`, or a filter that found none, stands for."""
    return UndefinedVariable("a value is undefined", where=where, context=_shown(template), cause=hint)


def no_truth(expression: str, value: Any, where: Mark) -> ProvisionError:
    """The error that a condition gives something else than true or false."""
    if isinstance(value, str):
        hint = f"write `{expression} | bool`" if value else f"write `{expression} | length > 0`"
        said = f"the text {value!r}"
    else:
        said = "nothing" if value is None else kind_of(value)
        hint = (
            f"write `{expression} | length > 0`" if isinstance(value, list | dict) else f"write `{expression} | bool`"
        )
        hint = f"write `{expression} is not none`" if value is None else hint
    return ProvisionError(f"the condition `{expression}` gives {said}, not a truth value", where=where, hint=hint)


def through(cause: ProvisionError, name: str) -> ProvisionError:
    """An error found while rendering the variable `name`, as the template that uses that variable sees it."""
    if cause.context:
        return cause
    return UndefinedVariable(
        cause.summary, where=cause.where, context=f"used through `{name}`", cause=cause.cause, hint=cause.hint
    )


def failed(error: Exception, template: Template, cause: str) -> ProvisionError:
    """The error that a template raised while it was rendered."""
    return ProvisionError(
        "a template cannot be rendered",
        where=place(template, "", error.__traceback__),
        context=_shown(template),
        cause=cause,
    )


def _shown(template: Template) -> str:
    text = " ".join(str(template).split())
    return text if len(text) <= 60 else text[:57] + "..."


def place(template: Template, name: str, traceback: TracebackType | None) -> Mark:
    """The template's line that ran, by Jinja's own table, and the name in it."""
    line = 1
    while traceback is not None:
        code: CodeType = traceback.tb_frame.f_code
        own: jinja2.Template | None = traceback.tb_frame.f_globals.get("__jinja_template__")
        if own is not None and code.co_filename == (own.filename or "<template>"):
            line = own.get_corresponding_lineno(traceback.tb_lineno)
        traceback = traceback.tb_next
    return _line(template, line, name)


def _line(template: Template, line: int, name: str) -> Mark:
    """Where `name` (or the line) stands in the operator's file: found in the text as it was written there."""
    lines = str(template).split("\n")
    words = re.compile(rf"(?<![\w.]){re.escape(name)}\b") if name else None
    before = "\n".join(lines[: line - 1])
    occurrence = before.count(name) if name else 0
    own = lines[line - 1] if line <= len(lines) else ""
    match = words.search(own) if words else None
    if match:
        occurrence += own[: match.start()].count(name)
    if name:
        return template.place(name, occurrence)
    return template.place(own) if own.strip() and line > 1 else template.mark
