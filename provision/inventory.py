"""Hosts, groups and their variables from Ansible's YAML inventories, with Ansible's precedence.

Must not render, connect or know plays. Variables of a host are merged when asked for; hosts in the same groups share
the merging, so that cost stays linear in hosts.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from provision import patterns
from provision.agent.record import record
from provision.errors import Mark, ProvisionError
from provision.source import Mapping, load, loads, nearest

__all__ = ["Group", "Host", "Inventory", "inventory_files", "load_inventory"]

_IGNORED = (".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst", ".orig", ".retry")
_BESIDE = ("group_vars", "host_vars", "known_hosts")
_EXTENSIONS = ("", ".yml", ".yaml", ".json")
_NOT_YAML = re.compile(r"\s*\[[\w:.-]+\]\s*$", re.MULTILINE)
_PORT = re.compile(r"([^:\[\]]+(?:\[[^\]]*\][^:\[\]]*)*):([0-9]{1,5})")


@record(slots=True, eq=False)
class Group:
    """A group as written: what it holds itself; `depth` is the longest way from `all`."""

    name: str
    hosts: dict[str, None] = field(default_factory=dict)
    children: dict[str, Mark] = field(default_factory=dict)
    parents: dict[str, None] = field(default_factory=dict)
    written: list[Mapping] = field(default_factory=list)
    depth: int = 0
    priority: int = 1

    @property
    def variables(self) -> dict[str, Any]:
        """What is written of it, the last wins."""
        return _merged(self.written, "ansible_group_priority")


@record(slots=True, eq=False)
class Host:
    """A host as written; `groups` are all it belongs to, from the weakest to the strongest."""

    name: str
    mark: Mark | None = None
    groups: tuple[str, ...] = ()
    written: tuple[Mapping, ...] = ()
    """Shared by all hosts of a range."""
    port: int | None = None

    @property
    def variables(self) -> dict[str, Any]:
        """What is written of it, the last wins."""
        own = _merged(self.written)
        return own if self.port is None else {**own, "ansible_port": self.port}


@record(slots=True)
class Inventory:
    """All hosts; `directories` are where `group_vars/` and `host_vars/` may lie beside an inventory."""

    hosts: dict[str, Host]
    groups: dict[str, Group]
    directories: tuple[Path, ...]
    sources: tuple[Path, ...]
    _members: dict[str, list[str]] = field(default_factory=dict)
    _files: dict[tuple[Path, str], dict[str, Path]] = field(default_factory=dict)
    _loaded: dict[Path, list[Mapping]] = field(default_factory=dict)
    _folders: dict[Path | None, list[Path]] = field(default_factory=dict)
    _merged: dict[tuple[tuple[str, ...], Path | None], dict[str, Any]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where relative paths in variables start."""
        source = self.sources[0] if self.sources else Path()
        return source if source.is_dir() else source.parent

    @property
    def members(self) -> dict[str, list[str]]:
        """The hosts of each group: its own, then those of its children, level by level, as Ansible orders them."""
        if not self._members:
            roots = ["ungrouped", *self.groups["all"].children]
            roots += [name for name, group in self.groups.items() if "all" in group.parents]
            self._members = {name: list(self._hosts_below(name, roots)) for name in self.groups}
        return self._members

    def _hosts_below(self, name: str, roots: list[str]) -> dict[str, None]:
        level, seen, found = [name], {name}, dict[str, None]()
        while level:
            for one in level:
                found |= self.groups[one].hosts
            below = (child for one in level for child in (roots if one == "all" else self.groups[one].children))
            level = [child for child in dict.fromkeys(below) if child not in seen]
            seen.update(level)
        return found

    def select(
        self, pattern: str, limit: str | None = None, *, where: Mark | None = None, empty: bool = False
    ) -> list[str]:
        """The hosts of a pattern, narrowed by `limit`; raises ProvisionError when there are none, unless `empty`."""
        if pattern.strip() in ("localhost", "127.0.0.1") and pattern.strip() not in self.hosts:
            chosen = [pattern.strip()]
        else:
            chosen = patterns.select(pattern, self.hosts, self.members, where)
        if not chosen and not empty:
            raise ProvisionError(f"the host pattern `{pattern}` matches no host", where=where, hint=self._near(pattern))
        if limit is None:
            return chosen
        within = set(patterns.select(limit, [*self.hosts, *chosen], self.members))
        narrowed = [host for host in chosen if host in within]
        if not narrowed and not empty:
            raise ProvisionError(
                f"`--limit {limit}` leaves no host of `{pattern}`",
                where=where,
                cause=f"`{pattern}` is {_few(chosen)}",
                hint=self._near(limit),
            )
        return narrowed

    def variables(self, host: str, playbook: Path | None = None) -> dict[str, Any]:
        """What inventory, group_vars/ and host_vars/ (also beside the playbook, a folder) say of a host, unrendered."""
        if host not in self.hosts:
            return _local() | self._group_variables(("all",), playbook)
        entry = self.hosts[host]
        result = self._group_variables(entry.groups, playbook) | entry.variables
        for directory in self._beside(playbook):
            result |= self._from_files(directory, "host_vars", host)
        return result

    def origins(self, host: str, name: str, playbook: Path | None = None) -> list[tuple[str, Mark | None]]:
        """Where a variable of a host is written: in which words and where, the one that counts first."""
        groups = self.hosts[host].groups if host in self.hosts else ("all",)
        others = [group for group in groups if group != "all"]
        found: list[tuple[str, Sequence[Mapping]]] = []
        found += [(f"group `{one}`", self.groups[one].written) for one in ("all", *others)]
        for names in (["all"], others):
            for directory in self._beside(playbook):
                found += [(f"group_vars of `{one}`", self._files_of(directory, "group_vars", one)) for one in names]
        if host in self.hosts:
            found.append((f"host `{host}`", self.hosts[host].written))
            for directory in self._beside(playbook):
                found.append((f"host_vars of `{host}`", self._files_of(directory, "host_vars", host)))
        return [(label, one.key_mark(name)) for label, many in reversed(found) for one in reversed(many) if name in one]

    def groups_of(self, host: str) -> list[str]:
        """The names of a host's groups without `all`, sorted."""
        return sorted(name for name in self.hosts[host].groups if name != "all") if host in self.hosts else []

    def _group_variables(self, groups: tuple[str, ...], playbook: Path | None) -> dict[str, Any]:
        key = (groups, playbook)
        if key not in self._merged:
            result: dict[str, Any] = {}
            others = [name for name in groups if name != "all"]
            for name in ("all", *others):
                result |= self.groups[name].variables
            for names in (["all"], others):
                for directory in self._beside(playbook):
                    for name in names:
                        result |= self._from_files(directory, "group_vars", name)
            self._merged[key] = result
        return self._merged[key]

    def _beside(self, playbook: Path | None) -> list[Path]:
        """Where folders of variables may lie, each once, the playbook's last; kept, as every host asks."""
        if playbook not in self._folders:
            known = {directory.resolve() for directory in self.directories}
            own = [playbook] if playbook is not None and playbook.resolve() not in known else []
            self._folders[playbook] = [*self.directories, *own]
        return self._folders[playbook]

    def _from_files(self, directory: Path, kind: str, name: str) -> dict[str, Any]:
        return _merged(self._files_of(directory, kind, name))

    def _files_of(self, directory: Path, kind: str, name: str) -> Sequence[Mapping]:
        key = (directory, kind)
        if key not in self._files:
            folder = directory / kind
            self._files[key] = {path.name: path for path in sorted(folder.iterdir())} if folder.is_dir() else {}
        found = self._files[key]
        path = next((found[name + extension] for extension in _EXTENSIONS if name + extension in found), None)
        if path is None:
            return ()
        if path not in self._loaded:
            self._loaded[path] = list(_variables_at(path))
        return self._loaded[path]

    def _near(self, pattern: str) -> str:
        words = re.split(r"[:,&!\[\]]+", pattern)
        known = {*self.hosts, *self.groups}
        return next((hint for word in words if word and (hint := nearest(word, known))), "")


def load_inventory(paths: Sequence[Path | str], texts: dict[Path, str] | None = None) -> Inventory:
    """The inventory of all files and directories in `paths`, the later ones win; raises ProvisionError with places.

    `texts` is what some of the files are to be taken for.
    """
    reader = _Reader()
    sources = [Path(path) for path in paths]
    directories: dict[Path, None] = {}
    for path in sources:
        if not path.exists():
            raise ProvisionError(
                f"there is no inventory `{path}`", hint="name it with `-i FILE`, or make one with `inventory.yaml`"
            )
        directories[path if path.is_dir() else path.parent] = None
        for file in inventory_files(path):
            reader.read(file, (texts or {}).get(file))
    return Inventory(reader.hosts, reader.finish(), tuple(directories), tuple(sources))


def inventory_files(path: Path) -> Iterator[Path]:
    """The files that an inventory is read from: itself, or in a folder all but variables, keys and what is no YAML."""
    if not path.is_dir():
        yield path
        return
    for entry in sorted(path.iterdir()):
        if entry.name.startswith(".") or entry.name.endswith(_IGNORED) or entry.name in _BESIDE:
            continue
        yield from inventory_files(entry)


class _Reader:
    """Gathers groups and hosts of several files, then orders them."""

    def __init__(self) -> None:
        self.hosts: dict[str, Host] = {}
        self.groups: dict[str, Group] = {"all": Group("all"), "ungrouped": Group("ungrouped")}
        self.names: dict[str, list[str]] = {}

    def read(self, path: Path, text: str | None = None) -> None:
        content = _yaml(path) if text is None else loads(text, str(path))
        if content is None:
            return
        if not isinstance(content, Mapping):
            raise ProvisionError(
                f"`{path}` is no inventory", where=Mark(str(path), 1, 1), hint="it starts with groups, such as `all:`"
            )
        if "plugin" in content:
            raise ProvisionError(
                "inventory plugins are not supported",
                where=content.key_mark("plugin"),
                cause=f"`{content['plugin']}` would make hosts and groups by a program",
                hint="`ansible-inventory --list --yaml` writes what it makes as a plain inventory",
            )
        for name in content:
            self.group(str(name), content[name], content.key_mark(name), content.value_mark(name))

    def group(self, name: str, body: Any, where: Mark, value: Mark) -> None:
        _check_name(name, where)
        group = self.groups.setdefault(name, Group(name))
        if body is None:
            return
        body = _mapping(body, f"the group `{name}`", value)
        for key in body:
            if key not in ("hosts", "children", "vars"):
                raise ProvisionError(
                    f"a group has no `{key}`",
                    where=body.key_mark(key),
                    context=f"group `{name}`",
                    hint=nearest(str(key), {"hosts", "children", "vars"})
                    or "a group holds `hosts`, `children` and `vars`",
                )
        read = {"vars": self.group_variables, "children": self.children, "hosts": self.group_hosts}
        for key in body:  # in the order in which they are written: of a host's variables the last count
            if isinstance(body[key], str) and key != "vars":
                read[key](group, _single(body, key))
            elif body[key] is not None:
                read[key](group, _mapping(body[key], f"`{key}` of `{name}`", body.value_mark(key)))

    def group_variables(self, group: Group, variables: Mapping) -> None:
        group.written.append(variables)
        priority = variables.get("ansible_group_priority")
        if priority is not None:
            if not isinstance(priority, int):
                raise ProvisionError(
                    "`ansible_group_priority` is not a number", where=variables.value_mark("ansible_group_priority")
                )
            group.priority = priority

    def children(self, group: Group, children: Mapping) -> None:
        for name in children:
            mark = children.key_mark(name)
            self.group(str(name), children[name], mark, children.value_mark(name))
            group.children[str(name)] = mark
            self.groups[str(name)].parents[group.name] = None
            if self._reaches(str(name), group.name):
                raise ProvisionError(
                    f"the group `{name}` is inside itself", where=mark, cause=f"it holds `{group.name}`, which holds it"
                )

    def _reaches(self, start: str, goal: str) -> bool:
        todo, seen = [start], set()
        while todo:
            name = todo.pop()
            if name == goal:
                return True
            if name not in seen:
                seen.add(name)
                todo += self.groups[name].children
        return False

    def group_hosts(self, group: Group, hosts: Mapping) -> None:
        for pattern in hosts:
            body = hosts[pattern]
            said = (_mapping(body, f"the host `{pattern}`", hosts.value_mark(pattern)),) if body is not None else ()
            mark = hosts.key_mark(pattern)
            for name, port in _hosts_of(str(pattern), mark):
                host = self.hosts.get(name)
                if host is None:
                    self.hosts[name] = Host(name, mark, (), said, port)
                else:
                    host.written += said
                    host.port = port or host.port
                group.hosts[name] = None

    def finish(self) -> dict[str, Group]:
        """Depths, the implied groups, and each host's groups in order of strength."""
        everything = self.groups["all"]
        for group in self.groups.values():
            if group is not everything and not group.parents:
                group.parents["all"] = None
        self._depths()
        direct: dict[str, list[str]] = {name: [] for name in self.hosts}
        for group in self.groups.values():
            if group.name not in ("all", "ungrouped"):
                for name in group.hosts:
                    direct[name].append(group.name)
        alone = {name: None for name, groups in direct.items() if not groups}
        ungrouped = self.groups["ungrouped"]
        ungrouped.hosts = {name: None for name in ungrouped.hosts if name in alone} | alone
        ordered: dict[tuple[str, ...], tuple[str, ...]] = {}
        for name, groups in direct.items():
            key = tuple(groups) or ("ungrouped",)
            if key not in ordered:
                ordered[key] = self._ancestry(key)
            self.hosts[name].groups = ordered[key]
        return self.groups

    def _depths(self) -> None:
        below: dict[str, list[str]] = {name: [] for name in self.groups}
        waiting = {name: len(group.parents) for name, group in self.groups.items()}
        for group in self.groups.values():
            for parent in group.parents:
                below[parent].append(group.name)
        ready = [name for name, count in waiting.items() if not count]
        for name in ready:
            for child in below[name]:
                self.groups[child].depth = max(self.groups[child].depth, self.groups[name].depth + 1)
                waiting[child] -= 1
                if not waiting[child]:
                    ready.append(child)

    def _ancestry(self, names: Iterable[str]) -> tuple[str, ...]:
        found: dict[str, None] = {}
        todo = list(names)
        while todo:
            name = todo.pop()
            if name not in found:
                found[name] = None
                todo += self.groups[name].parents
        groups = (self.groups[name] for name in found)
        return tuple(
            group.name for group in sorted(groups, key=lambda group: (group.depth, group.priority, group.name))
        )


def _yaml(path: Path) -> Any:
    if path.suffix in (".ini", ".cfg"):
        raise _not_yaml(path)
    try:
        return load(path)
    except ProvisionError:
        if (
            path.is_file()
            and path.suffix not in (".yml", ".yaml", ".json")
            and _NOT_YAML.search(path.read_text(errors="replace"))
        ):
            raise _not_yaml(path) from None
        raise


def _not_yaml(path: Path) -> ProvisionError:
    return ProvisionError(
        f"`{path}` is not a YAML inventory",
        cause="INI and executable inventories are not supported",
        hint="`ansible-inventory --list --yaml` turns one into YAML",
    )


def _visible(name: str) -> str:
    """The name with what a terminal would hide or obey."""
    return name if name.isprintable() else ascii(name)[1:-1]


def _check_name(name: str, where: Mark) -> None:
    if not name or name[0] == "-" or not name.isprintable() or any(sign in name for sign in " ,:&!*?[]~@/"):
        raise ProvisionError(
            f"`{_visible(name)}` is no name for a group", where=where, hint="use letters, digits, `_`, `-` and `.`"
        )


def _single(body: Mapping, key: str) -> Mapping:
    """`hosts: NAME`, as Ansible takes it."""
    line, column = body.places(key)[2:]
    single = Mapping(body.file, (line, column))
    single.put(body[key], None, (line, column, line, column))
    return single


def _mapping(value: Any, what: str, where: Mark) -> Mapping:
    if not isinstance(value, Mapping):
        kind = "a list" if isinstance(value, list) else f"`{value}`"
        raise ProvisionError(
            f"{what} is not a mapping",
            where=where,
            cause=f"it is {kind}",
            hint="write `name:` with a colon, one a line",
        )
    return value


def _hosts_of(pattern: str, where: Mark) -> list[tuple[str, int | None]]:
    match = _PORT.fullmatch(pattern)
    name, port = (match[1], int(match[2])) if match else (pattern, None)
    signs = any(sign in name for sign in " ,*?/") or not name.isprintable()
    if not name or name[0] in "-!&~@" or name in (".", "..") or signs:
        raise ProvisionError(
            f"`{_visible(pattern)}` is no name for a host",
            where=where,
            cause="a name starts with a letter or digit, and holds no spaces, slashes or control characters",
        )
    return [(host, port) for host in (patterns.expand(name, where) if "[" in name else [name])]


def _variables_at(path: Path) -> Iterator[Mapping]:
    """The variables of a file, or of all files of a folder in the order of their names."""
    if path.is_dir():
        for entry in sorted(path.iterdir()):
            if (
                not entry.name.startswith(".")
                and not entry.name.endswith(_IGNORED)
                and (entry.is_dir() or entry.suffix in _EXTENSIONS)
            ):
                yield from _variables_at(entry)
        return
    content = load(path)
    if content is None:
        return
    if not isinstance(content, Mapping):
        raise ProvisionError(
            f"`{path}` holds no variables", where=Mark(str(path), 1, 1), hint="it is a mapping, `name: value`"
        )
    yield content


def _merged(written: Sequence[Mapping], without: str = "") -> dict[str, Any]:
    """The variables of several mappings, the last wins; a single one is given as it is."""
    if len(written) == 1 and without not in written[0]:
        return written[0]
    result = {name: value for said in written for name, value in said.items()}
    result.pop(without, None)
    return result


def _local() -> dict[str, Any]:
    return {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
