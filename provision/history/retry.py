"""`provision retry`: an earlier `apply` again, for the hosts that it did not bring to its end."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from provision.errors import ProvisionError
from provision.history.place import stored
from provision.history.recorder import LEFT_OUT
from provision.history.store import RunRow
from provision.options import WHAT, WHERE, Inventories, Where

__all__ = ["retry"]

Words = Annotated[list[str], Parameter(("--extra-vars", "-e"), group=WHERE, negative="")]


def retry(
    run: str = "last",
    /,
    *,
    extra_vars: Words | None = None,
    yes: Annotated[bool, Parameter(("--yes", "-y"), group=WHAT, negative="")] = False,
    where: Inventories = Inventories(),
) -> int:
    """Apply an earlier run's playbook again to the hosts that failed, were unreachable or not reached.



    Its other options stay as they were; handlers that are pending on these hosts run as well.

    Parameters
    ----------
    run
        The beginning of the run's id, or `last`: the newest `apply`.
    extra_vars
        Again what the run was given; the history keeps no values.
    yes
        Do not ask; needed where there is no terminal.
    """
    with stored(where) as store:
        chosen = _newest(store.runs()) if run == "last" else store.run(run)
        hosts = [row.name for row in store.hosts(chosen.number) if row.state != "done"]
    if chosen.command != "apply" or chosen.checks:
        raise ProvisionError(
            f"the run `{chosen.id}` was `{chosen.command}`, which cannot be retried",
            hint="only `apply` can; `provision history` lists runs",
        )
    if not hosts:
        print(f"every host of `{chosen.id}` was brought to its end: nothing to retry", file=sys.stderr)
        return 0
    print(f"retrying {len(hosts)} of the hosts of {chosen.id}", file=sys.stderr)
    return _again(chosen, hosts, extra_vars or [], yes)


def _newest(runs: Sequence[RunRow]) -> RunRow:
    for run in runs:
        if run.command == "apply" and not run.checks:
            return run
    raise ProvisionError("no `apply` is in the history", hint="`provision history` lists runs")


def _again(run: RunRow, hosts: Sequence[str], extra: Sequence[str], yes: bool) -> int:
    from provision.cli import app

    wanted = [word for word in _left_out(run.argv) if not any(each.startswith(word) for each in extra)]
    if wanted:
        raise ProvisionError(
            f"the run `{run.id}` had values that the history does not keep",
            cause="-e " + " -e ".join(wanted) + LEFT_OUT,
            hint="give them again: provision retry " + run.id + " -e " + " -e ".join(f"{word}…" for word in wanted),
        )
    if Path(run.directory) != Path.cwd():
        os.chdir(run.directory)
    command, bound, _ = app.parse_args(list(run.argv))
    said = dict(bound.arguments)
    before = said.get("where") or Where()
    kept = [word for word in before.extra_vars if LEFT_OUT not in word]
    said["where"] = replace(before, limit=",".join(hosts), extra_vars=[*kept, *extra])
    said["yes"] = yes or said.get("yes", False)
    return int(command(**said))


def _left_out(argv: Sequence[str]) -> list[str]:
    """The beginnings of `-e` values that were not kept: `NAME=`, or "" where not even a name is known."""
    found = []
    for word in argv:
        if word.endswith(LEFT_OUT):
            found.append(word.removesuffix(LEFT_OUT).removeprefix("--extra-vars=").removeprefix("-e"))
    return found
