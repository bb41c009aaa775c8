"""All that can be known before a host is contacted: undefined names, missing files, clashes of ports and GPUs.

Pure but for reading files. Must not connect; what depends on facts or results is left to the run itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import field
from pathlib import Path
from typing import Any

from jinja2.utils import missing

from provision import fact_names, variant_files
from provision.agent.record import record
from provision.apart import delegated
from provision.clashes import UNKNOWN, clashes, item_scopes
from provision.copied import jinja_options
from provision.errors import Mark, ProvisionError, ProvisionErrors
from provision.modules import DIRECTIVES, INCLUDES
from provision.plan_task import ARGUMENT_WORDS, secret_argument
from provision.playbook import Condition, Play, Task
from provision.render import NamesOf, Renderer, UndefinedVariable
from provision.scopes import MAGIC, HostVariables, Run, Scopes
from provision.secret.value import is_secret
from provision.selection import becomes, selected
from provision.source import Template, nearest, read_text
from provision.translate import find_file
from provision.variables import Scope

__all__ = ["check", "environment_files", "may_become", "undefined"]

_WITH_SOURCE = ("copy", "template", "unarchive")
_ANY = "\0any"
"""Stands for names that only the run can say, as a file that it chooses has them."""
Hosts = Mapping[Play, Sequence[str]]
"""The hosts of each play."""


def check(plays: Sequence[Play], run: Run, hosts: Hosts) -> None:
    """Everything before any connection; raises ProvisionErrors with all that was found, in the order of the plays."""
    found: dict[tuple[str, str], ProvisionError] = {}
    seen: set[str] = set()
    set_before: set[str] = set()
    for play in plays:
        names = hosts.get(play, ())
        seen |= set(names) if play.gather_facts else set()
        for error in (*undefined(play, run, names, seen, set_before), *_files(play, run)):
            found.setdefault((error.summary, str(error.where)), error)
        set_before |= set(_later(play))
    for error in clashes(plays, run, hosts):
        found.setdefault((error.summary, str(error.where)), error)
    errors = list(found.values())
    if errors:
        raise errors[0] if len(errors) == 1 else ProvisionErrors(errors)


def may_become(play: Play, run: Run, host: str) -> bool:
    """Whether any task of the play may become another user on a host; what cannot be told yet counts."""
    scopes = Scopes(play, HostVariables(run, host), {})
    return any(
        _may_become(task, play, scopes, run)
        for task in play.tasks
        if task.module not in DIRECTIVES and not delegated(task)
    )


def _may_become(task: Task, play: Play, scopes: Scopes, run: Run) -> bool:
    try:
        return becomes(task, play, scopes.of(task), run)
    except UNKNOWN:
        return True


def environment_files(plays: Iterable[Play], run: Run, hosts: Hosts) -> list[Path]:
    """The environment.yml of every environment that the plays may build; raises ProvisionError for a missing one."""
    found: dict[Path, None] = {}
    for play in plays:
        names = hosts.get(play, ())
        tasks = [task for task in play.tasks if task.module == "conda_env" and selected(task, run)]
        for task in tasks if names else ():
            own = variant_files.files(task, play, run, names)
            for name in own or _rendered(task, "file", "environment.yml", play, run, names):
                found[find_file(task, play.directory, "files", name)] = None
    return list(found)


def _rendered(task: Task, option: str, default: str, play: Play, run: Run, hosts: Sequence[str]) -> Iterator[str]:
    """The values that an option takes over all hosts and items, as far as they can be told without facts."""
    value = task.arguments.get(option, default)
    if task.arguments.get("state") == "absent":
        return
    if not isinstance(value, Template):
        yield str(value)
        return
    for host in hosts:
        scopes = Scopes(play, HostVariables(run, host, play_hosts=tuple(hosts)), {})
        try:
            scopes_of_items = list(item_scopes(task, scopes))
        except UNKNOWN:
            continue
        for scope in scopes_of_items:
            try:
                yield str(scope.render(value))
            except UNKNOWN:
                continue


def _files(play: Play, run: Run) -> Iterator[ProvisionError]:
    """Sources on the control node that are not there, where their names hold no template."""
    for task in play.tasks:
        source = task.arguments.get("src")
        if task.module not in _WITH_SOURCE or source is None or isinstance(source, Template):
            continue
        if task.module == "unarchive" and (task.arguments.get("remote_src", False) is not False or "://" in source):
            continue
        try:
            path = find_file(task, play.directory, "templates" if task.module == "template" else "files", source)
            if task.module == "template":
                _checked_file(run.renderer, task, path)
        except ProvisionError as error:
            yield error


def _checked_file(renderer: Renderer, task: Task, path: Path) -> list[tuple[Any, NamesOf]]:
    """What a template file needs, read with the options that the task gives; none where these are templates."""
    options, _, _ = jinja_options(task, dict(task.arguments))
    if any(isinstance(value, Template) for value in options.values()):
        return []
    return [renderer.check_text(read_text(path), str(path), options)]


@record(slots=True)
class _Names:
    """Looks for undefined names in one play, for hosts that know the same names."""

    play: Play
    renderer: Renderer
    scopes: Scopes
    later: frozenset[str]
    seen: dict[tuple[int, frozenset[str], str], None] = field(default_factory=dict)
    errors: list[ProvisionError] = field(default_factory=list)

    def task(self, task: Task) -> None:
        scope = self.scopes.of(task)
        loop = (
            {"ansible_loop_var"}
            | ({task.loop_var} if task.loop is not None else set())
            | ({task.index_var, "ansible_index_var"} if task.index_var else set())
            | ({"ansible_loop"} if task.extended is not False else set())
        )
        own = {task.register} if task.register else set()
        used: list[tuple[Any, NamesOf]] = []
        try:
            used += self.conditions((*task.when, *task.changed_when, *task.failed_when, *task.break_when))
            used += self.templates([task.arguments, *task.notify, *task.environment, task.label])
            used += self.file(task)
            if task.module == "assert":
                used += self.asserted(task)
            self.secret(task, scope)
            outside = self.templates([task.loop])
        except ProvisionError as error:
            self.errors.append(error)
            return
        asked = {name for _, names in used for name in names.asked}
        for where, names in used:
            self.need(names.needed - asked, where, scope, task, frozenset(loop | own))
        for where, names in outside:
            self.need(names.needed - asked, where, scope, task, frozenset())

    def secret(self, task: Task, scope: Scope) -> None:
        """A secret, or a variable that is made of one, in the arguments of a command."""
        for key in ARGUMENT_WORDS.get(task.module, ()):
            for template in _templates_in(task.arguments.get(key)):
                todo, seen = list(self.renderer.check(template).all), set()
                if is_secret(template):
                    raise secret_argument(task, key)
                while todo:
                    name = todo.pop()
                    if name in scope.secrets or is_secret(scope.raw(name)):
                        raise secret_argument(task, key)
                    if name not in seen:
                        seen.add(name)
                        todo += [n for t in _templates_in(scope.raw(name)) for n in self.renderer.check(t).all]

    def conditions(self, conditions: Iterable[Condition]) -> list[tuple[Any, NamesOf]]:
        written = [condition for condition in conditions if isinstance(condition.expression, str)]
        return [
            (condition, self.renderer.check_expression(condition.expression, condition.where)) for condition in written
        ]

    def asserted(self, task: Task) -> list[tuple[Any, NamesOf]]:
        that = task.arguments.get("that", [])
        where = task.arguments.value_mark("that")
        return self.conditions(Condition(item, where) for item in (that if isinstance(that, list) else [that]))

    def templates(self, values: Any) -> list[tuple[Any, NamesOf]]:
        return [(template, self.renderer.check(template)) for template in _templates_in(values)]

    def file(self, task: Task) -> list[tuple[Any, NamesOf]]:
        source = task.arguments.get("src")
        if task.module != "template" or not isinstance(source, str) or isinstance(source, Template):
            return []
        try:
            path = find_file(task, self.play.directory, "templates", source)
        except ProvisionError:
            return []
        return _checked_file(self.renderer, task, path)

    def need(
        self,
        names: Set[str],
        where: Any,
        scope: Scope,
        task: Task,
        own: frozenset[str],
        chain: tuple[str, ...] = (),
    ) -> None:
        """`own` are the names that the task itself brings: of its loop, and what it registers."""
        for name in sorted(names - own):
            raw = scope.raw(name)
            if raw is missing:
                if name not in self.later and name not in MAGIC and _ANY not in self.later:
                    self.errors.append(self.error(name, where, scope, task, chain))
            elif (id(scope), own, name) not in self.seen:
                self.seen[id(scope), own, name] = None
                for template in _templates_in(raw):
                    try:
                        self.need(self.renderer.check(template).needed, template, scope, task, own, (*chain, name))
                    except ProvisionError as error:
                        self.errors.append(error)

    def error(self, name: str, where: Any, scope: Scope, task: Task, chain: tuple[str, ...]) -> ProvisionError:
        place = where.where if isinstance(where, Condition) else _place(where, name)
        context = f"used through `{chain[-1]}`" if chain else f'task "{task.title}"'
        known = {*scope.known(), *self.later}
        return UndefinedVariable(
            f"variable `{name}` is undefined",
            where=place,
            context=context,
            cause=f"it was looked for in {scope.looked()}",
            hint="a play with `gather_facts: false` has no facts" if name in fact_names.NAMES else nearest(name, known),
        )


def _place(template: Template, name: str) -> Mark:
    match = re.search(rf"(?<![\w.]){re.escape(name)}\b", template)
    return template.place(name, str(template)[: match.start()].count(name)) if match else template.mark


def _templates_in(value: Any) -> Iterator[Template]:
    if isinstance(value, Template):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _templates_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _templates_in(item)


def undefined(
    play: Play, run: Run, hosts: Sequence[str], gathered: Set[str], set_before: Set[str] = frozenset()
) -> list[ProvisionError]:
    """Names that no host could have a value for; hosts that know the same names are looked at once.

    `gathered` are the hosts whose facts this play, or one before it, gathers; `set_before` are the names that plays
    before it may have set.
    """
    if any(task.module in INCLUDES and task.content is None for task in play.tasks):
        return []  # only a run can say which files are included, and so which names are set
    own = frozenset(_later(play)) | set_before
    errors: list[ProvisionError] = []
    kinds: dict[tuple[bool, frozenset[str], tuple[str, ...]], None] = {}
    for host in hosts:
        inventory = run.inventory.variables(host, play.directory)
        kind = (host in gathered, frozenset(inventory), tuple(_templates_in(inventory)))
        if kind in kinds:
            continue
        kinds[kind] = None
        later = own | fact_names.NAMES if host in gathered else own
        names = _Names(play, run.renderer, Scopes(play, HostVariables(run, host), {}), later)
        for task in play.tasks:
            if selected(task, run):
                names.task(task)
        errors += names.errors
    return errors


def _later(play: Play) -> Iterator[str]:
    """Names that tasks of the play give values to."""
    for task in play.tasks:
        if task.register:
            yield task.register
        if task.module == "setup":
            yield from fact_names.NAMES
        if task.module in INCLUDES and task.loop is not None:
            yield from (name for name in (task.loop_var, task.index_var, "ansible_loop_var") if name)
        if any(frame.rescue for frame in task.frames):
            yield from ("ansible_failed_task", "ansible_failed_result")
        if task.module == "set_fact":
            yield from (_ANY if "{{" in str(name) else str(name) for name in task.arguments)
        if task.module == "include_vars":
            # imported here: a start without it does without
            from provision.included_vars import names_known

            known = names_known(task, play)
            yield from (_ANY,) if known is None else known
