"""Playbooks and roles from files: imports, blocks and our short forms resolved into flat lists of tasks.

Owns reading and static checks of words and options; collects errors so that one run shows all. Renders nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Sequence as Words
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

from provision import arguments as options
from provision import modules
from provision.among import of_play, refuse_order, refuse_strategy
from provision.control_node import refuse_word
from provision.defaults import arguments_of, defaults_of
from provision.errors import Mark, ProvisionError, ProvisionErrors
from provision.includes import once, refuse_keywords, role_names
from provision.inherited import (
    Inherited,
    conditions_of,
    described,
    doing,
    entered,
    in_task,
    listed,
    parameters_of,
    refuse_broken_app,
    tags_of,
    variables_of,
    within,
)
from provision.loops import as_loop
from provision.playbook import (
    Around,
    Frame,
    LoopControl,
    Play,
    Playbook,
    PlayKeywords,
    Role,
    RoleEntry,
    Section,
    Task,
    TaskKeywords,
    keyed,
    validate,
)
from provision.prompted import LABEL, prompts_of
from provision.short_forms import SHORT_FORMS, expanded
from provision.source import Mapping, Sequence, Template, load, nearest
from provision.variables import Layer

__all__ = ["load_playbook"]

MAX_IMPORTS = 50
_EMPTY = Layer("", {})


def load_playbook(path: Path | str, roles_path: Words[Path | str] = ()) -> Playbook:
    """The plays of a file; raises ProvisionErrors with everything that is wrong in it and in its roles.

    Roles are looked for in `roles_path`, then in `roles/` beside the playbook, in its parent folder and here.
    """
    path = Path(path)
    bases = [path.parent / "roles", path.parent.parent / "roles", Path("roles"), path.parent]
    loader = _Loader(path, [*(Path(base) for base in roles_path), *bases])
    plays = loader.plays(path, 0)
    if loader.errors:
        raise loader.errors[0] if len(loader.errors) == 1 else ProvisionErrors(loader.errors)
    return Playbook(path, tuple(plays))


class _Loader:
    def __init__(self, path: Path, bases: list[Path]) -> None:
        self.path = path
        self.bases = bases
        self.errors: list[ProvisionError] = []
        self.roles: dict[str, Role] = {}
        self.handlers: list[Task] = []
        self.blocks = 0
        self.lock = Lock()
        self.around = Inherited(path.parent)
        """What the imports of the playbook that is read say."""
        self.handled: set[str] = set()

    def plays(self, path: Path, depth: int) -> list[Play]:
        content = load(path)
        if not isinstance(content, Sequence):
            raise ProvisionError(
                f"`{path}` is no playbook", where=Mark(str(path), 1, 1), hint="it is a list of plays, each `- hosts: …`"
            )
        plays: list[Play] = []
        for item, mark in zip(content, content.marks, strict=True):
            try:
                if isinstance(item, Mapping) and "import_playbook" in item:
                    plays += self.imported(path, item, depth)
                else:
                    plays.append(self.play(path, item, mark))
            except ProvisionError as error:
                self.failed(error)
        return plays

    def imported(self, path: Path, item: Mapping, depth: int) -> list[Play]:
        where = item.value_mark("import_playbook")
        if not isinstance(item["import_playbook"], str) or isinstance(item["import_playbook"], Template):
            raise ProvisionError("`import_playbook` takes a plain file name", where=where)
        for key in item:
            if key not in ("import_playbook", "name", "vars", "when", "tags"):
                raise ProvisionError(
                    f"`import_playbook` has no `{key}`",
                    where=item.key_mark(key),
                    hint="`vars`, `when` and `tags` may stand beside it; write others on the plays",
                )
        if depth > MAX_IMPORTS:
            raise ProvisionError(f"`{item['import_playbook']}` imports itself", where=where)
        other = path.parent / item["import_playbook"]
        if not other.is_file():
            raise ProvisionError(f"there is no playbook `{other}`", where=where)
        before = self.around
        layers = (Layer("the vars of `import_playbook`", item["vars"]),) if item.get("vars") else ()
        inner = entered(within(before, item), "import_playbook", item["import_playbook"], where, item)
        self.around = replace(inner, variables=(*before.variables, *layers))
        try:
            return self.plays(other, depth + 1)
        finally:
            self.around = before

    def failed(self, error: ProvisionError) -> None:
        self.errors += error.errors if isinstance(error, ProvisionErrors) else [error]

    def play(self, path: Path, item: Any, mark: Mark) -> Play:
        if not isinstance(item, Mapping):
            raise ProvisionError("a play is a mapping", where=mark, hint="it starts with `- hosts: …`")
        words = validate(PlayKeywords, item, "play")
        self.roles, self.handlers, self.handled = {}, [], set()
        refuse_order(item)
        refuse_strategy(item)
        outer = Inherited(
            path.parent,
            when=self.around.when,
            tags=self.around.tags | tags_of(item),
            among=of_play(item),
            defaults=defaults_of(item, {}),
            around=(*self.around.around, Around("play", str(words.name or words.hosts), mark, (), tags_of(item))),
        )
        sections = (
            Section("pre_tasks", tuple(self.tasks(item.get("pre_tasks"), outer))),
            Section("tasks", tuple(self.main(item, outer))),
            Section("post_tasks", tuple(self.tasks(item.get("post_tasks"), outer))),
        )
        handlers = (*self.handlers, *self.tasks(item.get("handlers"), replace(outer, when=(), handlers=True)))
        name = str(words.name or "")
        hosts = ":".join(words.hosts) if isinstance(words.hosts, list) else words.hosts
        play = Play(
            name=name or str(hosts),
            hosts=hosts,
            where=item.value_mark("hosts"),
            path=path,
            sections=tuple(_keyed(section) for section in sections),
            handlers=tuple(keyed(task, f"handlers:{index}") for index, task in enumerate(handlers)),
            roles=tuple(self.roles.values()),
            variables=tuple(self.play_variables(item, path)),
            become=words.become,
            become_user=words.become_user,
            become_method=words.become_method,
            remote_user=words.remote_user,
            connection=words.connection,
            environment=(item["environment"],) if item.get("environment") else (),
            gather_facts=words.gather_facts,
            serial=item.get("serial"),
            order=words.order,
            max_fail_percentage=item.get("max_fail_percentage"),
            force_handlers=item.get("force_handlers"),
            among=outer.among,
            prompts=tuple(prompts_of(item)),
        )
        self.errors += _notified(play)
        return play

    def play_variables(self, item: Mapping, path: Path) -> Iterator[Layer]:
        """vars_files win over vars, the last of them over the others."""
        files = item.get("vars_files") or []
        marks = files.marks if isinstance(files, Sequence) else []
        for name, mark in reversed(list(zip(files, marks, strict=False))):
            if not isinstance(name, str) or isinstance(name, Template):
                raise ProvisionError(
                    "`vars_files` takes plain file names",
                    where=mark,
                    cause="which file is read must be known before any host is",
                )
            file = path.parent / name
            if not file.is_file():
                raise ProvisionError(f"there is no file `{file}`", where=mark, context="vars_files")
            yield Layer(f"`{file}`", variables_of(file))
        if item.get("vars_prompt"):
            yield Layer(LABEL, {prompt.name: prompt.default for prompt in prompts_of(item)})
        yield from self.around.variables
        if item.get("vars"):
            yield Layer("the play's vars", item["vars"])

    def main(self, item: Mapping, outer: Inherited) -> Iterator[Task]:
        """Roles, then our short forms, then tasks."""
        yield from self.role_entries(item.get("roles"), outer)
        for key in SHORT_FORMS:
            content = item.get(key)
            entries = content if isinstance(content, Sequence) else [content] if content is not None else []
            marks = content.marks if isinstance(content, Sequence) else [item.value_mark(key)]
            for entry, mark in zip(entries, marks, strict=False):
                try:
                    for words, word, arguments in expanded(key, entry, mark):
                        yield from self.built(words, word, arguments, outer)
                except ProvisionError as error:
                    self.failed(error)
        yield from self.tasks(item.get("tasks"), outer)

    def role_entries(self, entries: Any, outer: Inherited) -> Iterator[Task]:
        for entry, mark in zip(entries or [], entries.marks if entries else [], strict=True):
            try:
                yield from self.role_entry(entry, mark, outer)
            except ProvisionError as error:
                self.failed(error)

    def role_entry(self, entry: Any, mark: Mark, outer: Inherited) -> Iterator[Task]:
        if isinstance(entry, str):
            yield from self.role(entry, mark, _EMPTY, outer)
            return
        if not isinstance(entry, Mapping):
            raise ProvisionError("a role is a name or a mapping with `role`", where=mark)
        fields, given = parameters_of(entry, RoleEntry.words())
        words = validate(RoleEntry, fields, "role of a play")
        name = words.role or words.name
        if not name:
            raise ProvisionError("`role` is missing", where=mark, context="role of a play")
        parameters = Layer(f"the parameters of role `{name}` in the play", given) if given else _EMPTY
        where = entry.value_mark("role" if words.role else "name")
        yield from self.role(name, where, parameters, within(outer, fields), words=fields)

    def role(
        self,
        name: str,
        mark: Mark,
        parameters: Layer,
        outer: Inherited,
        tasks_from: str = "main",
        words: Mapping | None = None,
    ) -> Iterator[Task]:
        if outer.depth > MAX_IMPORTS:
            raise ProvisionError(f"the role `{name}` depends on itself", where=mark)
        first = name not in self.roles
        parents = (outer.role.name, *outer.role.parents) if outer.role else ()
        role = replace(self.found_role(name, mark), parameters=parameters, parents=parents)
        inner = replace(
            entered(outer, "role", name, mark, words), role=role, directory=role.path, depth=outer.depth + 1
        )
        if first:
            self.roles[name] = role
            yield from self.dependencies(role, inner)
        if name not in self.handled:
            self.handled.add(name)
            handlers = self.file_of(role.path / "handlers")
            if handlers:
                around = (Around("role", name, mark),)
                own = replace(inner, tags=frozenset(), when=(), frames=(), handlers=True, around=around)
                self.handlers += self.tasks(load(handlers), own, str(handlers))
        path = self.file_of(role.path / "tasks", tasks_from)
        if path:
            yield from self.tasks(load(path), inner, str(path))
        elif tasks_from != "main":
            raise ProvisionError(f"the role `{name}` has no tasks `{tasks_from}`", where=mark)

    def found_role(self, name: str, mark: Mark) -> Role:
        if isinstance(name, Template):
            raise ProvisionError("the name of a role cannot be a template", where=mark)
        path = next((base / name for base in self.bases if (base / name).is_dir()), None)
        if path is None:
            known = {
                entry.name for base in self.bases[:-1] if base.is_dir() for entry in base.iterdir() if entry.is_dir()
            }
            looked = ", ".join(f"`{base}`" for base in dict.fromkeys(self.bases[:-1]))
            raise ProvisionError(
                f"there is no role `{name}`",
                where=mark,
                cause=f"it was looked for in {looked}",
                hint=nearest(name, known),
            )
        return Role(name, path, self.layer(path, "defaults", name), self.layer(path, "vars", name), _EMPTY)

    def layer(self, path: Path, kind: str, name: str) -> Layer:
        file = self.file_of(path / kind)
        return Layer(f"the {kind} of role `{name}`", variables_of(file) if file else {})

    def file_of(self, folder: Path, stem: str = "main") -> Path | None:
        names = (stem, f"{stem}.yaml", f"{stem}.yml")
        return next((folder / name for name in names if (folder / name).is_file()), None)

    def dependencies(self, role: Role, inner: Inherited) -> Iterator[Task]:
        file = self.file_of(role.path / "meta")
        content = load(file) if file else None
        entries = content.get("dependencies") if isinstance(content, Mapping) else None
        for entry, mark in zip(entries or [], entries.marks if entries else [], strict=True):
            name = entry.get("role", entry.get("name")) if isinstance(entry, Mapping) else entry
            if name not in self.roles:
                yield from self.role_entry(entry, mark, replace(inner, role=None))

    def tasks(self, content: Any, outer: Inherited, file: str = "") -> list[Task]:
        if content is None:
            return []
        if not isinstance(content, Sequence):
            where = content.mark if isinstance(content, Mapping) else Mark(file, 1, 1)
            self.failed(ProvisionError("tasks are a list", where=where, hint="each starts with `- name: …`"))
            return []
        result: list[Task] = []
        for item, mark in zip(content, content.marks, strict=True):
            try:
                result += self.task(item, mark, outer)
            except ProvisionError as error:
                self.failed(error)
        return result

    def task(self, item: Any, mark: Mark, outer: Inherited) -> list[Task]:
        if not isinstance(item, Mapping):
            raise ProvisionError(
                "a task is a mapping", where=mark, hint="write `- name: …` and below it what is to be done"
            )
        if "block" in item or "rescue" in item or "always" in item:
            return self.block(item, outer)
        item = as_loop(item)
        key = doing(item)
        word = modules.canonical(key)
        fields = Mapping(item.file, (item.mark.line, item.mark.column))
        for name in item:
            if name != key:
                fields.put(name, item[name], item.places(name), item.texts.get(name))
        words = validate(TaskKeywords, fields, described(item))
        if outer.handlers and word in ("include_role", "import_role"):
            raise ProvisionError(
                f"`{word}` cannot be a handler",
                where=item.key_mark(key),
                context=described(item),
                hint="a role brings handlers of its own; notify these, or use `include_tasks`",
            )
        if word in modules.IMPORTS:
            return self.imported_tasks(word, item, key, outer)
        if word in modules.INCLUDES:
            refuse_keywords(word, item, key, handler=outer.handlers)
        arguments = arguments_of(word, item, key, defaults_of(item, outer.defaults))
        self.errors += [in_task(error, item) for error in options.check(word, arguments)]
        made = self.made(item, words, word, arguments, outer)
        return [self.including(made, item, outer) if word in modules.INCLUDES else made]

    def including(self, task: Task, item: Mapping, outer: Inherited) -> Task:
        """An include with its tasks, where they are known before the run; they do not take over its conditions."""
        given = (Layer("the vars of the include", item["vars"]),) if item.get("vars") else ()
        include = Around(task.module, task.title, task.where, conditions_of(item, "when"), tags_of(item), task)
        inner = replace(outer, given=(*given, *outer.given), depth=outer.depth + 1, around=(*outer.around, include))
        applied = task.arguments.get("apply")
        if isinstance(applied, Mapping):
            validate(TaskKeywords, applied, "`apply` of an include")
            inner = within(inner, applied)
        key = "name" if task.module == "include_role" else "file"
        name = task.arguments.get(key)
        if name is None:
            raise ProvisionError(f"`{task.module}` needs `{key}`", where=task.arguments.mark)
        read = self.role_content(task, inner) if task.module == "include_role" else self.file_content(item, task, inner)
        # while the playbook is read an include may hold others: only what a run reads is locked
        names = [str(name)]
        if isinstance(name, Template):
            if task.module != "include_role":
                return replace(task, load=once(read, self.lock))
            names = role_names(name, item)
        found = {name: read(name) for name in names}
        content = tuple(task for tasks in found.values() for task in tasks)
        return replace(task, content=content, load=found.__getitem__)

    def role_content(self, task: Task, inner: Inherited) -> Callable[[str], tuple[Task, ...]]:
        def load_role(name: str) -> tuple[Task, ...]:
            before = dict(self.roles)
            stem = str(task.arguments.get("tasks_from", "main")).removesuffix(".yml").removesuffix(".yaml")
            where = task.arguments.value_mark("name")
            tasks = tuple(self.role(name, where, _EMPTY, inner, stem))
            if not task.arguments.get("public", False):
                self.roles = before
            return tasks

        return load_role

    def file_content(self, item: Mapping, task: Task, inner: Inherited) -> Callable[[str], tuple[Task, ...]]:
        where = task.arguments.value_mark("file")

        def load_file(name: str) -> tuple[Task, ...]:
            path = self.task_file(name, item, inner, where)
            before, self.errors = self.errors, []
            tasks = self.tasks(load(path), replace(inner, files=(*inner.files, path)), str(path))
            found, self.errors = self.errors, before
            if found:
                raise found[0] if len(found) == 1 else ProvisionErrors(found)
            return tuple(tasks)

        return load_file

    def task_file(self, name: str, item: Mapping, inner: Inherited, where: Mark) -> Path:
        """The file that an import or include names; raises ProvisionError where there is none, or it is around."""
        around_it = (Path(item.file).parent, inner.directory / "tasks", inner.directory)
        bases = list(dict.fromkeys((*around_it, self.path.parent / "tasks", self.path.parent)))
        path = next((base / name for base in bases if (base / name).is_file()), None)
        if path is None:
            raise ProvisionError(
                f"there is no file `{name}`",
                where=where,
                cause="looked for " + ", ".join(f"`{base / name}`" for base in bases),
            )
        around = [file.resolve() for file in (*inner.files, Path(item.file))]
        if path.resolve() in around:
            chain = dict.fromkeys([*inner.files, Path(item.file)][around.index(path.resolve()) :])
            raise ProvisionError(
                f"`{name}` takes in itself",
                where=where,
                cause=" takes in ".join(f"`{file}`" for file in (*chain, path)),
                hint="a loop, or `until`, repeats tasks",
            )
        return path

    def made(self, item: Mapping, words: TaskKeywords, word: str, arguments: Mapping, outer: Inherited) -> Task:
        inner = within(outer, item)
        if inner.among.delegate_to:
            refuse_word(word, item.mark)
        control = words.loop_control or LoopControl()
        refuse_broken_app(item, word)
        return Task(
            key="",
            name=words.name or "",
            module=word,
            arguments=arguments,
            where=item.mark,
            directory=inner.directory,
            role=inner.role,
            when=inner.when,
            loop=item.get("loop"),
            loop_where=item.value_mark("loop") if "loop" in item else None,
            loop_var=control.loop_var,
            index_var=control.index_var,
            label=control.label,
            pause=control.pause,
            extended=control.extended or False,
            allitems=True if control.extended_allitems is None else control.extended_allitems,
            break_when=conditions_of(item["loop_control"], "break_when") if control.break_when is not None else (),
            register=words.register_,
            notify=inner.notify,
            listen=listed(item, "listen"),
            tags=inner.tags,
            become=inner.become,
            become_user=inner.become_user,
            environment=inner.environment,
            variables=inner.variables,
            given=inner.given,
            changed_when=conditions_of(item, "changed_when"),
            failed_when=conditions_of(item, "failed_when"),
            until=conditions_of(item, "until"),
            retries=item.get("retries"),
            delay=item.get("delay"),
            frames=outer.frames,
            around=outer.around,
            ignore_errors=inner.ignore_errors,
            no_log=inner.no_log,
            check_mode=inner.check_mode,
            among=inner.among,
        )

    def block(self, item: Mapping, outer: Inherited) -> list[Task]:
        if "block" not in item:
            part = "rescue" if "rescue" in item else "always"
            raise ProvisionError(f"`{part}` needs a `block` beside it", where=item.key_mark(part))
        fields = Mapping(item.file, (item.mark.line, item.mark.column))
        for name in item:
            if name not in ("block", "rescue", "always"):
                fields.put(name, item[name], item.places(name), item.texts.get(name))
        for name in ("loop", "register", "changed_when", "failed_when", "until", "retries", "delay", "listen"):
            if name in fields:
                raise ProvisionError(
                    f"a block has no `{name}`", where=fields.key_mark(name), hint="put it on the tasks inside"
                )
        validate(TaskKeywords, fields, "block")
        inner = entered(within(outer, fields), "block", str(item.get("name") or ""), item.mark, fields)
        parts = [name for name in ("block", "rescue", "always") if item.get(name)]
        if len(parts) < 2:
            return self.tasks(item["block"], inner)
        self.blocks += 1
        name = f"block {self.blocks}"
        result: list[Task] = []
        for part in parts:
            frame = Frame(name, part, "rescue" in parts, "always" in parts)
            result += self.tasks(item[part], replace(inner, frames=(*outer.frames, frame)))
        return result

    def imported_tasks(self, word: str, item: Mapping, key: str, outer: Inherited) -> list[Task]:
        where = item.value_mark(key)
        if "loop" in item or "register" in item:
            raise ProvisionError(f"`{word}` cannot be looped or registered", where=where)
        inner = within(outer, item)
        value = item[key]
        if word == "import_role":
            if (
                not isinstance(value, Mapping)
                or not isinstance(value.get("name"), str)
                or set(value) - {"name", "tasks_from"}
            ):
                raise ProvisionError("`import_role` needs `name`, and takes `tasks_from`", where=where)
            tasks_from = str(value.get("tasks_from", "main")).removesuffix(".yml").removesuffix(".yaml")
            inner = entered(inner, word, value["name"], item.mark, item)
            return list(self.role(value["name"], value.value_mark("name"), _EMPTY, inner, tasks_from))
        name = value.get("file") if isinstance(value, Mapping) else value
        if not isinstance(name, str) or isinstance(name, Template):
            raise ProvisionError("`import_tasks` needs a plain file name", where=where)
        path = self.task_file(name, item, inner, where)
        inner = entered(inner, word, name, item.mark, item)
        return self.tasks(load(path), replace(inner, files=(*inner.files, Path(item.file))), str(path))

    def built(self, item: Mapping, word: str, arguments: Mapping, outer: Inherited) -> list[Task]:
        words = validate(TaskKeywords, item, f"`{item['name']}`")
        arguments = options.arguments_of(word, arguments, arguments.mark)
        self.errors += options.check(word, arguments)
        return [self.made(item, words, word, arguments, outer)]


def _keyed(section: Section) -> Section:
    return replace(
        section, tasks=tuple(keyed(task, f"{section.name}:{index}") for index, task in enumerate(section.tasks))
    )


def _notified(play: Play) -> Iterator[ProvisionError]:
    """Handlers that are notified and do not exist."""
    names = {
        str(name)
        for task in play.handlers
        for name in (task.name, *task.listen, f"{task.role.name} : {task.name}" if task.role else task.name)
    }
    for task in play.tasks:
        for name in task.notify:
            if not isinstance(name, Template) and name not in names:
                yield ProvisionError(
                    f"there is no handler `{name}`",
                    where=task.where,
                    context=f'task "{task.title}"',
                    hint=nearest(name, names),
                )
