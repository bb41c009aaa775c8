"""The names that a task sees on a host: all layers put together in Ansible's order.

Owns the order of layers and `hostvars`. What a name's value is, is `variables`' matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from functools import cached_property, lru_cache
from typing import Any

from provision.agent.record import record
from provision.among import HERE
from provision.fact_names import fact_variables
from provision.inventory import Inventory
from provision.magic import MAGIC, OMIT, Magic, resolved
from provision.others import ALONE, Elsewhere, Others, Position
from provision.playbook import Play, Role, Task
from provision.render import Renderer
from provision.source import Template
from provision.translate import Translator
from provision.variables import HostView, Layer, Origin, Scope

__all__ = ["INCLUDED", "MAGIC", "OMIT", "HostVariables", "Run", "Scopes"]

INCLUDED = "\0included"
"""The key in what was set so far under which variables of `include_vars` are: a mapping of their own, as facts that
are set win over them."""


@record(frozen=True, slots=True)
class Run:
    """What all hosts of a run share; `facts_of` holds the facts of each host that has connected so far.

    `extra` are `-e` variables. `tags` empty: all. `become`: as `-b`. `forward`, `force_handlers`: as the options.
    `unsettled` are hosts whose apps may turn out to clash once their facts are known.
    """

    inventory: Inventory
    renderer: Renderer = field(default_factory=Renderer)
    translator: Translator = field(default_factory=Translator)
    extra: Mapping[str, Any] = field(default_factory=dict)
    check: bool = False
    tags: frozenset[str] = frozenset()
    skip_tags: frozenset[str] = frozenset()
    become: bool = False
    forward: bool = False
    force_handlers: bool = False
    facts_of: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    unsettled: set[str] = field(default_factory=set)
    known_of: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """What was registered and set on each host so far, for `hostvars` of others."""
    diff: bool = False
    verbosity: int = 0
    limit: str | None = None
    forks: int = 64
    _layers_of: dict[tuple[int, str], tuple[Any, ...]] = field(default_factory=dict)


@record(frozen=True, slots=True)
class Here:
    """Who the agent on the control node runs as, and who started it, "" where that is the same.

    `local`: the host of the play is worked on from here, over a local connection; `own`: always, so that it is this
    machine.
    """

    user: str = "root"
    login_user: str = ""
    local: bool = False
    own: bool = False


@record(frozen=True, slots=True)
class HostVariables:
    """One host in one play. `login_user` is who logged in, "" where that is who the agent runs as.

    `gathered`: the play's templates see the facts; provision itself knows them in any case. `halted`: the play ends
    for all hosts, and this one does nothing more but what `force_handlers` asks for.
    """

    run: Run
    host: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    play_hosts: tuple[str, ...] = ()
    login_user: str = ""
    gathered: bool = True
    others: Others = ALONE
    here: Here = Here()
    halted: bool = False


class Scopes:
    """The scopes of one host's tasks; those of tasks without variables of their own are shared by role.

    `dynamic` holds what was registered and set so far; call `changed` after changing it.
    """

    def __init__(self, play: Play, host: HostVariables, dynamic: dict[str, Any]) -> None:
        self.play: Play = play
        self.host: HostVariables = host
        self.dynamic = dynamic
        self.position: Position = ()
        """Where in the play the host is; who asks for values of others waits for those that are not as far."""
        self._shared: dict[int, Scope] = {}

    def of(self, task: Task) -> Scope:
        """The scope of a task without loop variables."""
        if task.variables or task.given:
            return self.inner(task, {})
        shared = self._shared.get(id(task.role))
        if shared is None:
            shared = self._shared[id(task.role)] = self._scope(task.role, (), ())
        shared.touched = False
        return shared

    def inner(self, task: Task, loop: Mapping[str, Any]) -> Scope:
        """The scope of one item of a task's loop."""
        if not loop and not task.variables and not task.given:
            return self.of(task)
        made_of = {task.loop_var: task.loop, "ansible_loop": task.loop, "ansible_loop_var": None}
        made_of |= {task.index_var: None, "ansible_index_var": None} if task.index_var else {}
        layer = Layer("the loop", loop, True, made_of)
        return self._scope(task.role, (layer,) if loop else (), task.variables, task.given)

    def others_view(self) -> HostsView:
        """What `hostvars` is."""
        return HostsView(self)

    def changed(self) -> None:
        self._shared.clear()

    def whole(self) -> Scope:
        """The scope of the play itself, outside of roles."""
        return self._scope(None, (), ())

    def of_host(self) -> Scope:
        """What `hostvars` shows of the host: as in Ansible, nothing that is written in plays and roles."""
        set_here = Layer("registered results and set facts", self.dynamic, True, _set_by(self.play))
        included = self.dynamic.get(INCLUDED)
        brought = (Layer("include_vars", included),) if included else ()
        return Scope(self.host.run.renderer, (*self._strong, set_here, *brought, *self._own), self.secrets)

    def _scope(
        self,
        role: Role | None,
        loop: tuple[Layer, ...],
        task: tuple[Layer, ...],
        given: tuple[Layer, ...] = (),
    ) -> Scope:
        parameters = (*given, role.parameters) if role else given
        above = (*loop, *self._role_magic(role), *self._strong, *parameters)
        set_here = Layer("registered results and set facts", self.dynamic, True, _set_by(self.play))
        included = self.dynamic.get(INCLUDED)
        brought = (Layer("include_vars", included),) if included else ()
        own = (role.variables,) if role else ()
        defaults = (role.defaults,) if role else ()
        layers = (*above, set_here, *brought, *task, *own, *self._middle, *defaults, *self._weak)
        return Scope(
            self.host.run.renderer, tuple(layer for layer in layers if layer.values or layer is set_here), self.secrets
        )

    def _role_magic(self, role: Role | None) -> tuple[Layer, ...]:
        if role is None:
            return ()
        path = resolved(role.path)
        names = {
            "role_name": role.name,
            "ansible_role_name": role.name,
            "role_path": path,
            "ansible_search_path": [path, resolved(self.play.directory)],
        }
        if role.parents:
            names["ansible_parent_role_names"] = list(role.parents)
        return (Layer("the role", names),)

    @cached_property
    def _strong(self) -> tuple[Layer, ...]:
        return (Layer("magic variables", Magic(self), plain=True), Layer("--extra-vars", self.host.run.extra))

    @cached_property
    def _middle(self) -> tuple[Layer, ...]:
        """Variables of all roles, of the play, facts and inventory."""
        exported = tuple(role.variables for role in reversed(self.play.roles) if role.variables.values)
        return (*exported, *self.play.variables, *self._own)

    @cached_property
    def _own(self) -> tuple[Layer, ...]:
        """Facts and inventory."""
        run, play = self.host.run, self.play
        inventory = run.inventory.variables(self.host.host, play.directory)
        told = self.host.facts and self.host.gathered
        facts = (Layer("facts", fact_variables(self.host.facts), True),) if told else ()

        def origins(name: str) -> list[Origin]:
            return [Origin(*found) for found in run.inventory.origins(self.host.host, name, play.directory)]

        return (*facts, Layer("the inventory", inventory, origins=origins))

    @cached_property
    def _weak(self) -> tuple[Layer, ...]:
        return tuple(role.defaults for role in reversed(self.play.roles) if role.defaults.values)

    @cached_property
    def secrets(self) -> frozenset[str]:
        """Names whose values go into an app's `secrets`, with those that they are made of."""
        names = set(_secret_names(self.play, self.host.run.renderer))
        if not names:
            return frozenset()
        scope = Scope(self.host.run.renderer, (*self._strong, Layer("", self.dynamic), *self._middle, *self._weak))
        todo, found = list(names), set()
        while todo:
            name = todo.pop()
            if name not in found and name not in MAGIC and name not in ("facts", "ansible_facts"):
                found.add(name)
                todo += _names_in(scope.raw(name), self.host.run.renderer)
        return frozenset(found)


class HostsView(Mapping[str, Any]):
    """`hostvars`: the variables and facts of every host, and what was set on it, each seen as that host sees them.

    `asker` is the scope that looks: what it is shown of another host's secrets are its secrets as well.
    """

    def __init__(self, scopes: Scopes, asker: Scope | None = None) -> None:
        self._scopes = scopes
        self._asker = asker
        self._views: dict[str, tuple[Mapping[str, Any], HostView]] = {}

    def of(self, scope: Scope) -> HostsView:
        return HostsView(self._scopes, scope)

    def __getitem__(self, host: str) -> HostView:
        own = self._scopes.host
        # before the values are taken, as they may come meanwhile
        behind = host != own.host and own.others.behind(host, self._scopes.position)
        known = own.run.known_of.get(host, _NOTHING)
        kept = self._views.get(host)
        if kept is None or behind or host == own.host or kept[0] is not known:
            view = _OtherView(host, self._scope(host), self._asker, _set_in(self._scopes.play) if behind else None)
            kept = self._views[host] = (known, view)
        return kept[1]

    def __contains__(self, host: object) -> bool:
        run = self._scopes.host.run
        return host in run.inventory.hosts or host == self._scopes.host.host or _is_here(host, run)

    def __iter__(self) -> Iterator[str]:
        return iter(self._scopes.host.run.inventory.hosts)

    def __len__(self) -> int:
        return len(self._scopes.host.run.inventory.hosts)

    def _scope(self, host: str) -> Scope:
        own = self._scopes.host
        if host == own.host:
            return self._scopes.of_host()
        if _is_here(host, own.run):
            return Scope(own.run.renderer, (Layer("set facts", own.run.known_of["localhost"], True),))
        if host not in own.run.inventory.hosts:
            raise KeyError(host)
        facts, known = own.run.facts_of.get(host, _NOTHING), own.run.known_of.get(host, _NOTHING)
        key = (id(self._scopes.play), host)
        kept = own.run._layers_of.get(key)
        if kept is None or kept[0] is not facts or kept[1] is not known:
            whole = Scopes(
                self._scopes.play, HostVariables(own.run, host, facts, own.play_hosts), dict(known)
            ).of_host()
            # kept for all hosts that ask; a scope itself is not, as two threads may not render in one
            kept = own.run._layers_of[key] = (facts, known, whole.layers, whole.secrets)
        return Scope(own.run.renderer, kept[2], kept[3])


class _OtherView(HostView):
    """The names of a host of `hostvars`.

    `awaited`: it is not yet as far as who asks, and these are names that its tasks may set; None where it is.
    """

    def __init__(self, host: str, scope: Scope, asker: Scope | None, awaited: frozenset[str] | None) -> None:
        super().__init__(scope, asker=asker)
        self._host = host
        self._awaited = awaited

    def __getitem__(self, name: str) -> Any:
        if self._awaited is not None and (name in self._awaited or self._scope.layer(name) is None):
            raise Elsewhere(self._host, name)
        return super().__getitem__(name)

    def __iter__(self) -> Iterator[str]:
        if self._awaited is not None:
            raise Elsewhere(self._host, "hostvars")
        return super().__iter__()


def _is_here(host: object, run: Run) -> bool:
    """Whether a name is this machine, which is in no inventory and has facts set with `delegate_facts`."""
    return host in HERE and host not in run.inventory.hosts and "localhost" in run.known_of


_NOTHING: Mapping[str, Any] = {}


@lru_cache(maxsize=64)
def _secret_names(play: Play, renderer: Renderer) -> frozenset[str]:
    apps = [task for task in play.tasks if task.module == "app" and "secrets" in task.arguments]
    return frozenset(name for task in apps for name in _names_in(task.arguments["secrets"], renderer))


def _names_in(value: Any, renderer: Renderer) -> Iterator[str]:
    if isinstance(value, Template):
        yield from renderer.check(value).all
    elif isinstance(value, dict):
        for item in value.values():
            yield from _names_in(item, renderer)
    elif isinstance(value, list):
        for item in value:
            yield from _names_in(item, renderer)


@lru_cache(maxsize=64)
def _set_in(play: Play) -> frozenset[str]:
    """Names that tasks of a play may give values to."""
    names = {task.register for task in play.tasks if task.register}
    return frozenset(names.union(*(map(str, task.arguments) for task in play.tasks if task.module == "set_fact")))


@lru_cache(maxsize=64)
def _set_by(play: Play) -> Mapping[str, Any]:
    """What `set_fact` tasks of a play make facts of, by name; a name that something else registers is left out.

    What a task on the control node registers is made of what that task was given.
    """
    found: dict[str, list[Any]] = {}
    for task in play.tasks:
        if task.module == "set_fact":
            for name, value in task.arguments.items():
                found.setdefault(str(name), []).extend((value, task.loop, *(layer.values for layer in task.variables)))
        elif task.register and task.among.delegate_to:
            made_of = (task.arguments, task.loop, *(layer.values for layer in task.variables))
            found.setdefault(task.register, []).extend(made_of)
    registered = {task.register for task in play.tasks if not task.among.delegate_to}
    return {name: values for name, values in found.items() if name not in registered}
