"""The stages of `plan -o FILE` and `apply FILE`: check, look, write; read, look again, compare, apply.

A host is looked at twice before it is touched: by the check whose result is compared with the plan, and by each step
right before it acts, which the host does by itself.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from provision import __version__
from provision.errors import ProvisionError
from provision.events import Event, HostFailed, HostUnreachable, RunEnded
from provision.execute import Job, execute
from provision.listing import inventory_paths
from provision.options import Shown, What, Where
from provision.orphans import Orphans
from provision.plans import inputs, keys
from provision.plans.document import HostPlan, Plan, keyed, read, write
from provision.plans.holding import Holding, moved
from provision.plans.making import Making
from provision.playbook import Play
from provision.report import Report
from provision.report.tally import Tally, host_names

__all__ = ["applied", "keep", "listed", "made"]


def made(job: Job, key: str, report: Report) -> tuple[dict[str, HostPlan], dict[str, Any]]:
    """Go through a job as a check, and give each host's part of a plan, with the rendered specs of all."""
    parts = {host: Making(plays, key) for host, plays in _plays_of(job).items()}
    for host, around in job.held.items():
        if isinstance(around, Orphans):
            around.inner = parts[host]
    watching = _Watching(report)
    execute(replace(job, held={**parts, **job.held}, key=key), watching)
    hosts = {host: _whole(part.part(), watching.errors.get(host)) for host, part in parts.items()}
    specs: dict[str, Any] = {}
    for part in parts.values():
        specs |= part.specs
    return hosts, specs


def keep(path: Path, playbook: Path, job: Job, what: What, where: Where, report: Report) -> Plan:
    """Make the plan of a job that only checks and write it; gives what was written. Raises ProvisionError."""
    sources = inventory_paths(where)
    identity, key = keys.make(keys.folders(sources)[0])
    hosts, specs = made(job, key, report)
    plan = Plan(
        id=identity,
        made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        by=__version__,
        selection=_selection(playbook, sources, what, where, key),
        inputs=inputs.gathered(job.run.translator),
        specs=specs,
        hosts=hosts,
    )
    write(path, plan, key)
    return plan


def listed(plan: Plan, path: Path) -> list[str]:
    """What is to be said of a plan that was written: what it leaves out, what only apply can tell, how to apply it."""
    lines = []
    for host, part in plan.hosts.items():
        if part.incomplete:
            lines.append(f"{host} is not in the plan: {part.incomplete}")
    unknown = plan.unknown()
    lines += _unknown_lines(unknown, len(plan.hosts))
    covered = sum(not part.incomplete for part in plan.hosts.values())
    more = " --allow-unknown" if unknown else ""
    lines.append(f"plan for {covered} hosts written; to do it: provision apply {path}{more}")
    return lines


def applied(path: Path, *, allow_unknown: bool, where: Where, shown: Shown) -> int:
    """Apply a saved plan and nothing else; the exit code of `apply`. Raises ProvisionError before any host."""
    from provision.apply import load_job, run_job

    plan, key = read(path, tuple(keys.folders(inventory_paths(where)) if where.inventory else ()))
    playbook = Path(str(plan.selection["playbook"]))
    what, chosen = _options(plan, path, where, key)
    _refuse_unknown(plan, path, allow_unknown)
    inputs.refuse_changed(plan.inputs, str(playbook))
    os.chdir(plan.selection["directory"])  # places in the operator's files are part of what is compared
    job = load_job("apply", playbook, what, chosen)
    inputs.refuse_new(plan.inputs, inputs.gathered(job.run.translator), str(playbook))
    seen = replace(job, command="look", lock="shared", run=replace(job.run, check=True, facts_of={}, known_of={}))
    silent = _Silent()
    now, _ = made(seen, key, silent)
    if silent.interrupted:
        return 130
    nothing = HostPlan(incomplete="the plan has no such host")
    held = {
        host: Holding(plays, part := plan.hosts.get(host, nothing), key, moved(host, part, now.get(host, nothing), key))
        for host, plays in _plays_of(job).items()
    }
    tally: Tally = run_job(replace(job, held=held, key=key), shown)
    return tally.exit_code


def _plays_of(job: Job) -> dict[str, list[tuple[int, Play]]]:
    found: dict[str, list[tuple[int, Play]]] = {}
    for number, (play, hosts) in enumerate(zip(job.plays, job.hosts, strict=True)):
        for host in hosts:
            found.setdefault(host, []).append((number, play))
    return found


def _whole(part: HostPlan, error: ProvisionError | None) -> HostPlan:
    return replace(part, incomplete=part.incomplete or error.summary) if error else part


def _selection(playbook: Path, sources: Sequence[Path], what: What, where: Where, key: str) -> dict[str, Any]:
    """What the command line chose; of `-e` values only a hash, as each may be a secret."""
    return {
        "directory": str(Path.cwd()),
        "playbook": str(playbook),
        "inventory": [str(path) for path in sources],
        "limit": where.limit,
        "become": where.become,
        "tags": list(what.tags),
        "skip_tags": list(what.skip_tags),
        "strict": what.strict,
        "forward": what.forward,
        "force_handlers": what.force_handlers,
        "extra_vars": [
            {"file": text[1:]} if text.startswith("@") else {"hash": keyed(text, key)} for text in where.extra_vars
        ],
    }


def _options(plan: Plan, path: Path, where: Where, key: str) -> tuple[What, Where]:
    """The options that the plan was made with; raises ProvisionError where the command line says otherwise."""
    chosen = plan.selection
    sources = [Path(source) for source in chosen["inventory"]]
    if where.inventory and [given.absolute() for given in where.inventory] != [
        Path(chosen["directory"], each) for each in sources
    ]:
        raise _fixed("-i", path)
    if where.limit is not None and where.limit != chosen["limit"]:
        raise _fixed("-l", path)
    what = What(
        tags=list(chosen["tags"]),
        skip_tags=list(chosen["skip_tags"]),
        strict=chosen["strict"],
        forward=chosen["forward"],
        force_handlers=chosen["force_handlers"],
    )
    extra = _extra(chosen["extra_vars"], where.extra_vars, path, key)
    return what, replace(
        where,
        inventory=sources,
        limit=chosen["limit"],
        become=where.become or chosen["become"],
        extra_vars=extra,
        private_key=where.private_key and where.private_key.absolute(),
        vault_password_file=[each.absolute() for each in where.vault_password_file],
        age_identity=[each.absolute() for each in where.age_identity],
    )


def _extra(kept: Sequence[Mapping[str, str]], given: Sequence[str], path: Path, key: str) -> list[str]:
    """The `-e` of the plan: files by their name, values as they are given again."""
    left = {keyed(text, key): text for text in given if not text.startswith("@")}
    wanted = [each["hash"] for each in kept if "hash" in each]
    if set(left) != set(wanted):
        raise ProvisionError(
            f"the plan `{path}` was made with other `-e` values",
            cause=f"it holds {len(wanted)} of them as hashes, never their text, and {len(given)} were given",
            hint="give `apply` the very `-e` that `plan` had; `-e @FILE` is kept by its name",
        )
    return ["@" + each["file"] if "file" in each else left[each["hash"]] for each in kept]


def _fixed(option: str, path: Path) -> ProvisionError:
    return ProvisionError(
        f"`{option}` does not go with a plan",
        cause=f"the plan `{path}` says for which hosts it is",
        hint=f"leave `{option}` away, or make another plan",
    )


def _refuse_unknown(plan: Plan, path: Path, allowed: bool) -> None:
    unknown = plan.unknown()
    if unknown and not allowed:
        raise ProvisionError(
            f"{len(unknown)} steps of the plan `{path}` are known after apply only",
            cause="\n".join(_unknown_lines(unknown, len(plan.hosts))),
            hint=f"say that they may be done: provision apply {path} --allow-unknown",
        )


def _unknown_lines(unknown: Mapping[tuple[str, str, str], list[str]], known: int) -> list[str]:
    return [
        f"known after apply: {title} ({where}) on {host_names(hosts, known)}: {why}"
        for (title, where, why), hosts in unknown.items()
    ]


class _Watching:
    """A report, and which hosts were lost on the way."""

    def __init__(self, report: Report) -> None:
        self.errors: dict[str, ProvisionError] = {}
        self._report = report

    def add(self, event: Event) -> None:
        if isinstance(event, HostFailed | HostUnreachable):
            self.errors.setdefault(event.host, event.error)
        self._report.add(event)

    def close(self) -> None:
        self._report.close()


class _Silent:
    """Shows nothing of the look before the plan is applied: what it finds is said by the hosts' own rows."""

    interrupted = False

    def add(self, event: Event) -> None:
        if isinstance(event, RunEnded):
            self.interrupted = event.interrupted

    def close(self) -> None:
        sys.stderr.flush()
