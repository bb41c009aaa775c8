"""`include_vars`: variables of files that a run chooses, from one file or from all of a folder.

Owns which files are read and what comes of them. A value of a host may choose among files only by what kind the host
is. Reads the operator's files; must not know batches.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from provision.errors import ProvisionError
from provision.host_values import host_names, host_roots, names_in, only_kind
from provision.inherited import variables_of
from provision.lookups import find_in
from provision.playbook import Play, Task
from provision.source import Template
from provision.variables import Scope

__all__ = ["EXTENSIONS", "included", "names_known"]

EXTENSIONS = ("yaml", "yml", "json")


def included(task: Task, values: Mapping[str, Any], scope: Scope) -> tuple[dict[str, Any], list[str]]:
    """The variables that a task brings, as they are written, and the files that they come from; raises ProvisionError.

    With `name` they are all below that one variable.
    """
    _refuse_host_values(task, scope)
    if ("file" in values) == ("dir" in values):
        raise _wrong(task, "`include_vars` needs `file` or `dir`, not both")
    if values.get("hash_behaviour", "replace") != "replace":
        raise _wrong(task, "`hash_behaviour: merge` is not supported", hint="put mappings together with `combine`")
    files = [_found(task, values["file"], scope)] if "file" in values else list(_of_folder(task, values, scope))
    found: dict[str, Any] = {}
    for file in files:
        found |= _read(file, file.stat().st_mtime_ns)
    name = values.get("name")
    return ({str(name): found} if name else found), [str(file) for file in files]


def names_known(task: Task, play: Play) -> set[str] | None:
    """The names that a task will give values to; None where only the run can say."""
    name, file = task.arguments.get("name"), task.arguments.get("file")
    if isinstance(name, str) and not isinstance(name, Template):
        return {name}
    if not isinstance(file, str) or isinstance(file, Template) or name is not None:
        return None
    bases = [task.directory, play.directory]
    paths = (
        [Path(file)] if Path(file).is_absolute() else [base / part / file for base in bases for part in ("vars", "")]
    )
    path = next((path for path in paths if path.is_file()), None)
    return None if path is None else {str(key) for key in _read(path, path.stat().st_mtime_ns)}


def _refuse_host_values(task: Task, scope: Scope) -> None:
    for key in ("file", "dir"):
        names = list(names_in(task.arguments.get(key), scope.renderer))
        guilty = sorted(host_names(names, scope))
        if guilty and not only_kind(host_roots(names, scope), scope):
            raise ProvisionError(
                "a host's values in the name of a file on the control node",
                where=task.arguments.value_mark(key),
                context=f'task "{task.title}"',
                cause="of the host are " + ", ".join(f"`{name}`" for name in guilty),
                hint="choose by a variable of the inventory, or by what kind the host is, such as ansible_os_family",
            )


def _found(task: Task, name: Any, scope: Scope) -> Path:
    path = find_in(scope, "vars", str(name))
    if path is None or not path.is_file():
        raise _wrong(task, f"there is no file `{name}`", cause="it was looked for in `vars/` and beside it")
    return path


def _of_folder(task: Task, values: Mapping[str, Any], scope: Scope) -> list[Path]:
    """The files of a folder in the order of their names, those of folders inside behind them."""
    root = find_in(scope, "vars", str(values["dir"]))
    if root is None or not root.is_dir():
        raise _wrong(task, f"there is no folder `{values['dir']}`")
    wanted = values.get("extensions", list(EXTENSIONS))
    extensions = {str(one).lstrip(".") for one in (wanted if isinstance(wanted, list) else [wanted])}
    ignored = values.get("ignore_files") or []
    patterns = [re.compile(f"{text}$") for text in (ignored if isinstance(ignored, list) else [ignored])]
    matching = re.compile(str(values["files_matching"])) if values.get("files_matching") else None
    depth, found = int(values.get("depth") or 0), []
    for path in sorted(root.rglob("*"), key=lambda path: (path.parent, path.name)):
        level = len(path.relative_to(root).parts)
        if not path.is_file() or (depth and level > depth) or any(one.search(path.name) for one in patterns):
            continue
        if matching and not matching.search(path.name):
            continue
        if path.suffix.lstrip(".") in extensions:
            found.append(path)
        elif not values.get("ignore_unknown_extensions", False):
            raise _wrong(
                task,
                f"`{path.relative_to(root)}` has none of the extensions {', '.join(sorted(extensions))}",
                hint="leave it out with `ignore_files`, or write `ignore_unknown_extensions: true`",
            )
    return found


@lru_cache(maxsize=256)
def _read(path: Path, _: int) -> Mapping[str, Any]:
    """Read once for all hosts while the file stays as it is."""
    return variables_of(path)


def _wrong(task: Task, summary: str, cause: str = "", hint: str = "") -> ProvisionError:
    return ProvisionError(
        summary, where=task.arguments.mark, context=f'task "{task.title}"', cause=cause, hint=hint, exit_code=2
    )
