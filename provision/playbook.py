"""What a play, a task and a role are: the keywords that may be written, and the plain data that they become.

Owns the models (their fields are the list of supported words) and what is refused by name. No Jinja, no files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, WrapValidator

from provision.errors import Mark, ProvisionError, ProvisionErrors
from provision.source import Mapping, Template, kind_of, nearest
from provision.variables import Layer

__all__ = [
    "Condition",
    "LoopControl",
    "Play",
    "PlayKeywords",
    "Playbook",
    "Role",
    "RoleEntry",
    "Section",
    "SharedData",
    "Task",
    "TaskKeywords",
    "validate",
]


def _keep(value: Any, check: Any) -> Any:
    """Validated, and kept as it was read, with its places."""
    if not isinstance(value, Template):
        check(value)
    return value


def _keep_text(value: Any, check: Any) -> Any:
    check(value)
    return value


Keep = WrapValidator(_keep)
Text = Annotated[str, WrapValidator(_keep_text)]
"""Text that may be a template."""
Flag = Annotated[bool, Keep]
"""A truth value, or a template of one."""
Variables = Annotated[dict[str, Any], Keep]
Names = Annotated[str | list[str], Keep]
Conditions = Annotated[bool | str | list[bool | str], Keep]
Items = Annotated[list[Any], Keep]


class _Keywords(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class LoopControl(_Keywords):
    """How a loop is written and shown."""

    loop_var: str = "item"
    index_var: str | None = None
    label: Any = None


class TaskKeywords(_Keywords):
    """Keywords of a task, a handler, a block and an import, beside the one that says what to do."""

    name: Text | None = None
    when: Conditions | None = None
    loop: Items | None = None
    loop_control: LoopControl | None = None
    register_: str | None = None
    notify: Names | None = None
    listen: Names | None = None
    tags: Names | None = None
    become: Flag | None = None
    become_user: Text | None = None
    environment: Variables | None = None
    vars: Variables | None = None
    changed_when: Conditions | None = None
    failed_when: Conditions | None = None
    ignore_errors: Flag | None = None
    no_log: Flag | None = None
    check_mode: Flag | None = None


class RoleEntry(_Keywords):
    """One item of a play's `roles`."""

    role: str | None = None
    name: str | None = None
    vars: Variables | None = None
    tags: Names | None = None
    when: Conditions | None = None
    become: Flag | None = None
    become_user: Text | None = None
    environment: Variables | None = None


class SharedData(_Keywords):
    """`shared_data` of a play: directories below one path, and links on the host that point into it."""

    path: Text = "/data"
    directories: Items = []
    links: Variables = {}
    owner: Text | None = None
    group: Text | None = None
    mode: Text | None = None
    when: Conditions | None = None
    tags: Names | None = None


class PlayKeywords(_Keywords):
    """Keywords of a play."""

    name: Text | None = None
    hosts: Annotated[str | list[str], Keep]
    become: Flag | None = None
    become_user: Text | None = None
    become_method: str | None = None
    remote_user: Text | None = None
    connection: str | None = None
    gather_facts: Flag | None = None
    environment: Variables | None = None
    vars: Variables | None = None
    vars_files: Items | None = None
    tags: Names | None = None
    roles: Items | None = None
    environments: Items | None = None
    shared_data: Annotated[dict[str, Any] | list[dict[str, Any]], Keep] | None = None
    apps: Items | None = None
    pre_tasks: Items | None = None
    tasks: Items | None = None
    post_tasks: Items | None = None
    handlers: Items | None = None


UNSUPPORTED = frozenset(
    [
        "action",
        "any_errors_fatal",
        "args",
        "async",
        "become_exe",
        "become_flags",
        "collections",
        "debugger",
        "delay",
        "delegate_facts",
        "delegate_to",
        "diff",
        "fact_path",
        "force_handlers",
        "gather_subset",
        "gather_timeout",
        "ignore_unreachable",
        "local_action",
        "max_fail_percentage",
        "module_defaults",
        "order",
        "poll",
        "port",
        "rescue",
        "always",
        "retries",
        "run_once",
        "serial",
        "strategy",
        "throttle",
        "timeout",
        "until",
        "validate_argspec",
        "vars_prompt",
        "allow_duplicates",
        "delegate",
    ]
)
"""Ansible's words that are known and refused."""


@dataclass(frozen=True, slots=True)
class Condition:
    """An expression that must hold, and where it stands."""

    expression: Any
    where: Mark


@dataclass(frozen=True, slots=True, eq=False)
class Role:
    """A role in a play: where its files are and what its variables are; `parameters` come from the play's entry."""

    name: str
    path: Path
    defaults: Layer
    variables: Layer
    parameters: Layer


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """What the operator wrote, with all that it inherits; `variables` are from the innermost outwards."""

    key: str
    name: str
    module: str
    arguments: Mapping
    where: Mark
    directory: Path
    role: Role | None = None
    when: tuple[Condition, ...] = ()
    loop: Any = None
    loop_where: Mark | None = None
    loop_var: str = "item"
    index_var: str | None = None
    label: Any = None
    register: str | None = None
    notify: tuple[str, ...] = ()
    listen: tuple[str, ...] = ()
    tags: frozenset[str] = frozenset()
    become: Any = None
    become_user: Any = None
    environment: tuple[Mapping, ...] = ()
    variables: tuple[Layer, ...] = ()
    changed_when: tuple[Condition, ...] = ()
    failed_when: tuple[Condition, ...] = ()
    ignore_errors: Any = False
    no_log: Any = False
    check_mode: Any = None

    @property
    def title(self) -> str:
        """The task's name with its role, as people read it; templates unrendered."""
        name = self.name or self.module
        return f"{self.role.name} : {name}" if self.role else name


@dataclass(frozen=True, slots=True)
class Section:
    """Tasks after which hosts wait for each other; notified handlers run at its end."""

    name: str
    tasks: tuple[Task, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Play:
    """A play, roles and imports resolved; `variables` are its layers from the strongest to the weakest."""

    name: str
    hosts: str
    where: Mark
    path: Path
    sections: tuple[Section, ...]
    handlers: tuple[Task, ...]
    roles: tuple[Role, ...]
    variables: tuple[Layer, ...] = ()
    become: Any = None
    become_user: Any = None
    become_method: str | None = None
    remote_user: Any = None
    connection: str | None = None
    environment: tuple[Mapping, ...] = ()
    secret_names: frozenset[str] = frozenset()

    @property
    def directory(self) -> Path:
        return self.path.parent

    @property
    def tasks(self) -> Iterator[Task]:
        """All tasks in their order, handlers last."""
        for section in self.sections:
            yield from section.tasks
        yield from self.handlers


@dataclass(frozen=True, slots=True)
class Playbook:
    path: Path
    plays: tuple[Play, ...]


Model = TypeVar("Model", bound=_Keywords)


def validate(model: type[Model], content: Mapping, what: str, words: Sequence[str] = ()) -> Model:
    """The keywords of a mapping; raises ProvisionErrors, each with its place. `words` are further hints."""
    values = {("register_" if key == "register" else key): value for key, value in content.items()}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        found = [_stated(item, model, content, what, words) for item in error.errors(include_url=False)]
    raise found[0] if len(found) == 1 else ProvisionErrors(found)


def unknown_keyword(key: Any, content: Mapping, what: str, words: set[str]) -> ProvisionError:
    """A keyword that does not exist, or that is Ansible's and not supported yet."""
    where = content.key_mark(key)
    if key in UNSUPPORTED:
        return ProvisionError(f"`{key}` is not supported yet", where=where, context=what)
    if isinstance(key, str) and key.startswith("with_"):
        return ProvisionError(f"`{key}` is not supported", where=where, context=what, hint="use `loop`")
    return ProvisionError(f"unknown keyword `{key}`", where=where, context=what, hint=nearest(str(key), words))


def keywords(model: type[_Keywords]) -> set[str]:
    """The words that a model allows."""
    return {name.rstrip("_") for name in model.model_fields}


def _stated(error: Any, model: type[_Keywords], content: Mapping, what: str, words: Sequence[str]) -> ProvisionError:
    path = ["register" if part == "register_" else part for part in error["loc"]]
    owner, where = _locate(content, path)
    name = path[0] if path else ""
    if error["type"] == "extra_forbidden":
        fields = keywords(model) if len(path) == 1 else keywords(LoopControl)
        return unknown_keyword(path[-1], owner, what, fields | set(words))
    if error["type"] == "missing":
        return ProvisionError(f"`{name}` is missing", where=content.mark, context=what)
    value = owner.get(path[-1]) if isinstance(owner, Mapping) and path else None
    text = owner.texts.get(path[-1]) if isinstance(owner, Mapping) and path else None
    quoted = text is not None and "string" in error["msg"]
    return ProvisionError(
        f"`{name}` has the wrong type",
        where=where,
        context=what,
        cause=f"it is {kind_of(value) if text is None else f'`{text}`'}",
        hint=f'quote it: "{text}"' if quoted else _wanted(error["msg"]),
    )


def _wanted(message: str) -> str:
    return message.replace("Input should be", "it should be").replace("dictionary", "mapping")


def _locate(content: Mapping, path: Sequence[Any]) -> tuple[Mapping, Mark]:
    """The deepest mapping on a path, and the place of what the path leads to."""
    owner, where = content, content.mark
    for part in path:
        if not isinstance(owner, Mapping) or part not in owner:
            break
        where = owner.value_mark(part)
        if part == path[-1] or not isinstance(owner[part], Mapping):
            break
        owner = owner[part]
    return owner, where
