"""Which names that a text uses got their value from a host: facts, results, and what was made of them.

What stands in a step that runs on the control node (`delegate_to: localhost`, lookups that read files) must not get a
path, a program or shell text from a host; this tells it by names, before anything is rendered. Must not render.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from provision.render import Renderer
from provision.source import Template
from provision.variables import Scope

__all__ = ["host_names", "host_names_in", "host_roots", "names_in", "only_kind"]


def host_names_in(value: Any, scope: Scope, *, own: bool = False) -> frozenset[str]:
    """The names in a value as the operator wrote it (also in lists and mappings) that come from a host in a scope.

    Names count that are facts, registered results, facts set from these, items of a loop over these, values of other
    hosts that are not plainly of the inventory, and all that is made of them. `own`: the scope's host is the control
    node itself, and only what comes from other hosts counts. Raises ProvisionError where a template does not parse.
    """
    return host_names(names_in(value, scope.renderer), scope, own=own)


def host_names(names: Iterable[str], scope: Scope, *, own: bool = False) -> frozenset[str]:
    """Those of the names whose value comes, also through others, from a host; `own` as in `host_names_in`."""
    return frozenset(name for name in names if host_roots([name], scope, own=own))


def names_in(value: Any, renderer: Renderer) -> Iterator[str]:
    """The names that templates in a value use; of `hostvars[…].NAME` it is `hostvars.NAME`, of facts alike."""
    if isinstance(value, Template):
        yield from renderer.check(value).origins
    elif isinstance(value, dict):
        for item in value.values():
            yield from names_in(item, renderer)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from names_in(item, renderer)


def host_roots(names: Iterable[str], scope: Scope, *, own: bool = False) -> frozenset[str]:
    """The facts, results and set facts that the values of these names are, at last, made of."""
    seen: set[str] = set()
    return frozenset(root for name in names for root in _roots(name, scope, seen, own))


def only_kind(roots: Iterable[str], scope: Scope) -> bool:
    """Whether values of a host only say what kind it is, each by one plain word, such as `Debian` or `22.04`.

    Such a word may choose among the operator's files: it names nothing outside of their folder.
    """
    for root in roots:
        key = root.removeprefix("ansible_facts.").removeprefix("ansible_")
        if root.startswith("hostvars.") or key not in _KINDS:
            return False
        value = scope.find(f"ansible_{key}")
        if not isinstance(value, str) or not _WORD.fullmatch(value):
            return False
    return True


_KINDS = frozenset(
    (
        *("architecture", "distribution", "distribution_major_version", "distribution_minor_version"),
        *("distribution_release", "distribution_version", "machine", "os_family", "pkg_mgr", "service_mgr", "system"),
    )
)
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. +-]*")


def _roots(name: str, scope: Scope, seen: set[str], own: bool) -> Iterator[str]:
    if name in seen:
        return
    seen.add(name)
    key = name.removeprefix("hostvars.")
    layer = scope.layer(key.partition(".")[0])
    if name == "hostvars":
        yield name
    elif layer is None:
        yield from [name] if key != name else []
    elif layer.host and key not in layer.made_of:
        yield from [name] if not own or key != name else []
    else:
        written = layer.made_of[key] if layer.host else layer.values[key]
        for inner in names_in(written, scope.renderer):
            yield from _roots(inner, scope, seen, own)
