"""The names that a task sees on a host: all layers put together in Ansible's order.

Owns the order of layers and the magic variables. What a name's value is, is `variables`' matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from provision.agent.record import record
from provision.inventory import Inventory
from provision.playbook import Play, Role, Task
from provision.render import Renderer
from provision.source import Template
from provision.translate import Translator
from provision.variables import HostView, Layer, Scope, fact_variables

__all__ = ["MAGIC", "OMIT", "HostVariables", "Run", "Scopes"]

OMIT = "__omit_place_holder__7c1d0b0a6f4e4d53"
"""What `omit` is; an option with this value is left out."""
MAGIC = frozenset(
    [
        "ansible_check_mode",
        "ansible_play_batch",
        "ansible_play_hosts",
        "ansible_play_hosts_all",
        "ansible_play_name",
        "ansible_role_name",
        "group_names",
        "groups",
        "hostvars",
        "inventory_dir",
        "inventory_file",
        "inventory_hostname",
        "inventory_hostname_short",
        "omit",
        "play_hosts",
        "playbook_dir",
        "role_name",
        "role_path",
    ]
)


@record(frozen=True, slots=True)
class Run:
    """What all hosts of a run share; `facts_of` holds the facts of each host that has connected so far.

    `extra` are `-e` variables. `tags` empty: all. `become`: as `-b`. `forward`: as `--forward`. `unsettled` are hosts
    whose apps may turn out to clash once their facts are known.
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
    facts_of: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    unsettled: set[str] = field(default_factory=set)


@record(frozen=True, slots=True)
class HostVariables:
    """One host in one play. `login_user` is who logged in, "" where that is who the agent runs as.

    `gathered`: the play's templates see the facts; provision itself knows them in any case.
    """

    run: Run
    host: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    play_hosts: tuple[str, ...] = ()
    login_user: str = ""
    gathered: bool = True


class Scopes:
    """The scopes of one host's tasks; those of tasks without variables of their own are shared by role.

    `dynamic` holds what was registered and set so far; call `changed` after changing it.
    """

    def __init__(self, play: Play, host: HostVariables, dynamic: dict[str, Any]) -> None:
        self.play = play
        self.host = host
        self.dynamic = dynamic
        self._shared: dict[int, Scope] = {}

    def of(self, task: Task) -> Scope:
        """The scope of a task without loop variables."""
        if task.variables:
            return self.inner(task, {})
        shared = self._shared.get(id(task.role))
        if shared is None:
            shared = self._shared[id(task.role)] = self._scope(task.role, (), ())
        shared.touched = False
        return shared

    def inner(self, task: Task, loop: Mapping[str, Any]) -> Scope:
        """The scope of one item of a task's loop."""
        if not loop and not task.variables:
            return self.of(task)
        return self._scope(task.role, (Layer("the loop", loop),) if loop else (), task.variables)

    def changed(self) -> None:
        self._shared.clear()

    def whole(self) -> Scope:
        """The scope of the play itself, outside of roles."""
        return self._scope(None, (), ())

    def _scope(self, role: Role | None, loop: tuple[Layer, ...], task: tuple[Layer, ...]) -> Scope:
        above = (*loop, *self._role_magic(role), *self._strong, *((role.parameters,) if role else ()))
        set_here = Layer("registered results and set facts", self.dynamic)
        own = (role.variables,) if role else ()
        defaults = (role.defaults,) if role else ()
        layers = (*above, set_here, *task, *own, *self._middle, *defaults, *self._weak)
        return Scope(
            self.host.run.renderer, tuple(layer for layer in layers if layer.values or layer is set_here), self.secrets
        )

    def _role_magic(self, role: Role | None) -> tuple[Layer, ...]:
        names = (
            {"role_name": role.name, "ansible_role_name": role.name, "role_path": _resolved(role.path)} if role else {}
        )
        return (Layer("the role", names),) if names else ()

    @cached_property
    def _strong(self) -> tuple[Layer, ...]:
        return (Layer("magic variables", self._magic()), Layer("--extra-vars", self.host.run.extra))

    @cached_property
    def _middle(self) -> tuple[Layer, ...]:
        """Variables of all roles, of the play, facts and inventory."""
        run, play = self.host.run, self.play
        exported = tuple(role.variables for role in reversed(play.roles) if role.variables.values)
        inventory = run.inventory.variables(self.host.host, play.directory)
        facts = (Layer("facts", fact_variables(self.host.facts)),) if self.host.facts and self.host.gathered else ()
        return (*exported, *play.variables, *facts, Layer("the inventory", inventory))

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

    def _magic(self) -> dict[str, Any]:
        run, host = self.host.run, self.host.host
        source = run.inventory.sources[0] if run.inventory.sources else None
        return {
            "inventory_hostname": host,
            "inventory_hostname_short": host.partition(".")[0],
            "group_names": run.inventory.groups_of(host),
            "groups": run.inventory.members,
            "hostvars": HostsView(self),
            "play_hosts": list(self.host.play_hosts),
            "ansible_play_hosts": list(self.host.play_hosts),
            "ansible_play_hosts_all": list(self.host.play_hosts),
            "ansible_play_batch": list(self.host.play_hosts),
            "ansible_play_name": self.play.name,
            "playbook_dir": _resolved(self.play.directory),
            "inventory_dir": _resolved(source if source.is_dir() else source.parent) if source else "",
            "inventory_file": _resolved(source) if source else "",
            "ansible_check_mode": run.check,
            "omit": OMIT,
        }


class HostsView(Mapping[str, Any]):
    """`hostvars`: the inventory's variables and the facts of every host, each seen as that host sees them."""

    def __init__(self, scopes: Scopes) -> None:
        self._scopes = scopes
        self._views: dict[str, HostView] = {}

    def __getitem__(self, host: str) -> HostView:
        if host not in self._views:
            self._views[host] = HostView(self._scope(host))
        return self._views[host]

    def __iter__(self) -> Iterator[str]:
        return iter(self._scopes.host.run.inventory.hosts)

    def __len__(self) -> int:
        return len(self._scopes.host.run.inventory.hosts)

    def _scope(self, host: str) -> Scope:
        own = self._scopes.host
        if host == own.host:
            return self._scopes.whole()
        if host not in own.run.inventory.hosts:
            raise KeyError(host)
        other = HostVariables(own.run, host, own.run.facts_of.get(host, {}), own.play_hosts)
        return Scopes(self._scopes.play, other, {}).whole()


@lru_cache(maxsize=1024)
def _resolved(path: Path) -> str:
    """Links followed; kept, as every task of every host asks for the same few."""
    return str(path.resolve())


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
