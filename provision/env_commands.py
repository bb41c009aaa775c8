"""`provision env`: environments of hosts as files, files of others as roles, and what differs between two hosts.

Looks at hosts by one read-only task, through the same engine as a playbook.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from provision.adhoc import one_task_job
from provision.conda import lint as rules
from provision.conda.compare import Difference, compare
from provision.conda.environment import read
from provision.conda.export import Written, environment_yml, explicit
from provision.conda.importing import imported
from provision.conda.mirrors import Settings
from provision.conda.prepare import told
from provision.errors import ProvisionError
from provision.events import Event, HostFailed, HostUnreachable, StepEnded
from provision.execute import execute
from provision.fleet_settings import settings
from provision.inventory import load_inventory
from provision.listing import inventory_paths
from provision.options import Where
from provision.report.tally import Tally
from provision.usual_files import inventory_there

__all__ = ["app", "diff", "export", "import_"]

app = App(name="env", help="Environments of hosts as standard files, files as roles, and differences between hosts.")
Root = Annotated[str | None, Parameter("--root")]
_ROLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\Z")


@app.command
def export(
    host: str,
    name: str,
    /,
    *,
    as_explicit: Annotated[bool, Parameter("--explicit", negative="")] = False,
    no_builds: Annotated[bool, Parameter("--no-builds", negative="")] = False,
    root: Root = None,
    where: Where = Where(),
) -> int:
    """Write a host's environment to standard output as an environment.yml with exact versions, or as @EXPLICIT.

    Parameters
    ----------
    host
        The host.
    name
        The environment's name, or the absolute path of any prefix (also of a virtual environment).
    as_explicit
        The list of archives that `conda create --file` takes, with their hashes; without pip's packages.
    no_builds
        Versions only: other builds of them will do.
    root
        Where environments live. Default: the variable `conda_root`, else /opt/conda.
    """
    listings, code = _listings(host, name, root, where)
    if len(listings) != 1:
        return code or _one_host(host)
    (own, listing), mirrors = next(iter(listings.items())), _settings(where, host).channel_mirrors
    written = explicit(listing, mirrors) if as_explicit else _yml(own, name, listing, mirrors, not no_builds)
    for note in written.notes:
        print(f"note: {note}", file=sys.stderr)
    print(written.text, end="")
    return code


@app.command(name="import")
def import_(
    file: Path,
    /,
    *,
    role: str | None = None,
    name: str | None = None,
    python: str | None = None,
    where: Where = Where(),
) -> int:
    """Make a role of an environment.yml, a requirements.txt or a Pipfile.lock; says what the rules find in it.

    Parameters
    ----------
    file
        The file.
    role
        The role's name. Default: the environment's.
    name
        The environment's name. Default: the file's own, else that of its folder.
    python
        The Python to take where the file does not say.
    """
    found = imported(file, name, python, role)
    own = role or found.name
    if not _ROLE.match(own):
        raise ProvisionError(
            f"`{own}` cannot be the name of a role", hint="name one with --role: letters, digits, `-`, `_`"
        )
    folder = Path("roles") / own
    if folder.exists():
        hint = "name another with --role, or move what is there away"
        raise ProvisionError(f"there is a role `{own}` already", cause=f"`{folder}` exists", hint=hint)
    target = folder / "environment.yml"
    _write(folder, found.text)
    for note in found.notes:
        print(f"note: {note}", file=sys.stderr)
    print(f"{folder}: environment `{found.name}`; use it by `roles: [{own}]`")
    told_of = where.inventory or inventory_there(lambda text: print(text, file=sys.stderr))
    known = _settings(where) if told_of else None
    for finding in rules.lint(read(target), known):
        print(told(finding), file=sys.stderr)
    return 0


@app.command
def diff(
    one: str,
    other: str,
    name: str,
    /,
    *,
    root: Root = None,
    output: Annotated[Literal["text", "json"], Parameter(("--output", "-o"))] = "text",
    where: Where = Where(),
) -> int:
    """Say how an environment differs between two hosts. Exit code: 0 it does not, 2 it does.

    Parameters
    ----------
    one
        A host.
    other
        Another host.
    name
        The environment's name, or the absolute path of a prefix.
    root
        Where environments live. Default: the variable `conda_root`, else /opt/conda.
    output
        Form of standard output.
    """
    listings, code = _listings(f"{one}:{other}", name, root, where)
    if code or len(listings) != 2:
        return code or _one_host(f"{one}:{other}")
    differences = compare(listings[one], listings[other])
    if output == "json":
        print(json.dumps([asdict(difference) for difference in differences], indent=2))
    else:
        print("\n".join(_text(name, one, other, differences)))
    return 2 if differences else 0


def _text(name: str, one: str, other: str, differences: list[Difference]) -> list[str]:
    if not differences:
        return [f"{name} is the same on {one} and {other}"]
    return [f"{name} differs between {one} and {other}:", *(f"  {_told(each, one, other)}" for each in differences)]


def _told(each: Difference, one: str, other: str) -> str:
    if not each.one:
        return f"+ {each.name} {each.other} ({each.kind}): only on {other}"
    if not each.other:
        return f"- {each.name} {each.one} ({each.kind}): only on {one}"
    return f"~ {each.name} {each.one} -> {each.other} ({each.kind})"


def _listings(hosts: str, name: str, root: str | None, where: Where) -> tuple[dict[str, dict[str, Any]], int]:
    """What `conda_list` found, by host, and the exit code; errors of hosts are told."""
    own = root or _settings(where, hosts).root
    collected = _Collected()
    job = one_task_job("env", hosts, where, "conda_list", {"prefix": name, "root": own}, f"Environment {name}")
    execute(job, collected)
    if collected.cut:
        raise ProvisionError(
            f"the environment of {collected.cut} holds more packages than a result has room for",
            hint="`conda list` on the host shows all of them",
        )
    return collected.found, collected.tally.exit_code


def _settings(where: Where, hosts: str = "all") -> Settings:
    inventory = load_inventory(inventory_paths(where))
    return settings(inventory, inventory.select(hosts, where.limit, empty=True))


def _one_host(pattern: str) -> int:
    raise ProvisionError(f"`{pattern}` does not name what is to be looked at", hint="name hosts of the inventory")


def _yml(host: str, name: str, listing: dict[str, Any], mirrors: Any, builds: bool) -> Written:
    own = Path(name).name if name.startswith("/") else name
    own = f"base-of-{host}" if own == "base" else own
    return environment_yml(own, listing, mirrors, builds=builds, title=f"Environment `{name}` of {host}, as installed.")


def _write(folder: Path, text: str) -> None:
    (folder / "tasks").mkdir(parents=True)
    (folder / "environment.yml").write_text(text, "utf-8")
    task = "- name: Environment is built and verified\n  conda_env:\n    file: environment.yml\n"
    (folder / "tasks" / "main.yaml").write_text(task, "utf-8")


class _Collected:
    """Keeps the fields of the one step of each host, and tells errors."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.found: dict[str, dict[str, Any]] = {}
        self.cut = ""

    def add(self, event: Event) -> None:
        self.tally.add(event)
        if isinstance(event, StepEnded):
            if event.result.status == "failed":
                error = event.result.error or {}
                told = ProvisionError(
                    error.get("summary", ""), cause=error.get("cause", ""), hint=error.get("hint", "")
                )
                print(f"{event.host}: {told}", file=sys.stderr)
            elif event.result.cut:
                self.cut = event.host
            else:
                self.found[event.host] = dict(event.result.fields)
        elif isinstance(event, HostUnreachable | HostFailed):
            print(f"{event.host}: {event.error}", file=sys.stderr)

    def close(self) -> None:
        """Nothing is left to be shown."""
