"""Arguments of tasks as the operator wrote them: free forms, aliases, options that exist, values of the right type.

Owns validation with places, before and after rendering. Must not read files or know hosts.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as Map
from typing import Any, get_args, get_origin

from provision import modules
from provision.errors import Mark, ProvisionError
from provision.kinds import Misfit, conform
from provision.modules import MODULES
from provision.source import Mapping, Sequence, Template, nearest

__all__ = ["arguments_of", "check", "typed", "within_limits"]

_FREE_OPTIONS = ("chdir", "creates", "removes", "executable")
_FREE_FORMS = {"meta": "free_form", "include_tasks": "file", "include_vars": "file"}
"""Where the text of a directive goes."""
_MODE_HINT = 'write it as text, such as "0644" or "u=rw,go=r"'


def arguments_of(word: str, value: Any, where: Mark) -> Mapping:
    """A task's arguments as a mapping with places, free forms and aliases resolved; raises ProvisionError."""
    free = MODULES[word].free_form if word in MODULES else _FREE_FORMS.get(word)
    if isinstance(value, Mapping):
        return _renamed(word, value)
    result = Mapping(where.file, (where.line, where.column))
    if value is None:
        return result
    if not isinstance(value, str):
        raise ProvisionError(f"`{word}` needs a mapping of its options", where=where, cause=f"it is {value!r}")
    if free is None:
        raise ProvisionError(
            f"`{word}` needs a mapping of its options",
            where=where,
            cause=f"it is the text `{value}`",
            hint="write one option a line, `option: value`",
        )
    text, found = _free_options(word, value)
    for name, item in {free: text, **found}.items():
        result.put(name, item, (where.line, where.column) * 2)
    return result


def _free_options(word: str, value: str) -> tuple[str, dict[str, str]]:
    """`command: make install creates=/x chdir=/y`: what Ansible takes out of the text."""
    if word in _FREE_FORMS or not any(f"{name}=" in value for name in _FREE_OPTIONS):
        return value, {}
    kept, found = [], {}
    for part in value.split(" "):
        name, sign, rest = part.partition("=")
        if sign and name in _FREE_OPTIONS:
            found[name] = _same_kind(value, rest)
        else:
            kept.append(part)
    return _same_kind(value, " ".join(kept).strip()), found


def _same_kind(origin: str, text: str) -> str:
    if isinstance(origin, Template) and "{" in text:
        return Template(text, origin.mark, text)
    return text


def _renamed(word: str, value: Mapping) -> Mapping:
    aliases = MODULES[word].aliases if word in MODULES else {}
    result = Mapping(value.file, (value.mark.line, value.mark.column))
    for key in value:
        name = aliases.get(key, key)
        if name in result:
            raise ProvisionError(
                f"`{word}` has `{name}` twice", where=value.key_mark(key), cause=f"`{key}` is another word for `{name}`"
            )
        result.put(name, value[key], value.places(key), value.texts.get(key))
    return result


def check(word: str, arguments: Mapping) -> Iterator[ProvisionError]:
    """What is wrong with arguments as written: options that do not exist, and values without a template."""
    known = modules.options(word)
    if word == "set_fact":
        return
    if word == "debug" and "msg" in arguments and "var" in arguments:
        yield ProvisionError("`debug` shows `msg` or `var`, not both", where=arguments.key_mark("var"))
    if word == "assert" and "that" not in arguments:
        yield ProvisionError("`assert` needs `that`", where=arguments.mark)
    if word == "meta" and arguments.get("free_form") not in modules.META:
        yield _unknown_meta(str(arguments.get("free_form")), arguments.mark)
        return
    failed = False
    for key in arguments:
        error = _unknown_option(word, key, arguments, known) or _wrong_value(word, key, arguments)
        if error:
            failed = True
            yield error
    for name in MODULES[word].required if word in MODULES else ():
        if name not in arguments:
            failed = True
            yield ProvisionError(f"`{word}` needs `{_written(word, name)}`", where=arguments.mark)
    whole = word in MODULES and (not MODULES[word].extra or (word == "file" and "src" not in arguments))
    if not failed and whole and not _templated(arguments):
        yield from _limits(word, arguments)


def _unknown_meta(text: str, where: Mark) -> ProvisionError:
    from provision import ansible_names

    if refused := ansible_names.meta(text):
        return ProvisionError(f"`meta: {text}` is not supported", where=where, cause=refused.why, hint=refused.instead)
    known = ", ".join(f"`{name}`" for name in modules.META)
    return ProvisionError(
        f"`meta` does not know `{text}`", where=where, hint=nearest(text, set(modules.META)) or f"these are: {known}"
    )


def _limits(word: str, arguments: Mapping) -> Iterator[ProvisionError]:
    try:
        _validated(word, dict(arguments), arguments, None)
    except ProvisionError as error:
        yield error


def _unknown_option(word: str, key: Any, arguments: Mapping, known: Map[str, Any]) -> ProvisionError | None:
    if key in known:
        return None
    from provision import ansible_names

    aliases = MODULES[word].aliases if word in MODULES else {}
    refused = ansible_names.option(word, str(key))
    if refused is not None:
        return ProvisionError(
            f"`{key}` is an option of Ansible's `{word}` that is not supported",
            where=arguments.key_mark(key),
            cause=refused.why,
            hint=refused.instead,
        )
    hint = nearest(str(key), {*known, *aliases}) or "it has " + ", ".join(f"`{name}`" for name in sorted(known))
    return ProvisionError(f"`{word}` has no option `{key}`", where=arguments.key_mark(key), hint=hint)


def _wrong_value(word: str, key: Any, arguments: Mapping) -> ProvisionError | None:
    if _templated(arguments[key]):
        return None
    try:
        typed(word, key, arguments[key], arguments)
    except ProvisionError as error:
        return error
    return None


def _templated(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_templated(item) for item in value.values())
    if isinstance(value, list):
        return any(_templated(item) for item in value)
    return isinstance(value, Template)


def typed(word: str, key: str, value: Any, arguments: Mapping) -> Any:
    """One option's value, validated; numbers become text where text is meant, never the other way round."""
    kind = modules.options(word)[key]
    if type(value) is str:
        # the most common of all, and text where text is meant stays as it is
        return _fits(word, key, kind, value, value, arguments)
    if key == "mode" and isinstance(value, int | float) and not isinstance(value, bool):
        raise _mode(value, arguments)
    text = _texted(kind, value, arguments.get(key), arguments.texts.get(key))
    return _fits(word, key, kind, value, text, arguments)


def _fits(word: str, key: str, kind: Any, value: Any, text: Any, arguments: Mapping) -> Any:
    try:
        return conform(kind, text)
    except Misfit as error:
        raise _mistyped(word, key, value, error, arguments) from None


def _mode(value: Any, arguments: Mapping) -> ProvisionError:
    return ProvisionError(
        f"the mode `{arguments.texts.get('mode', value)}` is a number",
        where=arguments.value_mark("mode"),
        cause="whether it is octal cannot be told",
        hint=_MODE_HINT,
    )


def _texted(kind: Any, value: Any, written: Any, text: str | None = None) -> Any:
    """Numbers as text where the field is text: as they stand in `written`, if that is known."""
    if isinstance(value, str) or value is None:
        return value
    parts = [part for part in get_args(kind) if part is not type(None)]
    origin = get_origin(kind)
    texts = written.texts if isinstance(written, Mapping | Sequence) and len(written) == len(value) else {}
    if isinstance(value, dict) and origin is dict:
        return {str(key): _texted(parts[1], item, _at(written, key), texts.get(key)) for key, item in value.items()}
    if isinstance(value, list) and origin is list:
        return [_texted(parts[0], item, _at(written, index), texts.get(index)) for index, item in enumerate(value)]
    if isinstance(value, list | dict):
        inner = next((part for part in parts if get_origin(part) is (dict if isinstance(value, dict) else list)), None)
        return value if inner is None else _texted(inner, value, written)
    if isinstance(value, int | float) and not isinstance(value, bool) and _wants_text(kind, parts):
        return text if text is not None else str(value)
    return value


def _at(written: Any, key: Any) -> Any:
    """The item of what was written that stands where the rendered one does."""
    try:
        return written[key] if isinstance(written, dict | list) else None
    except (KeyError, IndexError):
        return None


def _wants_text(kind: Any, arguments: list[Any]) -> bool:
    return kind is str or (str in arguments and not {int, float} & set(arguments))


def _mistyped(word: str, key: str, value: Any, error: Misfit, arguments: Mapping) -> ProvisionError:
    written = arguments.texts.get(key)
    hint = ""
    if isinstance(value, bool):
        hint = f'quote it if text is meant: "{written or value}"'
    elif isinstance(value, str):
        hint = "a template can give it with `| int` or `| bool`" if "string" not in error.wanted else ""
    return ProvisionError(
        f"`{_written(word, key)}` of `{word}` has the wrong type",
        where=arguments.value_mark(key),
        cause=f"it is `{written if written is not None else value}`; {error}",
        hint=hint,
    )


def _written(word: str, name: str) -> str:
    """Ansible's word for an option, where people know it by that."""
    return "dest" if name == "path" and word in ("copy", "template") else name


def _validated(word: str, values: dict[str, Any], arguments: Mapping, where: Mark | None) -> dict[str, Any]:
    """Values in their types, within the limits that the agent's Spec states."""
    checked = {key: typed(word, key, value, arguments) for key, value in values.items()}
    return within_limits(word, MODULES[word].resource, checked, where or arguments.mark)


def within_limits(word: str, resource: str, values: dict[str, Any], where: Mark) -> dict[str, Any]:
    try:
        modules.spec_class(resource)(**values)
    except TypeError as error:
        missing = str(error).rpartition(":")[2].strip().replace("'", "`")
        raise ProvisionError(f"`{word}` needs {missing}", where=where) from None
    except ValueError as error:
        raise ProvisionError(f"`{word}` cannot be done as it is written", where=where, cause=str(error)) from None
    return values
