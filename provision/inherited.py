"""What the words of a task, block or role entry come to: conditions, tags, and what the inside takes over.

Pure functions of mappings with places, but for files of variables. Renders nothing.
"""

from __future__ import annotations

from dataclasses import field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from provision import modules
from provision.agent.record import record
from provision.among import Among, among_of
from provision.defaults import Defaults, defaults_of
from provision.errors import Mark, ProvisionError
from provision.playbook import UNSUPPORTED, Around, Condition, Frame, Role, TaskKeywords, unknown_keyword
from provision.source import Mapping, Sequence, Template, load
from provision.variables import Layer

__all__ = [
    "Inherited",
    "conditions_of",
    "described",
    "doing",
    "entered",
    "in_task",
    "listed",
    "parameters_of",
    "refuse_broken_app",
    "tags_of",
    "variables_of",
    "within",
]

_TASK_WORDS = TaskKeywords.words()


@record(frozen=True, slots=True)
class Inherited:
    """What tasks take over from the play's role entry, blocks and imports around them."""

    directory: Path
    role: Role | None = None
    when: tuple[Condition, ...] = ()
    tags: frozenset[str] = frozenset()
    become: Any = None
    become_user: Any = None
    environment: tuple[Mapping, ...] = ()
    variables: tuple[Layer, ...] = ()
    given: tuple[Layer, ...] = ()
    notify: tuple[str, ...] = ()
    no_log: Any = None
    ignore_errors: Any = None
    check_mode: Any = None
    among: Among = Among()
    defaults: Defaults = field(default_factory=dict)
    frames: tuple[Frame, ...] = ()
    around: tuple[Around, ...] = ()
    files: tuple[Path, ...] = ()
    depth: int = 0
    handlers: bool = False


def within(outer: Inherited, item: Mapping) -> Inherited:
    """What holds inside a task, block, import or role entry."""
    label = f"the vars of role `{item['role']}` in the play" if "role" in item else "the vars of the task"
    variables = (Layer(label, item["vars"]), *outer.variables) if item.get("vars") else outer.variables
    return replace(
        outer,
        when=(*outer.when, *conditions_of(item, "when")),
        tags=outer.tags | tags_of(item),
        become=item.get("become", outer.become),
        become_user=item.get("become_user", outer.become_user),
        environment=(*outer.environment, item["environment"]) if item.get("environment") else outer.environment,
        variables=variables,
        notify=(*outer.notify, *listed(item, "notify")),
        no_log=item.get("no_log", outer.no_log),
        ignore_errors=item.get("ignore_errors", outer.ignore_errors),
        check_mode=item.get("check_mode", outer.check_mode),
        among=among_of(item, outer.among),
        defaults=defaults_of(item, outer.defaults),
    )


def entered(inner: Inherited, kind: str, name: str, where: Mark, words: Mapping | None = None) -> Inherited:
    """The same, told what it is in now; `words` are those of what it is in."""
    when, tags = (conditions_of(words, "when"), tags_of(words)) if words else ((), frozenset())
    return replace(inner, around=(*inner.around, Around(kind, name, where, when, tags)))


def listed(item: Mapping, key: str) -> tuple[str, ...]:
    value = item.get(key)
    return tuple(value) if isinstance(value, list) else () if value is None else (value,)


def parameters_of(entry: Mapping, words: set[str]) -> tuple[Mapping, Mapping]:
    """A role's entry in a play as keywords and parameters: what is no keyword, nor near one, is a variable."""
    fields, given = (Mapping(entry.file, (entry.mark.line, entry.mark.column)) for _ in range(2))
    for key in entry:
        known = key in words or key in UNSUPPORTED or get_close_matches(str(key), words, 1, 0.75)
        into = fields if known else given
        into.put(key, entry[key], entry.places(key), entry.texts.get(key))
    return fields, given


def tags_of(item: Mapping) -> frozenset[str]:
    words = listed(item, "tags")
    for word in words:
        if isinstance(word, Template) or not isinstance(word, str):
            raise ProvisionError("a tag is plain text", where=item.value_mark("tags"))
    return frozenset(part.strip() for word in words for part in word.split(",") if part.strip())


def conditions_of(item: Mapping, key: str) -> tuple[Condition, ...]:
    value = item.get(key)
    if value is None:
        return ()
    if isinstance(value, Sequence):
        pairs = list(zip(value, value.marks, strict=True))
    else:
        pairs = [(value, item.value_mark(key))]
    for expression, mark in pairs:
        if isinstance(expression, Template):
            raise ProvisionError(f"`{key}` is an expression without braces", where=mark, hint="leave out `{{` and `}}`")
    return tuple(Condition(expression, mark) for expression, mark in pairs)


def doing(item: Mapping) -> str:
    """The key of a task that says what is done; raises ProvisionError when there is none or more than one."""
    others = [key for key in item if key not in _TASK_WORDS]
    found = [key for key in others if modules.is_word(modules.canonical(str(key)))]
    if len(found) == 1 and len(others) == 1:
        return str(found[0])
    if len(found) > 1:
        names = " and ".join(f"`{key}`" for key in found)
        raise ProvisionError(
            "a task does one thing", where=item.key_mark(found[1]), context=described(item), cause=f"it has {names}"
        )
    unknown = [key for key in others if key not in found]
    if not unknown:
        raise ProvisionError(
            "a task says nothing to do",
            where=item.mark,
            context=described(item),
            hint="name a resource, such as `file:`",
        )
    raise _unknown(unknown[0], item, bool(found))


def _unknown(key: Any, item: Mapping, has_word: bool) -> ProvisionError:
    if not has_word and (refused := _module_refused(str(key))):
        return ProvisionError(
            f"`{modules.canonical(str(key))}` is a module of Ansible that is not supported",
            where=item.key_mark(key),
            context=described(item),
            cause=refused[0],
            hint=refused[1],
        )
    known = _TASK_WORDS if has_word else _TASK_WORDS | modules.known_words()
    error = unknown_keyword(key, item, described(item), known)
    if has_word or not error.summary.startswith("unknown"):
        return error
    return ProvisionError(
        f"`{key}` is no keyword and no resource", where=error.where, context=error.context, hint=error.hint
    )


def _module_refused(key: str) -> tuple[str, str] | None:
    from provision import ansible_names

    found = ansible_names.module(modules.canonical(key))
    return None if found is None else (found.why, found.instead)


def described(item: Mapping) -> str:
    return f'task "{item["name"]}"' if item.get("name") else "task"


def in_task(error: ProvisionError, item: Mapping) -> ProvisionError:
    if not error.context:
        error.context = described(item)
    return error


def refuse_broken_app(item: Mapping, word: str) -> None:
    for key in ("ignore_errors", "failed_when"):
        if word == "app" and item.get(key):
            raise ProvisionError(
                f"an app has no `{key}`",
                where=item.key_mark(key),
                context=described(item),
                cause="its environment would serve although the app is not healthy",
            )


def variables_of(file: Path) -> Mapping:
    content = load(file)
    if content is None:
        return Mapping(str(file), (1, 1))
    if not isinstance(content, Mapping):
        raise ProvisionError(
            f"`{file}` holds no variables", where=Mark(str(file), 1, 1), hint="it is a mapping, `name: value`"
        )
    return content
