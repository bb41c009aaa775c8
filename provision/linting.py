"""`provision lint`: the rules over environment files, alone; one line a finding, in the form that editors jump to."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from provision.agent.record import record
from provision.asked_files import environments_of
from provision.conda.capability import Kind, kind, kinds
from provision.conda.environment import read
from provision.conda.lint import Finding
from provision.conda.lint import lint as judge
from provision.conda.prepare import settings_of
from provision.errors import ProvisionError, ProvisionErrors
from provision.fleet_settings import settings
from provision.inventory import Inventory, load_inventory
from provision.listing import inventory_paths
from provision.options import Where
from provision.source import nearest
from provision.usual_files import inventory_there

__all__ = ["kind_of", "lint"]


@record(frozen=True, slots=True)
class _Told:
    """A finding, or an error of reading a file, in the form that is shown."""

    place: str
    severity: str
    summary: str
    rule: str
    reason: str
    source: str
    mend: str

    def lines(self) -> Iterator[str]:
        name = f" [{self.rule}]" if self.rule else ""
        yield f"{self.place}: {self.severity}: {self.summary}{name}"
        yield from (f"  {line}" for line in self.mend.splitlines())


def lint(
    files: Annotated[list[Path], Parameter(negative="")] | None = None,
    /,
    *,
    strict: Annotated[bool, Parameter("--strict", negative="")] = False,
    gpu: Annotated[list[str] | None, Parameter("--gpu", negative="")] = None,
    output: Annotated[Literal["text", "json"], Parameter(("--output", "-o"))] = "text",
    where: Where = Where(),
) -> int:
    """Check environment files against what is known of their packages; contacts no host and solves nothing.

    Exit code: 0 nothing that stops a run, 1 errors.

    Parameters
    ----------
    files
        environment.yml files, folders or playbooks. Default: every `roles/*/environment*.yml`.
    strict
        Warnings are errors.
    gpu
        A kind of GPU that all of them are to run on, such as `B200`; may be given several times.
    output
        Form of standard output.
    """
    known = where.inventory or inventory_there(lambda text: print(text, file=sys.stderr))
    inventory = load_inventory(inventory_paths(where) if known else [])
    meant = tuple(kind_of(name) for name in gpu or ())
    told = list(_findings(files or [], meant, inventory, where))
    if output == "json":
        print(json.dumps([_document(one) for one in told], indent=2))
    else:
        for one in told:
            print("\n".join(one.lines()))
    bad = [one for one in told if one.severity == "error" or (strict and one.severity == "warning")]
    if output == "text":
        print(f"{len(told)} findings, {len(bad)} of them errors" if told else "no findings", file=sys.stderr)
    return 1 if bad else 0


def _findings(files: Sequence[Path], gpus: tuple[Kind, ...], inventory: Inventory, where: Where) -> Iterator[_Told]:
    chosen, uses = environments_of(files, inventory, where.limit)
    known = settings(inventory, inventory.select("all", where.limit, empty=True))
    for path in chosen:
        try:
            environment = read(path)
        except ProvisionError as error:
            yield from (_unread(one) for one in (error.errors if isinstance(error, ProvisionErrors) else (error,)))
            continue
        use = uses.get(path)
        meant = gpus or (use.gpus if use else ())
        yield from (_told(one, path) for one in judge(environment, settings_of(path, known, uses), meant))


def _told(finding: Finding, path: Path) -> _Told:
    rule = finding.rule
    place = str(finding.where or f"{path}:1:1")
    return _Told(place, rule.severity, finding.summary, rule.id, rule.reason, rule.source, finding.hint)


def _unread(error: ProvisionError) -> _Told:
    return _Told(str(error.where), "error", error.summary, "", error.cause, "", error.hint or error.cause)


def _document(told: _Told) -> dict[str, Any]:
    file, line, column = told.place.rsplit(":", 2)
    return {
        "file": file,
        "line": int(line),
        "column": int(column),
        "severity": told.severity,
        "rule": told.rule,
        "summary": told.summary,
        "reason": told.reason,
        "source": told.source,
        "mend": told.mend,
    }


def kind_of(name: str) -> Kind:
    """The kind of GPU that an operator names; raises ProvisionError for one that is not known."""
    found = kind(name)
    if found is None:
        known = {one.name for one in kinds()}
        hint = nearest(name.upper(), known) or f"it knows {', '.join(sorted(known))}"
        raise ProvisionError(f"the kind of GPU `{name}` is not known", hint=hint)
    return found
