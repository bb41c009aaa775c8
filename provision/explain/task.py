"""One task on one host, explained: whether it would run and why, and what it reads.

Pure: of the task, the scopes that it sees, and what is known of the host.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from provision.apart import delegated
from provision.clashes import UNKNOWN
from provision.copied import jinja_options
from provision.errors import Mark, ProvisionError
from provision.explain.names import Names, read_by, read_of
from provision.explain.parts import Explanation, Seen, Surrounding, Tested, Used
from provision.explain.verdict import Found, verdict
from provision.filters import truth
from provision.loops import names_of
from provision.modules import DIRECTIVES, INCLUDES
from provision.plan_task import SECRET_OPTIONS
from provision.playbook import Condition, Task
from provision.render import KnownAfterApply, Unsettled
from provision.scopes import Scopes
from provision.secret.value import masked
from provision.selection import answering, becomes, first_given, handler_id, handlers_by_id, selected, variable
from provision.source import Template, read_text
from provision.translate import find_file
from provision.variables import Origin, Pending, Scope

__all__ = ["explain"]


def explain(task: Task, scopes: Scopes, seen: Seen) -> Explanation:
    """Why a task would run on the host of these scopes, or not, and what it reads; raises ProvisionError."""
    return _Explaining(task, scopes, seen).explanation()


class _Explaining:
    def __init__(self, task: Task, scopes: Scopes, seen: Seen) -> None:
        self.task = task
        self.scopes = scopes
        self.seen = seen
        self.wrong_loop = ""
        self.items, self.inner = self._items()
        rescued = any(frame.part == "rescue" for frame in task.frames)
        self.names = Names(self.inner[0] if self.inner else scopes.of(task), seen.facts, seen.by, rescued)

    def explanation(self) -> Explanation:
        task, run = self.task, self.scopes.host.run
        around = tuple(self._around())
        conditions = tuple(self._tested(one, self.inner) for one in self._own_conditions())
        uses = tuple(self._uses())
        chosen = selected(task, run)
        others, elsewhere = self._others()
        notified_by = tuple(self._notified_by())
        names = dict(self.names.found)
        handler = [title for title, _ in notified_by] if self._handler() else None
        state, reasons = verdict(
            Found(
                *(task, self.scopes, chosen, around, conditions, uses, names, elsewhere, handler),
                *(self.items, self.wrong_loop, self.seen),
            )
        )
        return Explanation(
            self._title(),
            task.where,
            task.module,
            state,
            tuple(reasons),
            tuple(sorted(task.tags)),
            chosen,
            around,
            conditions,
            self._user(),
            self._loop(),
            self.items,
            tuple(others),
            notified_by,
            uses,
            names,
        )

    def _title(self) -> str:
        try:
            name = str(masked(self.names.scope.render(self.task.name)))
        except UNKNOWN:
            return self.task.title
        return f"{self.task.role.name} : {name}" if self.task.role and name else name or self.task.title

    def _items(self) -> tuple[int | None, list[Scope]]:
        """How many items its loop has, None without one and where it is not known, and the scope of each."""
        task, scopes = self.task, self.scopes
        if task.loop is None:
            return None, [scopes.of(task)]
        try:
            values = scopes.of(task).render(task.loop)
            if not isinstance(values, list):
                self.wrong_loop = "`loop` is not a list"
                return None, []
            extended = task.extended is not False
            names = (names_of(task, values, index, extended=extended) for index in range(len(values)))
            return len(values), [scopes.inner(task, each) for each in names]
        except (Unsettled, KnownAfterApply):
            brought = [name for name in (task.loop_var, task.index_var) if name]
            return None, [scopes.inner(task, {name: Pending(name) for name in brought})]
        except ProvisionError as error:
            self.wrong_loop = error.summary
            if self._lacks_facts(task.loop):
                self.wrong_loop = ""
                return None, [scopes.inner(task, {task.loop_var: Pending(task.loop_var)})]
            return None, []

    def _loop(self) -> str:
        if self.task.loop is None:
            return ""
        if self.wrong_loop:
            return self.wrong_loop
        return "" if self.items is not None else "known only when it runs"

    def _lacks_facts(self, *written: Any) -> bool:
        """Whether a value fails for facts that a host would tell."""
        names = Names(self.scopes.of(self.task), self.seen.facts, self.seen.by)
        for value in written:
            names.add(read_by(value, self.scopes.host.run.renderer))
        return any(name.state == "later" for name in names.found.values())

    def _own_conditions(self) -> Iterator[Condition]:
        taken = [(one.where, one.expression) for each in self.task.around for one in each.when if each.task is None]
        return (one for one in self.task.when if (one.where, one.expression) not in taken)

    def _around(self) -> Iterator[Surrounding]:
        chosen = ""
        for each in self.task.around:
            include = each.task
            inner = self._reached(include) if include is not None and include.loop is None else self.inner
            tested = tuple(self._tested(one, inner) for one in each.when)
            unselected = include is not None and not selected(include, self.scopes.host.run)
            otherwise = (
                f"the include chooses the role `{chosen}`" if each.kind == "role" and chosen != each.name else ""
            )
            yield Surrounding(
                each.kind,
                each.name,
                each.where,
                tested,
                tuple(sorted(each.tags)),
                unselected,
                otherwise if chosen else "",
            )
            chosen = self._chosen_role(include) if include is not None else ""

    def _reached(self, include: Task) -> list[Scope]:
        """The scope of an include when it was reached: its conditions are asked once, there."""
        values = self.seen.at.get(include.where)
        scopes = self.scopes if values is None else Scopes(self.scopes.play, self.scopes.host, values)
        return [scopes.of(include)]

    def _chosen_role(self, include: Task) -> str:
        """The role that an include chooses by a template; "" where it does not, or only a run can say."""
        name = include.arguments.get("name")
        if include.module != "include_role" or not isinstance(name, Template) or include.loop is not None:
            return ""
        try:
            return str(self.scopes.of(include).render(name))
        except UNKNOWN:
            return ""

    def _tested(self, condition: Condition, scopes: Sequence[Scope]) -> Tested:
        expression, where = condition.expression, condition.where
        if not isinstance(expression, str):
            return Tested(str(expression).lower(), where, "true" if expression else "false")
        try:
            found = self.scopes.host.run.renderer.check_expression(expression, where)
        except ProvisionError as error:
            return Tested(expression, where, "wrong", error.summary)
        reads = tuple(sorted(found.origins))
        self.names.add(reads)
        if self._quiet():
            self.names.hide(reads)
        states = [self._state(condition, scope, reads) for scope in scopes]
        for state, why in states:
            if state in ("wrong", "later"):
                return Tested(expression, where, state, why, reads)
        count = sum(state == "true" for state, _ in states)
        if 0 < count < len(states):
            return Tested(expression, where, "mixed", f"true for {count} of {len(states)} items", reads)
        return Tested(expression, where, "false" if states and not count else "true", "", reads)

    def _state(self, condition: Condition, scope: Scope, reads: Sequence[str]) -> tuple[str, str]:
        try:
            return ("true" if scope.renderer.test(condition.expression, scope, condition.where) else "false"), ""
        except (Unsettled, KnownAfterApply):
            return "later", self._reason(reads)
        except ProvisionError as error:
            if self.names.later(reads):
                return "later", self._reason(reads)
            return "wrong", error.summary

    def _reason(self, reads: Iterable[str]) -> str:
        found = self.names.later(reads)
        said = [f"`{name}`: {self.names.found[name].why}" for name in found]
        return "; ".join(said)

    def _uses(self) -> Iterator[Used]:
        for part, where, value, hidden in self._parts():
            try:
                read = read_by(value, self.scopes.host.run.renderer)
            except ProvisionError as error:
                yield Used(f"{part} ({error.summary})", where, ())
                continue
            own = {self.task.register} if part in ("changed_when", "failed_when", "until") else set()
            if hidden:
                self._learn(value)
            yield from self._used(part, where, {name: must for name, must in read.items() if name not in own}, hidden)
        yield from self._file()

    def _used(self, part: str, where: Mark, read: Mapping[str, bool], hidden: bool) -> Iterator[Used]:
        self.names.add(read)
        if hidden:
            self.names.hide(read)
        if read:
            yield Used(part, where, tuple(read), tuple(name for name, must in read.items() if must))

    def _parts(self) -> Iterator[tuple[str, Mark, Any, bool]]:
        """Each part that may read names: what it is, where, its value, and whether what it reads is not to be shown."""
        task = self.task
        quiet = self._quiet()
        yield "name", task.where, task.name, quiet
        if task.loop is not None:
            yield "loop", task.loop_where or task.where, task.loop, quiet
        for key, value in task.arguments.items():
            yield f"argument `{key}`", task.arguments.value_mark(key), value, quiet or key in SECRET_OPTIONS
        for mapping in (*self.scopes.play.environment, *task.environment):
            for key, value in mapping.items():
                yield f"environment `{key}`", mapping.value_mark(key), value, quiet
        for word, value in (("become", task.become), ("become_user", task.become_user), ("label", task.label)):
            yield word, task.where, value, quiet
        for word in ("changed_when", "failed_when", "until"):
            for one in getattr(task, word):
                if isinstance(one.expression, str):
                    expression = Template("{{ " + one.expression + " }}", one.where, one.expression)
                    yield word, one.where, expression, quiet
        for value in task.notify:
            yield "notify", task.where, value, quiet

    def _file(self) -> Iterator[Used]:
        """The text of a template file, where its name can be told."""
        task, source = self.task, self.task.arguments.get("src")
        options = jinja_options(task, dict(task.arguments))[0] if task.module == "template" else {}
        if task.module != "template" or source is None or any(isinstance(one, Template) for one in options.values()):
            return
        try:
            name = str(self.names.scope.render(source))
            path = find_file(task, self.scopes.play.directory, "templates", name)
            _, names = self.scopes.host.run.renderer.check_text(read_text(path), str(path), options)
        except (*UNKNOWN, OSError):
            return
        yield from self._used(f"the file `{name}`", Mark(str(path), 1, 1), read_of(names), self._quiet())

    def _quiet(self) -> bool:
        return self.task.no_log not in (None, False)

    def _learn(self, value: Any) -> None:
        """What an option for secrets comes to is hidden wherever it stands."""
        from provision.secret.known import learned

        for scope in self.inner:
            try:
                learned(scope.render(value))
            except UNKNOWN:
                continue

    def _user(self) -> tuple[str, Origin | None] | None:
        task, play, scope, run = self.task, self.scopes.play, self.names.scope, self.scopes.host.run
        if task.module in DIRECTIVES or task.module in INCLUDES:
            return "", None
        here = delegated(task)
        try:
            if not becomes(task, play, scope, run, delegated=here):
                return "", None
            own = None if here else variable(scope, "ansible_become_user")
            user = str(scope.render(first_given(own, task.become_user, play.become_user, "root")))
        except UNKNOWN:
            return None
        if not here and variable(scope, "ansible_become") is not None:
            origin = scope.origin("ansible_become")
            return user, Origin(f"`ansible_become` of {origin.label}", origin.where) if origin else None
        said = "`become` of the task, or of what it is in" if task.become is not None else "`become` of the play"
        return user, Origin(said if task.become is not None or play.become is not None else "--become")

    def _others(self) -> tuple[list[str], str]:
        """What the task says of other hosts, and why this one does not run it."""
        among, host = self.task.among, self.scopes.host
        said, elsewhere = [], ""
        if among.delegate_to:
            said.append(f"done on `{among.delegate_to}` in the place of the host")
        try:
            once = truth(self.names.scope.render(among.run_once))
        except UNKNOWN:
            said.append("whether it runs once for all is known only when it runs")
            return said, elsewhere
        if once and self.task.module != "meta":
            first = next(iter(host.play_hosts), host.host)
            said.append(f"runs once for all hosts, on `{first}` as long as that is there")
            elsewhere = f"it runs once for all hosts, on `{first}`" if first != host.host else ""
        return said, elsewhere

    def _notified_by(self) -> Iterator[tuple[str, Mark]]:
        """The tasks that notify it, where it is a handler."""
        if not self._handler():
            return
        handlers = handlers_by_id(self.scopes.play)
        own = handler_id(self.scopes.play, self.task)
        for task in self.scopes.play.tasks:
            if selected(task, self.scopes.host.run):
                for name in task.notify:
                    if isinstance(name, Template) or own in answering(handlers, str(name)):
                        yield task.title, task.where
                        break

    def _handler(self) -> bool:
        return any(task.where == self.task.where for task in self.scopes.play.handlers)
