"""What a play, a task and a role are: the keywords that may be written, and the plain data that they become.

Owns the models (their fields are the list of supported words) and what is refused by name. No Jinja, no files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, dataclass_transform, get_args, get_type_hints

from provision.agent.record import record
from provision.among import Among
from provision.errors import Mark, ProvisionError, ProvisionErrors
from provision.kinds import Misfit, conform
from provision.source import Mapping, Template, kind_of, nearest
from provision.variables import Layer

__all__ = [
    "Around",
    "Condition",
    "FileSystem",
    "Frame",
    "LoopControl",
    "Play",
    "PlayKeywords",
    "Playbook",
    "Prompt",
    "PromptKeywords",
    "Role",
    "RoleEntry",
    "Section",
    "SharedData",
    "SharedLink",
    "Task",
    "TaskKeywords",
    "every",
    "gathers",
    "keyed",
    "validate",
]


Flag = bool
Variables = dict[str, Any]
Names = str | list[str]
Conditions = bool | str | list[bool | str]
Items = list[Any]


@dataclass_transform(kw_only_default=True)
class Keywords:
    """Words that may be written, with their types; a template may stand for any. A class's value is the default."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    @classmethod
    def words(cls) -> set[str]:
        """The words that may be written."""
        return {name.rstrip("_") for name in cls.__annotations__}

    @classmethod
    @cache
    def kinds(cls) -> dict[str, Any]:
        """The type of each word."""
        return {name.rstrip("_"): kind for name, kind in get_type_hints(cls).items()}


class LoopControl(Keywords):
    """How a loop is written and shown."""

    loop_var: str = "item"
    index_var: str | None = None
    label: Any = None
    pause: float | None = None
    extended: Flag | None = None
    extended_allitems: Flag | None = None
    break_when: Conditions | None = None


class TaskKeywords(Keywords):
    """Keywords of a task, a handler, a block and an import, beside the one that says what to do."""

    name: str | None = None
    when: Conditions | None = None
    loop: Items | None = None
    loop_control: LoopControl | None = None
    args: Variables | None = None
    module_defaults: Variables | list[Variables] | None = None
    register_: str | None = None
    notify: Names | None = None
    listen: Names | None = None
    tags: Names | None = None
    become: Flag | None = None
    become_user: str | None = None
    environment: Variables | None = None
    vars: Variables | None = None
    changed_when: Conditions | None = None
    failed_when: Conditions | None = None
    until: Conditions | None = None
    retries: int | None = None
    delay: float | None = None
    ignore_errors: Flag | None = None
    no_log: Flag | None = None
    check_mode: Flag | None = None
    any_errors_fatal: Flag | None = None
    throttle: int | None = None
    ignore_unreachable: Flag | None = None
    run_once: Flag | None = None
    delegate_to: str | None = None
    delegate_facts: Flag | None = None


class RoleEntry(Keywords):
    """One item of a play's `roles`."""

    role: str | None = None
    name: str | None = None
    vars: Variables | None = None
    tags: Names | None = None
    when: Conditions | None = None
    become: Flag | None = None
    become_user: str | None = None
    module_defaults: Variables | list[Variables] | None = None
    environment: Variables | None = None
    any_errors_fatal: Flag | None = None
    throttle: int | None = None
    ignore_unreachable: Flag | None = None
    run_once: Flag | None = None
    delegate_to: str | None = None
    delegate_facts: Flag | None = None


class FileSystem(Keywords):
    """Which file system shared data is meant to be on, in the words of the `mounted` task."""

    mount_point: str | None = None
    type: str | None = None
    source: str | None = None
    timeout: float | None = None


class SharedLink(Keywords):
    """A link of `shared_data` with options; without any, the target alone is written."""

    target: str
    parents: Flag | None = None
    dangling: Flag | None = None


class SharedData(Keywords):
    """`shared_data` of a play: directories below one path, and links on the host that point into it.

    `mounted`: nothing is made unless a file system of its own is mounted at `path`; `filesystem` also says which.
    """

    path: str = "/data"
    mounted: bool = False
    filesystem: Variables | None = None
    directories: Items = []  # noqa: RUF012
    links: Variables = {}  # noqa: RUF012
    owner: str | None = None
    group: str | None = None
    mode: str | None = None
    when: Conditions | None = None
    tags: Names | None = None


class PlayKeywords(Keywords):
    """Keywords of a play."""

    name: str | None = None
    hosts: Names
    become: Flag | None = None
    become_user: str | None = None
    become_method: str | None = None
    remote_user: str | None = None
    connection: str | None = None
    gather_facts: bool = True
    gather_subset: Names | None = None
    serial: int | str | list[int | str] | None = None
    order: str | None = None
    strategy: str | None = None
    max_fail_percentage: float | None = None
    any_errors_fatal: Flag | None = None
    throttle: int | None = None
    ignore_unreachable: Flag | None = None
    run_once: Flag | None = None
    force_handlers: Flag | None = None
    environment: Variables | None = None
    vars: Variables | None = None
    module_defaults: Variables | list[Variables] | None = None
    vars_prompt: Items | None = None
    vars_files: Items | None = None
    tags: Names | None = None
    roles: Items | None = None
    environments: Items | None = None
    shared_data: dict[str, Any] | list[dict[str, Any]] | None = None
    apps: Items | None = None
    pre_tasks: Items | None = None
    tasks: Items | None = None
    post_tasks: Items | None = None
    handlers: Items | None = None


UNSUPPORTED = frozenset(
    [
        "action",
        "async",
        "become_exe",
        "become_flags",
        "collections",
        "debugger",
        "diff",
        "fact_path",
        "gather_timeout",
        "local_action",
        "poll",
        "port",
        "timeout",
        "validate_argspec",
        "allow_duplicates",
    ]
)
"""Ansible's words that are known and refused."""


@record(frozen=True, slots=True)
class Condition:
    """An expression that must hold, and where it stands."""

    expression: Any
    where: Mark


@record(frozen=True, slots=True, eq=False)
class Role:
    """A role in a play: where its files are and what its variables are; `parameters` come from the play's entry."""

    name: str
    path: Path
    defaults: Layer
    variables: Layer
    parameters: Layer
    parents: tuple[str, ...] = ()
    """The roles that took it in, from the innermost outwards."""


@record(frozen=True, slots=True)
class Frame:
    """A block with `rescue` or `always` that a task is in: which one, and in which part of it.

    `part`: "block", "rescue" or "always". `rescue` and `always` say whether the block has these parts.
    """

    block: str
    part: str
    rescue: bool
    always: bool


@record(frozen=True, slots=True, eq=False)
class Around:
    """What a task stands in, with what that adds to it: a play, role, block, import or include.

    `kind` is the word that makes it; of an include `task` is the one that includes, whose `when` is not taken over.
    """

    kind: str
    name: str
    where: Mark
    when: tuple[Condition, ...] = ()
    tags: frozenset[str] = frozenset()
    task: Task | None = None


@record(frozen=True, slots=True, eq=False)
class Task:
    """What the operator wrote, with all that it inherits; `variables` are from the innermost outwards.

    `around` is all that it stands in, `frames` are the blocks with other parts, both from the outermost inwards. Of an
    include, `content` are its tasks, None where only a run can say which; `load` gives those of a name. `given` are
    the variables of the includes around it.
    """

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
    pause: Any = None
    extended: Any = False
    allitems: Any = True
    break_when: tuple[Condition, ...] = ()
    register: str | None = None
    notify: tuple[str, ...] = ()
    listen: tuple[str, ...] = ()
    tags: frozenset[str] = frozenset()
    become: Any = None
    become_user: Any = None
    environment: tuple[Mapping, ...] = ()
    variables: tuple[Layer, ...] = ()
    given: tuple[Layer, ...] = ()
    changed_when: tuple[Condition, ...] = ()
    failed_when: tuple[Condition, ...] = ()
    until: tuple[Condition, ...] = ()
    retries: Any = None
    delay: Any = None
    ignore_errors: Any = False
    no_log: Any = False
    check_mode: Any = None
    among: Among = Among()
    frames: tuple[Frame, ...] = ()
    around: tuple[Around, ...] = ()
    content: tuple[Task, ...] | None = None
    load: Callable[[str], tuple[Task, ...]] | None = None

    @property
    def title(self) -> str:
        """The task's name with its role, as people read it; templates unrendered."""
        name = self.name or self.module
        return f"{self.role.name} : {name}" if self.role else name


@record(frozen=True, slots=True)
class Section:
    """Tasks after which hosts wait for each other; notified handlers run at its end."""

    name: str
    tasks: tuple[Task, ...]


@record(frozen=True, slots=True)
class Prompt:
    """A variable that is asked for before the play: one item of `vars_prompt`."""

    name: str
    text: str
    where: Mark
    private: bool = True
    default: Any = None
    confirm: bool = False
    encrypt: str | None = None
    salt: str | None = None
    salt_size: int | None = None


class PromptKeywords(Keywords):
    """One item of a play's `vars_prompt`."""

    name: str
    prompt: str | None = None
    private: bool = True
    default: Any = None
    confirm: bool = False
    encrypt: str | None = None
    salt: str | None = None
    salt_size: int | None = None
    unsafe: bool = False


@record(frozen=True, slots=True, eq=False)
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
    gather_facts: bool = True
    serial: Any = None
    order: str | None = None
    max_fail_percentage: Any = None
    force_handlers: Any = None
    among: Among = Among()
    secret_names: frozenset[str] = frozenset()
    prompts: tuple[Prompt, ...] = ()

    @property
    def directory(self) -> Path:
        return self.path.parent

    @property
    def tasks(self) -> Iterator[Task]:
        """All tasks in their order, with those that are included behind their include; handlers last."""
        for section in self.sections:
            yield from every(section.tasks)
        yield from every(self.handlers)


def every(tasks: Iterable[Task]) -> Iterator[Task]:
    """Tasks, and behind each include those of its content."""
    for task in tasks:
        yield task
        yield from every(task.content or ())


def keyed(task: Task, key: str) -> Task:
    """The task with its key, and its content with keys below that."""
    content = task.content and tuple(keyed(inner, f"{key}/{index}") for index, inner in enumerate(task.content))
    return replace(task, key=key, content=content)


def gathers(plays: Sequence[Play], hosts: Sequence[Sequence[str]], host: str) -> bool:
    """Whether one of the plays, each with its hosts, gathers the facts of a host; later plays see them too."""
    return any(play.gather_facts and host in names for play, names in zip(plays, hosts, strict=False))


@record(frozen=True, slots=True)
class Playbook:
    path: Path
    plays: tuple[Play, ...]


Model = TypeVar("Model", bound=Keywords)


def validate(model: type[Model], content: Mapping, what: str, words: Sequence[str] = ()) -> Model:
    """The keywords of a mapping; raises ProvisionErrors, each with its place. `words` are further hints."""
    found = list(_wrong(model, content, what, words))
    if found:
        raise found[0] if len(found) == 1 else ProvisionErrors(found)
    values = {("register_" if key == "register" else key): value for key, value in content.items()}
    if isinstance(values.get("loop_control"), Mapping):
        values["loop_control"] = LoopControl(**values["loop_control"])
    return model(**values)


def _wrong(model: type[Keywords], content: Mapping, what: str, words: Sequence[str]) -> Iterator[ProvisionError]:
    kinds = model.kinds()
    for name, kind in kinds.items():
        if name not in content:
            if not hasattr(model, name) and name != "register":
                yield ProvisionError(f"`{name}` is missing", where=content.mark, context=what)
        elif LoopControl in get_args(kind) and isinstance(content[name], Mapping):
            yield from _wrong(LoopControl, content[name], what, words)
        elif not isinstance(content[name], Template):
            try:
                conform(kind, content[name])
            except Misfit as error:
                yield _misfit(name, content, error, what)
    for key in content:
        if key not in kinds:
            yield unknown_keyword(key, content, what, {*kinds, *words})


def unknown_keyword(key: Any, content: Mapping, what: str, words: set[str]) -> ProvisionError:
    """A keyword that does not exist, or that is Ansible's and not supported yet."""
    where = content.key_mark(key)
    if isinstance(key, str) and key.startswith("with_"):
        return ProvisionError(f"`{key}` is not supported", where=where, context=what, hint="use `loop`")
    from provision import ansible_names

    refused = ansible_names.keyword(str(key))
    if refused or key in UNSUPPORTED:
        cause, hint = (refused.why, refused.instead) if refused else ("", "")
        return ProvisionError(
            f"`{key}` is a keyword of Ansible that is not supported here",
            where=where,
            context=what,
            cause=cause,
            hint=hint,
        )
    return ProvisionError(f"unknown keyword `{key}`", where=where, context=what, hint=nearest(str(key), words))


def _misfit(name: str, content: Mapping, error: Misfit, what: str) -> ProvisionError:
    owner, where = _locate(content, (name, *error.path))
    key = (name, *error.path)[-1]
    value = owner.get(key) if isinstance(owner, Mapping) else None
    text = owner.texts.get(key) if isinstance(owner, Mapping) else None
    quoted = text is not None and "string" in error.wanted
    return ProvisionError(
        f"`{name}` has the wrong type",
        where=where,
        context=what,
        cause=f"it is {kind_of(value) if text is None else f'`{text}`'}",
        hint=f'quote it: "{text}"' if quoted else str(error),
    )


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
