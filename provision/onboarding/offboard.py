"""`provision offboard`: a host without what provision made to run there, and an inventory without the host.

The host comes first: an entry goes only once its host is clean, or with `--forget`. Must not have a way of its own to
talk to hosts.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from provision import fact_store
from provision.adhoc import one_task_job
from provision.apply import confirmed
from provision.errors import ProvisionError
from provision.events import Event, StepEnded
from provision.execute import Job, execute
from provision.inventory import Inventory, inventory_files, load_inventory
from provision.listing import inventory_paths
from provision.onboarding.edits import Edit, addresses, say
from provision.onboarding.inventory_edit import has_host, remove_host
from provision.onboarding.known_keys import without_host
from provision.options import Shown, Where
from provision.printable import printable
from provision.report.choose import Reporting, reporting
from provision.report.tally import HostTally, Tally, host_names
from provision.source import nearest

__all__ = ["offboard"]


@dataclass(slots=True)
class _Watching:
    """Passes events on and keeps what each host said that stays there."""

    report: Reporting
    stays: dict[str, list[str]] = field(default_factory=dict)

    def add(self, event: Event) -> None:
        if isinstance(event, StepEnded):
            self.stays[event.host] = [str(line) for line in event.result.fields.get("stays", [])]
        self.report.add(event)

    def close(self) -> None:
        self.report.close()


def offboard(names: Sequence[str], *, forget: bool, yes: bool, where: Where, shown: Shown) -> int:
    """The command's exit code; hosts that could not be cleaned keep their entry in the inventory."""
    if not yes and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ProvisionError(
            "`offboard` changes hosts and the inventory, and there is no terminal to ask on", hint="say -y"
        )
    inventory = load_inventory(inventory_paths(where))
    _require(names, inventory)
    edits(inventory, names)  # what cannot be edited is said before a host is touched
    if forget:
        return _take_out(inventory, names, yes, "nothing was done on the hosts themselves")
    _require_just(names, inventory, where)
    if not yes:
        job = _job(inventory, names, where, check=True)
        seen, stays = _run(job, Shown(diff=shown.diff, verbose=shown.verbose))
        if seen.exit_code:
            return _ended(seen)
        say(_staying(stays, names))
        say("".join(edit.diff() for edit in edits(inventory, names)))
        if not confirmed(f"Remove this from {', '.join(names)}, and from the inventory?"):
            return 1
    done, stays = _run(_job(inventory, names, where, check=False), shown)
    clean = [name for name in names if not _not_done(done.hosts[name])]
    if yes:
        say(_staying(stays, clean))
    if clean and not done.interrupted:
        _take_out(inventory, clean, True, "")
    return _ended(done)


def edits(inventory: Inventory, names: Iterable[str]) -> list[Edit]:
    """What taking hosts out changes in the inventory's files and in the known_hosts beside them."""
    found = []
    for path in (file for source in inventory.sources for file in inventory_files(source)):
        before = after = path.read_text(encoding="utf-8")
        for name in names:
            if has_host(after, name, file=str(path)):
                after = remove_host(after, name, file=str(path))
        found.append(Edit(path, before, after))
    for folder in inventory.directories:
        path = folder / "known_hosts"
        if path.is_file():
            before = after = path.read_text(encoding="utf-8", errors="surrogateescape")
            for name in names:
                after = without_host(after, addresses(inventory, name))
            found.append(Edit(path, before, after))
    return [edit for edit in found if edit.before != edit.after]


def _require(names: Sequence[str], inventory: Inventory) -> None:
    for name in names:
        if name not in inventory.hosts:
            sources = ", ".join(f"`{source}`" for source in inventory.sources)
            raise ProvisionError(
                f"there is no host `{name}` in {sources}",
                cause="`offboard` takes hosts by the name that they have in the inventory",
                hint=nearest(name, set(inventory.hosts)) or "`provision inventory --graph` shows all",
            )


def _job(inventory: Inventory, names: Sequence[str], where: Where, *, check: bool) -> Job:
    found = [inventory.variables(name).get("conda_root") for name in names]
    roots = {"/opt/conda", *(str(root) for root in found if isinstance(root, str) and root.startswith("/"))}
    title = "What provision made is removed"
    job = one_task_job(
        "offboard",
        ":".join(names),
        where,
        "offboard",
        {"roots": sorted(roots)},
        title,
        become=True,
        lock="shared" if check else "exclusive",
    )
    return replace(job, run=replace(job.run, check=True)) if check else job


def _require_just(names: Sequence[str], inventory: Inventory, where: Where) -> None:
    """Raises ProvisionError unless these hosts and no others would be cleaned: names are patterns, too."""
    chosen = set(inventory.select(":".join(names), where.limit))
    if chosen != set(names):
        raise ProvisionError(
            f"`{':'.join(names)}` does not name just the hosts to be taken out",
            cause=f"as a pattern it means {', '.join(sorted(chosen)) or 'none'}: a group has the same name, "
            "a name holds a sign of patterns, or `--limit` leaves hosts out",
            hint="leave `--limit` away, or give the host another name in the inventory",
        )


def _run(job: Job, shown: Shown) -> tuple[Tally, dict[str, list[str]]]:
    watching = _Watching(reporting(shown))
    execute(job, watching)
    return watching.report.tally, watching.stays


def _take_out(inventory: Inventory, names: Sequence[str], yes: bool, note: str) -> int:
    """Show the difference, ask, write; repeated, there is nothing left to write."""
    changed = edits(inventory, names)
    say("".join(edit.diff() for edit in changed))
    if note:
        say(note)
    if not yes and not confirmed(f"Take {', '.join(names)} out of the inventory?"):
        return 1
    for edit in changed:
        edit.write()
    for name in names:
        fact_store.forget(inventory, name)
        left = [path for folder in inventory.directories for path in _variables_of(folder / "host_vars", name)]
        if left:
            say("stays: " + ", ".join(str(path) for path in left))
    return 0


def _variables_of(folder: Path, name: str) -> list[Path]:
    """The files, or the folder, of one host's own variables."""
    found = [folder / f"{name}{suffix}" for suffix in ("", ".json", ".yaml", ".yml")]
    return [path for path in found if path.exists()]


def _staying(stays: dict[str, list[str]], names: Iterable[str]) -> str:
    """What stays on hosts; the same is said once."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        alike.setdefault(tuple(stays.get(name, [])), []).append(name)
    said = [
        "\n".join([f"stays on {host_names(hosts, len(stays))}:", *(f"  {printable(line)}" for line in lines)])
        for lines, hosts in alike.items()
        if lines
    ]
    return "\n".join(said)


def _ended(tally: Tally) -> int:
    away = [name for name, host in tally.hosts.items() if host.unreachable]
    kept = [name for name, host in tally.hosts.items() if _not_done(host)]
    if kept:
        say(f"still in the inventory: {', '.join(kept)}")
    if away:
        say(f"hint: for a host that is gone for good: provision offboard {' '.join(away)} --forget")
    return tally.exit_code


def _not_done(host: HostTally) -> bool:
    return bool(host.unreachable or host.failed or host.error)
