"""`lookup`, `query` and `q`: plain data, variables, the operator's environment and files.

What would run a program, write, or reach the network is refused by name (`filters.REFUSED`). Files are looked for on
the control node, so no value that came from a host may say which. Must not know tasks.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2.exceptions import FilterArgumentError
from jinja2.utils import missing

from provision.errors import ProvisionError
from provision.filters import LOOKUPS, REFUSED
from provision.host_values import host_names, host_roots, only_kind
from provision.source import kind_of, nearest, read_text
from provision.template_names import MARKED
from provision.variables import Scope

__all__ = ["find_in", "look_up"]

Terms = Sequence[Any]
Options = dict[str, Any]


def look_up(scope: Scope, kind: str, terms: Terms, options: Options) -> Any:
    """What a lookup gives: a list where that is wanted or there are several values that are not all text."""
    kind = kind.removeprefix("ansible.builtin.").removeprefix("ansible.legacy.")
    names = options.pop(MARKED, ())
    wantlist, errors = options.pop("wantlist", False), options.pop("errors", "strict")
    if kind not in LOOKUPS:
        reason = REFUSED["lookup"].get(kind, "")
        raise ProvisionError(
            f"the lookup `{kind}` is not supported" if reason else f"unknown lookup `{kind}`",
            cause=reason,
            hint="" if reason else nearest(kind, set(LOOKUPS)),
        )
    if kind in _FILES:
        _refuse_host_values(kind, names, scope)
    try:
        found = _LOOKUPS[kind](scope, terms, options)
    except ProvisionError:
        if errors == "strict":
            raise
        return [] if wantlist else None
    return found if wantlist else _together(found)


def _together(found: list[Any]) -> Any:
    if len(found) == 1:
        return found[0]
    return ",".join(found) if found and all(isinstance(item, str) for item in found) else found


def _refuse_host_values(kind: str, names: Sequence[str], scope: Scope) -> None:
    guilty = sorted(host_names(names, scope))
    if guilty and not (kind == "first_found" and only_kind(host_roots(names, scope), scope)):
        shown = ", ".join(f"`{name}`" for name in guilty)
        raise ProvisionError(
            f"the lookup `{kind}` reads a file of this machine that a host may choose",
            cause=f"{shown} {'comes' if len(guilty) == 1 else 'come'} from the host",
            hint="name the file by variables of the inventory or the play",
        )


def _takes(options: Options, kind: str, *names: str) -> None:
    unknown = sorted(set(options) - set(names))
    if unknown:
        hint = f"it takes {', '.join(f'`{name}`' for name in names)}" if names else ""
        raise ProvisionError(f"the lookup `{kind}` has no `{unknown[0]}`", hint=hint)


def _flat_once(terms: Terms) -> list[Any]:
    return [item for term in terms for item in (term if isinstance(term, list | tuple) else [term])]


def _items(_: Scope, terms: Terms, options: Options) -> list[Any]:
    _takes(options, "items")
    return _flat_once(terms)


def _list(_: Scope, terms: Terms, options: Options) -> list[Any]:
    _takes(options, "list")
    return list(terms[0]) if len(terms) == 1 and isinstance(terms[0], list | tuple) else list(terms)


def _dict(_: Scope, terms: Terms, options: Options) -> list[Any]:
    _takes(options, "dict")
    for term in terms:
        if not isinstance(term, Mapping):
            raise ProvisionError("the lookup `dict` needs a dictionary", cause=f"it is {kind_of(term)}")
    return [{"key": key, "value": term[key]} for term in terms for key in term]


def _vars(scope: Scope, terms: Terms, options: Options) -> list[Any]:
    _takes(options, "vars", "default")
    found = []
    for term in terms:
        value = scope.find(str(term))
        if value is missing:
            if "default" not in options:
                raise ProvisionError(f"variable `{term}` is undefined", hint=nearest(str(term), set(scope.known())))
            value = options["default"]
        found.append(value)
    return found


def _varnames(scope: Scope, terms: Terms, options: Options) -> list[Any]:
    _takes(options, "varnames")
    known = list(scope.known())
    return [name for term in terms for name in sorted(known) if re.search(str(term), name)]


def _env(_: Scope, terms: Terms, options: Options) -> list[Any]:
    _takes(options, "env", "default")
    return [os.environ.get(str(term), options.get("default", "")) for term in terms]


def _nested(_: Scope, terms: Terms, options: Options) -> list[Any]:
    _takes(options, "nested")
    lists = [_flat_once([term]) for term in terms]
    if not lists:
        raise ProvisionError("the lookup `nested` needs at least one list")
    return [_flat_once(row) for row in itertools.product(*lists)]


def _together_lists(_: Scope, terms: Terms, options: Options) -> list[Any]:
    _takes(options, "together")
    if not terms:
        raise ProvisionError("the lookup `together` needs at least one list")
    return [list(row) for row in itertools.zip_longest(*terms)]


def _indexed(_: Scope, terms: Terms, options: Options) -> list[Any]:
    _takes(options, "indexed_items")
    return [[index, item] for index, item in enumerate(_items(_, terms, {}))]


def _subelements(_: Scope, terms: Terms, options: Options) -> list[Any]:
    from provision.filters.structures import subelements

    _takes(options, "subelements")
    if len(terms) not in (2, 3):
        raise ProvisionError("the lookup `subelements` needs a list, and the key of the list inside")
    flags = terms[2] if len(terms) == 3 else {}
    try:
        return [list(row) for row in subelements(terms[0], terms[1], bool(flags.get("skip_missing")))]
    except FilterArgumentError as error:
        raise ProvisionError("the lookup `subelements` cannot be done", cause=str(error)) from None


_SHORT_SEQUENCE = re.compile(
    r"(?:(0x[0-9a-fA-F]+|-?\d+)-)?(0x[0-9a-fA-F]+|-?\d+)(?:/(0x[0-9a-fA-F]+|-?\d+))?(?::(.*))?"
)
_MAX_SEQUENCE = 1_000_000


def _sequence(_: Scope, terms: Terms, options: Options) -> list[Any]:
    _takes(options, "sequence", "start", "end", "count", "stride", "format")
    found: list[Any] = []
    for term in terms or [""]:
        found += _one_sequence({**options, **_sequence_options(str(term))}, str(term))
    return found


def _sequence_options(text: str) -> Options:
    short = _SHORT_SEQUENCE.fullmatch(text)
    if short:
        named = zip(("start", "end", "stride", "format"), short.groups(), strict=True)
        return {name: value for name, value in named if value is not None}
    import shlex

    words = [word.partition("=") for word in shlex.split(text)]
    wrong = next(
        (word for word, sign, _ in words if not sign or word not in ("start", "end", "count", "stride", "format")), ""
    )
    if wrong:
        raise ProvisionError(f"the lookup `sequence` does not know `{wrong}`", hint="write `start=1 end=5`")
    return {word: value for word, _, value in words}


def _one_sequence(options: Options, text: str) -> list[str]:
    start, stride = (_whole(options.get(name, 1), name) for name in ("start", "stride"))
    if ("end" in options) == ("count" in options):
        raise ProvisionError("the lookup `sequence` needs `end` or `count`, not both", cause=f"it is given `{text}`")
    if "count" in options:
        count = _whole(options["count"], "count")
        if count == 0:
            return []
        end = start + count * stride - stride
    else:
        end = _whole(options["end"], "end")
    if stride == 0 or (end - start) * stride < 0:
        raise ProvisionError("the lookup `sequence` never ends", hint="to count backwards, `stride` is negative")
    if abs(end - start) // abs(stride) > _MAX_SEQUENCE:
        raise ProvisionError("the lookup `sequence` is too long", cause=f"the limit is {_MAX_SEQUENCE} items")
    form = str(options.get("format", "%d"))
    try:
        return [form % number for number in range(start, end + (1 if stride > 0 else -1), stride)]
    except (TypeError, ValueError) as error:
        raise ProvisionError(
            f"`{form}` is no format for one number", cause=str(error), hint="such as `node%02d`"
        ) from None


def _whole(value: Any, name: str) -> int:
    try:
        return int(str(value), 0)
    except ValueError:
        raise ProvisionError(
            f"`{name}` of the lookup `sequence` is no whole number", cause=f"it is `{value}`"
        ) from None


def find_in(scope: Scope, kind: str, name: str) -> Path | None:
    """A file of the operator as Ansible looks for it: in `files/` or `templates/` (`kind`) of the role, then beside."""
    if Path(name).is_absolute():
        return Path(name) if Path(name).exists() else None
    for folder in _search_path(scope):
        for path in (folder / kind / name, folder / name):
            if path.exists():
                return path
    return None


def _needed(scope: Scope, kind: str, name: Any) -> Path:
    path = find_in(scope, kind, str(name))
    if path is None:
        looked = [f"`{folder / kind}`" for folder in _search_path(scope)]
        raise ProvisionError(f"there is no file `{name}`", cause=f"it was looked for in {', '.join(looked)}")
    return path


def _file(scope: Scope, terms: Terms, options: Options) -> list[Any]:
    _takes(options, "file", "lstrip", "rstrip")
    return [_stripped(read_text(_needed(scope, "files", term)), options) for term in terms]


def _stripped(text: str, options: Options) -> str:
    text = text.rstrip() if options.get("rstrip", True) else text
    return text.lstrip() if options.get("lstrip", False) else text


def _template(scope: Scope, terms: Terms, options: Options) -> list[Any]:
    _takes(options, "template", "template_vars", "trim_blocks", "lstrip_blocks", "variable_start_string",
           "variable_end_string", "comment_start_string", "comment_end_string")  # fmt: skip
    added = options.pop("template_vars", None) or {}
    inner = scope.with_layer("template_vars", added) if added else scope
    found = []
    for term in terms:
        path = _needed(scope, "templates", term)
        found.append(inner.renderer.text(read_text(path), str(path), inner, options))
    scope.touched = scope.touched or inner.touched
    return found


def _first_found(scope: Scope, terms: Terms, options: Options) -> list[Any]:
    _takes(options, "first_found", "files", "paths", "skip")
    wanted: list[tuple[str, list[str]]] = []
    skip = bool(options.get("skip", False))
    for term in [*_flat_once(terms), *([options] if "files" in options else [])]:
        if isinstance(term, Mapping):
            skip = skip or bool(term.get("skip", False))
            paths = _words(term.get("paths"))
            wanted += [(name, paths) for name in _words(term.get("files"))]
        else:
            wanted.append((str(term), _words(options.get("paths"))))
    for name, paths in wanted:
        for candidate in [str(Path(path) / name) for path in paths] or [name]:
            path = find_in(scope, "files", candidate) or find_in(scope, "templates", candidate)
            path = path or find_in(scope, "vars", candidate) or find_in(scope, "tasks", candidate)
            if path is not None:
                return [str(path)]
    if skip:
        return []
    shown = ", ".join(f"`{name}`" for name, _ in wanted)
    raise ProvisionError("the lookup `first_found` finds none of its files", cause=f"there is no {shown}")


def _words(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, list | tuple) else re.split(r"[,;:]\s*", str(value))


def _fileglob(scope: Scope, terms: Terms, options: Options) -> list[Any]:
    _takes(options, "fileglob")
    found: list[str] = []
    for term in terms:
        folder, pattern = os.path.split(str(term))
        if folder:
            bases = [path] if (path := find_in(scope, "files", folder)) else []
        else:
            bases = [base / kind for base in _search_path(scope) for kind in ("files", "")]
        matches = (sorted(str(path) for path in base.glob(pattern) if path.is_file()) for base in bases)
        found += next((names for names in matches if names), [])
    return found


def _search_path(scope: Scope) -> list[Path]:
    folders = scope.find("ansible_search_path")
    return [Path(folder) for folder in folders] if isinstance(folders, list) else []


_FILES = frozenset(("file", "fileglob", "first_found", "template"))
_LOOKUPS: dict[str, Callable[[Scope, Terms, Options], list[Any]]] = {
    "dict": _dict,
    "env": _env,
    "file": _file,
    "fileglob": _fileglob,
    "first_found": _first_found,
    "indexed_items": _indexed,
    "items": _items,
    "list": _list,
    "nested": _nested,
    "sequence": _sequence,
    "subelements": _subelements,
    "template": _template,
    "together": _together_lists,
    "varnames": _varnames,
    "vars": _vars,
}
