"""Where a name's value comes from: layers in Ansible's order, rendered when asked for, each once.

Owns the order of the layers, laziness, recursion and the taint of secrets. Must not know YAML, tasks or the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from jinja2.utils import missing

from provision.agent.record import record
from provision.errors import Mark, ProvisionError
from provision.render import KnownAfterApply, Renderer, Unsettled
from provision.source import Mapping as Written
from provision.source import Template

__all__ = ["HostView", "Layer", "OfScope", "Origin", "Pending", "Registered", "Scope"]


class Layer(NamedTuple):
    """Variables of one origin; `label` names it in errors.

    `host`: the values come from a host, but for names in `made_of`, whose values were made of what is written there.
    `plain`: the values hold no templates, so that they need no rendering. `origins` tells where a name is written,
    where the values themselves do not know it.
    """

    label: str
    values: Mapping[str, Any]
    host: bool = False
    made_of: Mapping[str, Any] = MappingProxyType({})
    plain: bool = False
    origins: Callable[[str], list[Origin]] | None = None


class Origin(NamedTuple):
    """Where a name's value is written: the layer's words, and the place in the operator's file where it has one."""

    label: str
    where: Mark | None = None


class OfScope(Protocol):
    """A value that is another for each scope that looks at it, as `hostvars` is."""

    def of(self, scope: Scope) -> Any:
        """What that scope sees."""


@record(frozen=True, slots=True)
class Pending:
    """Stands for the result of a step that has not run yet."""

    name: str


class Registered(dict[str, Any]):
    """A registered result; `partial`: of a check, so that what it lacks is known only after apply; `cut`: too long."""

    partial: bool = False
    cut: frozenset[str] = frozenset()

    def __missing__(self, key: str) -> Any:
        if key in self.cut:
            raise ProvisionError(
                f"`{key}` of the registered result is cut", cause="it was longer than what is kept of a result"
            )
        if self.partial:
            raise KnownAfterApply(f"`{key}` of a step that has not run")
        raise KeyError(key)


@record(slots=True)
class Scope:
    """The names that one host's task sees; layers from the strongest to the weakest.

    `secrets` are names whose value must not be shown; `touched` says that a rendering has used a secret.
    """

    renderer: Renderer
    layers: tuple[Layer, ...]
    secrets: frozenset[str] = frozenset()
    touched: bool = False
    _values: dict[str, Any] = field(default_factory=dict)
    _layers: dict[str, Layer | None] = field(default_factory=dict)
    _active: list[str] = field(default_factory=list)

    def find(self, name: str) -> Any:
        """The plain value of a name or `missing`; raises Unsettled, KnownAfterApply, ProvisionError."""
        value = self._values.get(name, missing)
        if value is missing:
            layer = self.layer(name)
            if layer is None:
                return self.renderer.global_value(name)
            value = self._rendered(name, layer.values[name], layer.host or layer.plain)
            if name in self.secrets or name in _PASSWORDS:
                value = _as_secret(name, value)
            self._values[name] = value
        return value

    def raw(self, name: str) -> Any:
        """The value as written, or `missing`."""
        layer = self.layer(name)
        return missing if layer is None else layer.values[name]

    def layer(self, name: str) -> Layer | None:
        """The layer that a name comes from; None when there is none."""
        known = self._layers
        if name in known:
            return known[name]
        found = None
        for layer in self.layers:
            if name in layer.values:
                found = layer
                break
        known[name] = found
        return found

    def origins(self, name: str) -> list[Origin]:
        """Where a name gets its value, first, then what that hides, in the order of the layers."""
        found: list[Origin] = []
        for layer in self.layers:
            if name in layer.values:
                found += (
                    layer.origins(name) if layer.origins else [Origin(layer.label, _written_at(layer.values, name))]
                )
        return found

    def origin(self, name: str) -> Origin | None:
        """Where a name gets its value; None where there is none."""
        return next(iter(self.origins(name)), None)

    def with_layer(self, label: str, values: Mapping[str, Any]) -> Scope:
        """The same names under some that are stronger."""
        return Scope(self.renderer, (Layer(label, values), *self.layers), self.secrets)

    def known(self) -> Iterable[str]:
        return {str(name) for layer in self.layers for name in layer.values}

    def looked(self) -> str:
        return ", ".join(layer.label for layer in self.layers if layer.values)

    def render(self, value: Any) -> Any:
        """The plain form of a value that the operator wrote."""
        return self.renderer.render(value, self)

    def _rendered(self, name: str, raw: Any, plain: bool) -> Any:
        if type(raw) is Pending:
            raise Unsettled(raw.name)
        if hasattr(raw, "of"):
            return raw.of(self)
        if plain or not isinstance(raw, Template | dict | list) or isinstance(raw, Registered):
            return raw
        if name in self._active:
            raise _recursion(name, raw, self._active)
        self._active.append(name)
        before, self.touched = self.touched, False
        try:
            return self.renderer.render(raw, self)
        finally:
            self._active.pop()
            self.touched = before  # a value that is secret says so itself, to whoever uses it


class HostView(Mapping[str, Any]):
    """A host's names as `hostvars[…]` shows them; `facts` are there even where its play did not gather them."""

    def __init__(self, scope: Scope, facts: Mapping[str, Any] | None = None, asker: Scope | None = None) -> None:
        self._scope = scope
        self._facts = facts
        self._asker = asker

    def __getitem__(self, name: str) -> Any:
        if name == "facts" and self._facts is not None:
            return self._facts
        self._scope.touched = False
        value = self._scope.find(name)
        if self._scope.touched and self._asker is not None:
            self._asker.touched = True
        if value is missing:
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._scope.known())

    def __len__(self) -> int:
        return len(set(self._scope.known()))


_PASSWORDS = frozenset(
    f"ansible_{name}"
    for name in (
        *("password", "ssh_pass", "ssh_password", "become_password", "become_pass", "sudo_pass", "sudo_password"),
        *("ssh_passphrase", "ssh_private_key_passphrase"),
    )
)


def _as_secret(name: str, value: Any) -> Any:
    # imported here: a start without secrets does without
    from provision.secret.value import marked

    if not value or name not in _PASSWORDS:
        return marked(value)
    from provision.secret.known import learned

    return learned(value)


def _recursion(name: str, raw: Any, active: list[str]) -> ProvisionError:
    chain = [*active[active.index(name) :], name]
    return ProvisionError(
        f"variable `{name}` refers to itself",
        where=raw.mark if isinstance(raw, Template) else getattr(raw, "mark", None),
        cause=" needs ".join(f"`{step}`" for step in chain),
        hint="give one of them a value of its own",
    )


def _written_at(values: Mapping[str, Any], name: str) -> Mark | None:
    value = values[name]
    if isinstance(values, Written):
        return values.key_mark(name)
    return value.mark if isinstance(value, Template) else None
