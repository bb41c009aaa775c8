"""Where a name's value comes from: layers in Ansible's order, rendered when asked for, each once.

Owns the order of the layers, laziness, recursion and the taint of secrets. Must not know YAML, tasks or the wire.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from typing import Any, NamedTuple

from jinja2.utils import missing

from provision.agent.record import record
from provision.errors import ProvisionError
from provision.render import KnownAfterApply, Renderer, Unsettled
from provision.source import Template

__all__ = ["HostView", "Layer", "Pending", "Registered", "Scope", "fact_variables"]


class Layer(NamedTuple):
    """Variables of one origin; `label` names it in errors."""

    label: str
    values: Mapping[str, Any]


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

    `secrets` are names whose value must not be shown; `touched` says that a rendering has used one.
    """

    renderer: Renderer
    layers: tuple[Layer, ...]
    secrets: frozenset[str] = frozenset()
    touched: bool = False
    _values: dict[str, Any] = field(default_factory=dict)
    _tainted: set[str] = field(default_factory=set)
    _active: list[str] = field(default_factory=list)

    def find(self, name: str) -> Any:
        """The plain value of a name or `missing`; raises Unsettled, KnownAfterApply, ProvisionError."""
        if name in self.secrets or name in self._tainted:
            self.touched = True
        value = self._values.get(name, missing)
        if value is missing:
            raw = self.raw(name)
            if raw is missing:
                return self.renderer.global_value(name)
            value = self._values[name] = self._rendered(name, raw)
        return value

    def raw(self, name: str) -> Any:
        """The value as written, or `missing`."""
        for _, values in self.layers:
            if name in values:
                return values[name]
        return missing

    def origin(self, name: str) -> str:
        """The label of the layer that a name comes from; empty when there is none."""
        return next((label for label, values in self.layers if name in values), "")

    def known(self) -> Iterable[str]:
        return {str(name) for _, values in self.layers for name in values}

    def looked(self) -> str:
        return ", ".join(label for label, values in self.layers if values)

    def render(self, value: Any) -> Any:
        """The plain form of a value that the operator wrote."""
        return self.renderer.render(value, self)

    def _rendered(self, name: str, raw: Any) -> Any:
        if type(raw) is Pending:
            raise Unsettled(raw.name)
        if not isinstance(raw, Template | dict | list) or isinstance(raw, Registered):
            return raw
        if name in self._active:
            raise _recursion(name, raw, self._active)
        self._active.append(name)
        before, self.touched = self.touched, False
        try:
            return self.renderer.render(raw, self)
        finally:
            self._active.pop()
            if self.touched:
                self._tainted.add(name)
            self.touched = self.touched or before


class HostView(Mapping[str, Any]):
    """A host's names as `hostvars[…]` shows them; `facts` are there even where its play did not gather them."""

    def __init__(self, scope: Scope, facts: Mapping[str, Any] | None = None) -> None:
        self._scope = scope
        self._facts = facts

    def __getitem__(self, name: str) -> Any:
        if name == "facts" and self._facts is not None:
            return self._facts
        value = self._scope.find(name)
        if value is missing:
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._scope.known())

    def __len__(self) -> int:
        return len(set(self._scope.known()))


def _recursion(name: str, raw: Any, active: list[str]) -> ProvisionError:
    chain = [*active[active.index(name) :], name]
    return ProvisionError(
        f"variable `{name}` refers to itself",
        where=raw.mark if isinstance(raw, Template) else getattr(raw, "mark", None),
        cause=" needs ".join(f"`{step}`" for step in chain),
        hint="give one of them a value of its own",
    )


_KINDS = {
    "debian": ("Debian", "Debian"),
    "ubuntu": ("Ubuntu", "Debian"),
    "rhel": ("RedHat", "RedHat"),
    "centos": ("CentOS", "RedHat"),
    "rocky": ("Rocky", "RedHat"),
    "almalinux": ("AlmaLinux", "RedHat"),
    "fedora": ("Fedora", "RedHat"),
    "sles": ("SLES", "Suse"),
}
"""Ansible's names of distribution and family, by the ID of os-release."""


def fact_variables(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts as variables: whole as `facts`, and the common ones under Ansible's names."""
    system = facts.get("os") or {}
    kind = str(system.get("id", ""))
    distribution, family = _KINDS.get(kind, (kind.capitalize(), kind.capitalize()))
    version = str(system.get("version", ""))
    names = {
        "hostname": facts.get("hostname"),
        "nodename": facts.get("hostname"),
        "architecture": facts.get("architecture"),
        "machine": facts.get("architecture"),
        "kernel": facts.get("kernel"),
        "system": "Linux",
        "machine_id": facts.get("machine_id"),
        "distribution": distribution,
        "distribution_version": version,
        "distribution_major_version": version.split(".")[0],
        "os_family": family,
        "processor_vcpus": facts.get("cpus"),
        "processor_nproc": facts.get("cpus"),
        "memtotal_mb": facts.get("memory_mb"),
        "python_version": facts.get("python"),
        "service_mgr": "systemd" if facts.get("init") == "systemd" else facts.get("init"),
        "user_id": facts.get("user"),
        "user_uid": facts.get("uid"),
        "user_dir": facts.get("home"),
        "default_ipv4": {"address": facts.get("default_ipv4")},
    }
    present = {name: value for name, value in names.items() if value is not None}
    return {"facts": facts, "ansible_facts": present} | {f"ansible_{name}": value for name, value in present.items()}
