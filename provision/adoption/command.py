"""`provision adopt HOST -o DIR`: reads, judges, locks, writes, reports. Changes nothing on the host."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from provision.adoption import document, report
from provision.adoption.entry import entry, known_keys
from provision.adoption.judge import candidates, judged
from provision.adoption.read import read
from provision.adoption.survey import Environment
from provision.adoption.write import need_empty, put, whole
from provision.conda.commands import lock as lock_files
from provision.conda.locked import Lock
from provision.conda.mirrors import Settings
from provision.errors import ProvisionError
from provision.inventory import load_inventory
from provision.listing import inventory_paths
from provision.locking import settings
from provision.options import Where

__all__ = ["adopt"]


def adopt(
    host: str,
    /,
    *,
    directory: Annotated[Path, Parameter(("--directory", "-o"))],
    root: Annotated[list[str] | None, Parameter("--root", negative="")] = None,
    shared: Annotated[list[str] | None, Parameter("--shared", negative="")] = None,
    output: Annotated[Literal["text", "json"], Parameter("--format")] = "text",
    where: Where = Where(),
) -> int:
    """Read a server that people built by hand and write it as an inventory, a playbook and roles.

    Environments, servers that run, and links into shared data; nothing on the host is changed, and no secret is
    copied. What cannot be taken over is named with what mends it.

    Parameters
    ----------
    host
        A host of the inventory.
    directory
        Where to write; a new or empty directory.
    root
        A folder that holds `envs`, beside those that are known. May be given several times.
    shared
        A shared directory, beside /data and network mounts. May be given several times.
    output
        Form of standard output.
    """
    need_empty(directory)
    inventory = load_inventory(inventory_paths(where))
    known = settings(inventory, inventory.select(host, where.limit))
    survey, code = read(host, where, [known.root, *(root or [])], ["/data", *(shared or [])])
    if survey is None:
        return code
    found, left = candidates(survey, known.channel_mirrors)
    variables, not_copied = entry(inventory, survey.host)
    with whole(directory) as folder:
        locks = {one.path: _locked(folder, one, known) for one in found}
        adopted = judged(survey, found, [*not_copied, *left], locks)
        _forget(folder, found, adopted.environments)
        put(folder, document.files(adopted, variables, known_keys(inventory, survey.host)))
        said = report.text(adopted, directory)
        put(folder, {"ADOPTED.txt": said})
    print(json.dumps(report.document(adopted, directory), indent=2) if output == "json" else said.rstrip("\n"))
    return code


def _locked(folder: Path, environment: Environment, known: Settings) -> Lock | ProvisionError:
    """The lock of an environment, made beside its environment.yml, or why there is none."""
    texts = document.role_files(environment)
    put(folder, texts)
    path = folder / next(iter(texts))
    try:
        (done,) = lock_files([path], replace(known, locks_directory=None), report=_say)
    except ProvisionError as error:
        return error
    if done.lock is None:
        raise ProvisionError(f"`{environment.name}` was not locked", cause=", ".join(done.reasons))
    return done.lock


def _forget(folder: Path, found: Iterable[Environment], kept: Iterable[Environment]) -> None:
    """Roles of environments that were not taken over stay to be mended, out of the playbook's way."""
    taken = {one.role for one in kept}
    for one in found:
        if one.role not in taken:
            aside = folder / "not-taken-over"
            aside.mkdir(exist_ok=True)
            (folder / "roles" / one.role).rename(aside / one.role)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
