"""Which files the variants of a play's environments are, and what each is for. Renders; contacts no host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from provision.clashes import UNKNOWN, item_scopes
from provision.conda.capability import Use, kinds
from provision.errors import ProvisionError
from provision.playbook import Play, Task
from provision.scopes import HostVariables, Run, Scopes
from provision.selection import selected
from provision.translate import find_file
from provision.variants import Variant, of_task

__all__ = ["files", "uses"]


def files(task: Task, play: Play, run: Run, hosts: Iterable[str]) -> dict[str, list[Variant]]:
    """The files of a task's variants, with the variants that name them, over all hosts; empty where it has none."""
    found: dict[str, list[Variant]] = {}
    if "variants" not in task.arguments or task.arguments.get("state") == "absent":
        return found
    for host in hosts:
        for variant in _of_host(task, play, run, host):
            if variant not in found.setdefault(variant.file, []):
                found[variant.file].append(variant)
    return found


def uses(plays: Iterable[Play], run: Run, hosts: Mapping[Play, Sequence[str]]) -> dict[Path, Use]:
    """For which platform and GPUs each variant's file is; raises ProvisionError for a file of two platforms."""
    found: dict[Path, Use] = {}
    for play in plays:
        for task in play.tasks if hosts.get(play) else ():
            if task.module != "conda_env" or not selected(task, run):
                continue
            for name, variants in files(task, play, run, hosts[play]).items():
                path = find_file(task, play.directory, "files", name)
                meant = [kind for kind in kinds() for one in variants if one.when_gpu is not None and one.takes(kind)]
                before = found.setdefault(path, Use(variants[0].platform, tuple(meant)))
                if before.platform != variants[0].platform:
                    raise ProvisionError(
                        f"`{path}` is locked for two platforms", where=task.arguments.value_mark("variants")
                    )
    return found


def _of_host(task: Task, play: Play, run: Run, host: str) -> list[Variant]:
    scopes = Scopes(play, HostVariables(run, host), {})
    found: list[Variant] = []
    try:
        rendered = [scope.render(task.arguments["variants"]) for scope in item_scopes(task, scopes)]
    except UNKNOWN:
        return found
    for values in rendered:
        found += of_task(task, values)
    return found
