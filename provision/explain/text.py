"""An explanation as lines for people, and as the document of `-o json`.

Pure. What is secret is HIDDEN already; texts are cleaned once more by whoever prints them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from provision.explain.names import Name
from provision.explain.parts import Explanation, Tested
from provision.loops import TERMS
from provision.report.line import Line
from provision.variables import Origin

__all__ = ["document", "lines"]

_VERDICTS = {
    "runs": ("would run", "green"),
    "not": ("would not run", "yellow"),
    "depends": ("only a run can say whether it runs", "cyan"),
    "fails": ("would fail", "red"),
}
_SHOWN = 100
_WIDTH = 9


def lines(host: str, one: Explanation) -> Iterator[Line]:
    """One task on one host: the verdict, what decides it, and where its values come from."""
    said, style = _VERDICTS[one.verdict]
    yield Line((one.title, "bold"), f" on {host}: ", (said, style))
    for reason in one.reasons:
        yield Line(f"  {reason}")
    yield _row("place", f"{one.where}  {one.module}")
    yield _row("tags", f"{', '.join(one.tags) or 'none'} ({'' if one.selected else 'not '}chosen)")
    for each in one.around:
        named = f" `{each.name}`" if each.name else ""
        tags = f"  tags: {', '.join(each.tags)}" if each.tags else ""
        yield _row("in", f"{each.kind}{named}  {each.where}{tags}")
        yield from (_row("", f"  when {_condition(tested)}") for tested in each.conditions)
    yield from (_row("when", _condition(tested)) for tested in one.conditions)
    yield from _facts_of_task(one)
    if one.uses or one.names:
        yield Line()
    told: set[str] = set()
    for tested in (*(tested for each in one.around for tested in each.conditions), *one.conditions):
        if tested.reads:
            yield Line(("  when", "bold"), f" {tested.expression}")
            yield from _tree(tested.reads, one.names, told, 2)
    for use in one.uses:
        yield Line((f"  {use.part}", "bold"), f"  {use.where}")
        yield from _tree(use.names, one.names, told, 2)


def _facts_of_task(one: Explanation) -> Iterator[Line]:
    if one.items is not None:
        yield _row("loop", f"{one.items} item{'' if one.items == 1 else 's'}; values below are those of the first")
    elif one.loop:
        yield _row("loop", one.loop)
    if one.user is None:
        yield _row("user", "known only in a run")
    elif one.user[0]:
        yield _row("user", f"{one.user[0]}" + (f", by {_origin(one.user[1])}" if one.user[1] else ""))
    yield from (_row("hosts", said) for said in one.others)
    yield from (_row("notified", f"by `{title}`  {where}") for title, where in one.notified_by)


def _row(word: str, text: str) -> Line:
    return Line((f"  {word:<{_WIDTH}}", "bold"), text)


def _condition(tested: Tested) -> str:
    said = {"later": "known only in a run", "wrong": "an error", "mixed": tested.why}.get(tested.state, tested.state)
    more = f" ({tested.why})" if tested.state == "wrong" else ""
    return f"`{tested.expression}`: {said}{more}  {tested.where}"


def _tree(reads: Sequence[str], names: Mapping[str, Name], told: set[str], depth: int) -> Iterator[Line]:
    """Names with what they are made of below them, each told once."""
    margin = "  " * depth
    for key in reads:
        own = names[key]
        shown = "(what `with_…` goes over)" if key == TERMS else key
        if key in told:
            yield Line(f"{margin}{shown}: as above")
            continue
        told.add(key)
        yield Line(margin, (shown, "cyan"), _value(own))
        for index, origin in enumerate(own.origins):
            yield Line((f"{margin}    {'overrides' if index else 'from'} {_origin(origin)}", "dim"))
        yield from _tree(own.reads, names, told, depth + 1)


def _value(own: Name) -> str:
    if own.state == "later":
        return f": known only in a run: {own.why}"
    if own.state in ("wrong", "undefined", "others"):
        return (
            f": {'an error: ' if own.state == 'wrong' else 'undefined: ' if own.state == 'undefined' else ''}{own.why}"
        )
    if own.why:
        return f": {own.why}"
    text = own.value if isinstance(own.value, str) else json.dumps(own.value, ensure_ascii=False, default=str)
    text = json.dumps(text, ensure_ascii=False) if "\n" in text or text != text.strip() or not text else text
    return f" = {text if len(text) <= _SHOWN else text[: _SHOWN - 3] + '...'}"


def _origin(origin: Origin) -> str:
    return f"{origin.label} ({origin.where})" if origin.where else origin.label


def document(one: Explanation) -> dict[str, Any]:
    """One task as it is in the document."""
    return {
        "task": one.title,
        "where": str(one.where),
        "module": one.module,
        "verdict": one.verdict,
        "reasons": list(one.reasons),
        "tags": list(one.tags),
        "selected": one.selected,
        "around": [
            {
                "kind": each.kind,
                "name": each.name,
                "where": str(each.where),
                "tags": list(each.tags),
                "when": [_tested(tested) for tested in each.conditions],
            }
            for each in one.around
        ],
        "when": [_tested(tested) for tested in one.conditions],
        "user": one.user and {"name": one.user[0] or None, "from": _placed(one.user[1]) if one.user[1] else None},
        "loop": one.loop or None,
        "items": one.items,
        "hosts": list(one.others),
        "notified_by": [{"task": title, "where": str(where)} for title, where in one.notified_by],
        "uses": [{"part": use.part, "where": str(use.where), "names": list(use.names)} for use in one.uses],
        "variables": {name: _variable(own) for name, own in sorted(one.names.items())},
    }


def _tested(tested: Tested) -> dict[str, Any]:
    return {
        "expression": tested.expression,
        "where": str(tested.where),
        "value": tested.state,
        "why": tested.why or None,
        "names": list(tested.reads),
    }


def _placed(origin: Origin) -> dict[str, Any]:
    return {"layer": origin.label, "where": str(origin.where) if origin.where else None}


def _variable(own: Name) -> dict[str, Any]:
    first = own.origins[0] if own.origins else None
    return {
        "state": own.state,
        "value": own.value,
        "why": own.why or None,
        "from": _placed(first) if first else None,
        "overrides": [_placed(origin) for origin in own.origins[1:]],
        "names": list(own.reads),
    }
