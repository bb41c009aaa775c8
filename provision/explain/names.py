"""Where the value of each name comes from that a task reads, through the names that it is made of.

Pure: of one scope. What is secret leaves as HIDDEN only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, replace
from typing import Any

from provision import fact_names
from provision.agent.record import record
from provision.errors import ProvisionError
from provision.playbook import Task
from provision.prompted import LABEL as ASKED
from provision.render import KnownAfterApply, NamesOf, Renderer, Unsettled
from provision.secret.value import HIDDEN, holds, is_secret, masked
from provision.source import Template
from provision.variables import Layer, Origin, Pending, Scope

__all__ = ["HIDDEN_BEHIND", "Name", "Names", "read_by", "read_of"]

HIDDEN_BEHIND = ("magic variables", "facts", "the role")
"""Layers whose values are no secrets, wherever they are used."""
_WHOLE = ("facts", "ansible_facts", "vars")
"""Names whose values are too long to be told."""
_FAILED = ("ansible_failed_task", "ansible_failed_result")
_FACTS = frozenset((*fact_names.NAMES, "ansible_facts", "facts"))


@record(frozen=True, slots=True)
class Name:
    """One name and its value.

    `state`: "known", "secret", "later" (only a run can say), "undefined", "wrong" (its value is an error) or "others"
    (of other hosts); `why` says more. `origins` are where the value is given, first, and what that overrides.
    `reads` are the names that its value is made of.
    """

    name: str
    state: str
    value: Any = None
    why: str = ""
    origins: tuple[Origin, ...] = ()
    reads: tuple[str, ...] = ()


def read_by(value: Any, renderer: Renderer) -> dict[str, bool]:
    """The names that templates in a value read, and whether each must have a value; raises ProvisionError."""
    found: dict[str, bool] = {}
    for template in _templates(value):
        for name, must in read_of(renderer.check(template)).items():
            found[name] = found.get(name, False) or must
    return found


def read_of(names: NamesOf) -> dict[str, bool]:
    """As `read_by`, of what was found in one template."""
    return {name: name.partition(".")[0] in names.needed for name in sorted(names.origins)}


def _templates(value: Any) -> Iterator[Template]:
    if isinstance(value, Template):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _templates(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _templates(item)


@record(slots=True)
class Names:
    """Looks names up in one scope, each once; `facts` says why a fact has no value here, "" where hosts tell none.

    `by` are the tasks that set names. `rescued`: the names of a failure have values.
    """

    scope: Scope
    facts: str = ""
    by: Mapping[str, Task] = field(default_factory=dict)
    rescued: bool = False
    found: dict[str, Name] = field(default_factory=dict)

    def add(self, names: Iterable[str]) -> None:
        """Look these names up, and all that they are made of."""
        for name in names:
            if name not in self.found:
                self.found[name] = Name(name, "wrong")  # found again below where a value refers to itself
                own = self._looked_up(name)
                self.add(own.reads)
                self.found[name] = self._reasoned(own)

    def hide(self, names: Iterable[str]) -> None:
        """These names are secrets, with what they are made of."""
        todo, seen = list(names), set()
        while todo:
            name = todo.pop()
            own = self.found.get(name)
            if own is None or name in seen:
                continue
            seen.add(name)
            todo += own.reads
            if own.state == "known" and not (own.origins and own.origins[0].label in HIDDEN_BEHIND):
                self.found[name] = replace(own, state="secret", value=HIDDEN)

    def later(self, names: Iterable[str]) -> list[str]:
        """What only a run can say of all that these names are made of: the names at the bottom."""
        found: dict[str, None] = {}
        todo, seen = list(names), set()
        while todo:
            own = self.found.get(todo.pop(0))
            if own is None or own.name in seen:
                continue
            seen.add(own.name)
            below = [name for name in own.reads if self.found[name].state in ("later", "others")]
            if own.state in ("later", "others") and not below:
                found[own.name] = None
            todo += own.reads
        return list(found)

    def _reasoned(self, own: Name) -> Name:
        if own.state != "later" or own.why:
            return own
        below = self.later(own.reads)
        return replace(own, why="made of " + ", ".join(f"`{name}`" for name in below) if below else "a run says it")

    def _looked_up(self, name: str) -> Name:
        base, _, rest = name.partition(".")
        if base == "hostvars":
            return Name(name, "others", why="of other hosts" if rest else "the variables of all hosts")
        layer = self.scope.layer(base)
        if layer is None:
            return self._without(name, base)
        raw = layer.values[base]
        origins = self._origins(base, layer)
        if type(raw) is Pending:
            return Name(
                name, "later", why=self._pending(base, layer), origins=origins, reads=self._made_of(base, layer)
            )
        if base in self.scope.secrets or is_secret(raw):
            return Name(name, "secret", HIDDEN, origins=origins, reads=self._made_of(base, layer, True))
        try:
            reads = self._made_of(base, layer)
            value = self.scope.find(base)
            value = _inside(value, rest) if rest else value
        except (Unsettled, KnownAfterApply):
            return Name(name, "later", origins=origins, reads=reads)
        except KeyError:
            return Name(name, "later", why=self.facts or "not among the stored facts", origins=origins)
        except ProvisionError as error:
            return Name(name, "wrong", why=error.summary, origins=origins, reads=self._made_of(base, layer, True))
        if _all_secret(value):
            return Name(name, "secret", HIDDEN, origins=origins, reads=reads)
        if name in _WHOLE:
            return Name(name, "known", None, "all of them", origins)
        return Name(name, "known", masked(value), origins=origins, reads=reads)

    def _without(self, name: str, base: str) -> Name:
        if base in _FACTS and self.facts:
            return Name(name, "later", why=self.facts)
        if base in _FAILED and self.rescued:
            return Name(name, "later", why="of the task that fails in the block")
        if (task := self.by.get(base)) is not None:
            return Name(name, "later", why=f"set by {_said(task)}")
        return Name(name, "undefined", why=f"looked for in {self.scope.looked()}")

    def _origins(self, name: str, layer: Layer) -> tuple[Origin, ...]:
        first, *others = dict.fromkeys(self.scope.origins(name))  # a role's defaults are there for others as well
        if layer.host and name in self.by and layer.label == _SET:
            first = Origin(f"{_verb(self.by[name], name)} {_said(self.by[name])}", self.by[name].where)
        return (first, *others)

    def _pending(self, name: str, layer: Layer) -> str:
        if layer.label == ASKED:
            return "asked for before the play"
        if layer.label == _SET and name in self.by:
            return "its task has not run"
        if layer.label == "the loop of the include":
            return "another one for each item of the include"
        return "what the loop goes over is known only in a run" if layer.label == "the loop" else "a run says it"

    def _made_of(self, name: str, layer: Layer, quiet: bool = False) -> tuple[str, ...]:
        written: Any = layer.values[name]
        if layer.label == _SET:
            task = self.by.get(name)
            written = task.arguments.get(name) if task is not None and task.module == "set_fact" else None
        elif layer.host:
            written = layer.made_of.get(name)
        try:
            return tuple(read_by(written, self.scope.renderer))
        except ProvisionError:
            if quiet:
                return ()
            raise


_SET = "registered results and set facts"


def _verb(task: Task, name: str) -> str:
    return "registered by" if task.register == name else "set by"


def _said(task: Task) -> str:
    return f'task "{task.title}"'


def _inside(value: Any, rest: str) -> Any:
    return value[rest] if isinstance(value, Mapping) else value


def _all_secret(value: Any) -> bool:
    """Whether a value is a secret, or a list or mapping of nothing else."""
    if isinstance(value, str):
        return holds(value)
    items = list(value.values()) if isinstance(value, Mapping) else value if isinstance(value, list) else []
    return bool(items) and all(holds(item) for item in items)
