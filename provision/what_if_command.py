"""`provision what-if`: reads playbooks, locks and stored facts, and shows what would break. Connects to nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from provision import fact_store
from provision.asked_files import PLAYBOOKS
from provision.conda import recipes
from provision.conda.capability import Use
from provision.conda.environment import read
from provision.conda.fit import stack_of
from provision.conda.lock import read_lock
from provision.conda.mirrors import Settings
from provision.conda.prepare import settings_of
from provision.conda.stack_checks import own_builds, stack
from provision.errors import ProvisionError
from provision.extra_vars import extra_variables
from provision.fleet_settings import settings
from provision.inventory import Inventory, load_inventory
from provision.linting import kind_of
from provision.listing import inventory_paths
from provision.options import Where
from provision.playbook import Play
from provision.report.tally import host_names
from provision.roles import load_playbook
from provision.scopes import Run
from provision.variant_files import uses
from provision.what_if import Change, Target, Verdict, judge

__all__ = ["Targets", "what_if"]

_VERSION = re.compile(r"[0-9]+(\.[0-9]+)*\Z")


def what_if(
    *,
    driver: str | None = None,
    gpu: str | None = None,
    cuda: str | None = None,
    playbook: Path | None = None,
    output: Annotated[Literal["text", "json"], Parameter(("--output", "-o"))] = "text",
    where: Where = Where(),
) -> int:
    """Say which environments another driver, GPU or CUDA would break, on which hosts and why; contacts no host.

    Judged by the inventory, the locks, and what hosts were when they were last seen.

    Exit code: 0 nothing would break, 2 something would.

    Parameters
    ----------
    driver
        A driver's version, or only its branch: `470`.
    gpu
        A kind of GPU in the place of those that are there: `B200`.
    cuda
        A CUDA in the place of the environments' own: `12.4`.
    playbook
        The playbook's file. Default: all of playbooks/.
    output
        Form of standard output.
    """
    change = _change(driver, gpu, cuda)
    inventory = load_inventory(inventory_paths(where))
    plays = [play for path in _playbooks(playbook) for play in load_playbook(path).plays]
    hosts = {play: tuple(inventory.select(play.hosts, where.limit, where=play.where, empty=True)) for play in plays}
    run = Run(inventory, extra=extra_variables(where.extra_vars))
    targets = Targets(inventory, uses(plays, run, hosts), hosts)
    verdicts = judge(plays, run, hosts, change, lambda host: _facts(inventory, host), targets.of)
    if not verdicts:
        raise ProvisionError("no play builds an environment on these hosts", hint="see `--playbook` and `--limit`")
    if output == "json":
        print(json.dumps([_document(verdict) for verdict in verdicts], indent=2))
    else:
        print("\n".join(_text(_asked(driver, gpu, cuda), verdicts)))
    return 2 if any(verdict.state == "breaks" for verdict in verdicts) else 0


def _change(driver: str | None, gpu: str | None, cuda: str | None) -> Change:
    for name, value in (("--driver", driver), ("--cuda", cuda)):
        if value is not None and not _VERSION.match(value):
            raise ProvisionError(f"`{name} {value}` is no version", hint="write it like `535.104.05` or `12.4`")
    if not driver and not gpu and not cuda:
        raise ProvisionError("`what-if` needs what is to change", hint="say --driver, --gpu or --cuda")
    return Change(driver, kind_of(gpu) if gpu else None, cuda)


def _playbooks(named: Path | None) -> list[Path]:
    found = [named] if named else sorted(Path(PLAYBOOKS).glob("*.y*ml"))
    if not found:
        raise ProvisionError(f"there is no playbook in `{PLAYBOOKS}`", hint="name one with --playbook")
    return found


def _facts(inventory: Inventory, host: str) -> dict[str, Any] | None:
    kept = fact_store.known(inventory, host)
    return kept["facts"] if kept else None


class Targets:
    """What files hold, by their locks; each read once."""

    def __init__(self, inventory: Inventory, meant: dict[Path, Use], hosts: dict[Play, tuple[str, ...]]) -> None:
        self._settings: Settings = settings(inventory, [host for group in hosts.values() for host in group])
        self._uses = meant
        self._known: dict[Path, Target] = {}

    def of(self, path: Path) -> Target:
        if path not in self._known:
            self._known[path] = self._read(path)
        return self._known[path]

    def _read(self, path: Path) -> Target:
        environment = read(path)
        lock = read_lock(environment, settings_of(path, self._settings, self._uses))
        if lock:
            floor = lock.floor
            return Target(
                environment.name, stack_of(lock), floor.get("driver"), True, lock.simulated, floor.get("glibc")
            )
        torch, cuda, _ = stack(environment)
        torch = torch if own_builds(environment) else ""
        return Target(environment.name, (torch, cuda), recipes.oldest_driver(cuda) if cuda else None, locked=False)


def _asked(driver: str | None, gpu: str | None, cuda: str | None) -> str:
    parts = (("driver", driver), ("GPU", gpu), ("CUDA", cuda))
    return ", ".join(f"{word} {value}" for word, value in parts if value)


_SAID = {"breaks": "would break", "broken": "is broken already", "runs": "runs", "unknown": "unknown"}


def _text(asked: str, verdicts: list[Verdict]) -> Iterator[str]:
    """Identical fates once, with their hosts; what breaks comes first."""
    everyone = len({verdict.host for verdict in verdicts})
    broken = sum(verdict.state == "breaks" for verdict in verdicts)
    yield (
        f"{asked}: {broken} of {len(verdicts)} installations would break" if broken else f"{asked}: nothing would break"
    )
    for state in ("breaks", "broken", "runs", "unknown"):
        groups: dict[tuple[str, tuple[str, ...], str], list[str]] = {}
        for one in verdicts:
            if one.state == state and state != "unknown":
                groups.setdefault((one.environment, one.reasons, _moves(one)), []).append(one.host)
        for (environment, reasons, moves), names in groups.items():
            yield f"  {environment} {_SAID[state]} on {host_names(sorted(names), everyone)}{moves}"
            yield from (f"    {reason}" for reason in reasons)
    unknown = sorted({verdict.host for verdict in verdicts if verdict.state == "unknown"})
    if unknown:
        yield f"  unknown: {', '.join(unknown)}: no stored facts; `provision facts` reads and keeps them"
    if any(verdict.simulated for verdict in verdicts):
        yield "  (simulated GPUs or packages are among these)"


def _moves(verdict: Verdict) -> str:
    return (
        f", with {verdict.file.name} in the place of {verdict.before.name}" if verdict.before and verdict.file else ""
    )


def _document(verdict: Verdict) -> dict[str, Any]:
    return {
        "host": verdict.host,
        "environment": verdict.environment,
        "state": verdict.state,
        "reasons": list(verdict.reasons),
        "file": str(verdict.file) if verdict.file else None,
        "before": str(verdict.before) if verdict.before else None,
        "simulated": verdict.simulated,
    }
