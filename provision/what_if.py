"""What another driver, GPU or CUDA would break: each environment on each host, judged before and after.

Pure: of playbooks, locks and facts that were stored. Must not connect; a host without facts is unknown, not well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from provision.agent.record import record
from provision.clashes import UNKNOWN, item_scopes
from provision.conda import recipes
from provision.conda.capability import Kind, first_driver
from provision.conda.fit import Stack, capability_of, unfit_device, unfit_driver, unfit_glibc
from provision.errors import ProvisionError
from provision.playbook import Play, Task
from provision.scopes import HostVariables, Run, Scopes
from provision.selection import selected
from provision.translate import find_file
from provision.variables import Scope
from provision.variants import Variant, choose, of_task

__all__ = ["Change", "Target", "Verdict", "judge"]


@record(frozen=True, slots=True)
class Change:
    """What would be otherwise: None: as it is. A `driver` without a dot ("470") is the newest of its branch."""

    driver: str | None = None
    gpu: Kind | None = None
    cuda: str | None = None

    def of(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """A host's facts after the change."""
        gpu = dict(facts.get("gpu") or {})
        if self.driver:
            compared = self.driver if "." in self.driver else f"{self.driver}.999"
            gpu |= {"driver": compared, "cuda": recipes.newest_cuda(compared)}
        if self.gpu:
            devices = gpu.get("devices") or [{"index": 0}]
            told = {"name": self.gpu.name, "compute_capability": self.gpu.capability, "memory_mb": None}
            gpu["devices"] = [{**device, **told} for device in devices]
        return {**facts, "gpu": gpu}


@record(frozen=True, slots=True)
class Target:
    """What a file's lock holds, or is asked to where there is no lock yet. `locked`: there is one."""

    name: str
    stack: Stack
    oldest_driver: str | None
    locked: bool = True
    simulated: bool = False
    glibc: str | None = None


@record(frozen=True, slots=True)
class Verdict:
    """One environment on one host. `state`: "runs", "breaks", "broken" (already before) or "unknown", with reasons.

    `file` is the one that the host would have; `before` the one that it has now, where that is another.
    """

    host: str
    environment: str
    state: str
    reasons: tuple[str, ...] = ()
    file: Path | None = None
    before: Path | None = None
    simulated: bool = False


TargetOf = Callable[[Path], Target]
FactsOf = Callable[[str], Mapping[str, Any] | None]


def judge(
    plays: Sequence[Play],
    run: Run,
    hosts: Mapping[Play, Sequence[str]],
    change: Change,
    facts_of: FactsOf,
    target_of: TargetOf,
) -> list[Verdict]:
    """A verdict for each environment that the plays build on each host; those of one host follow one another."""
    found: dict[tuple[str, str], Verdict] = {}
    for play in plays:
        for task in play.tasks:
            wanted = task.module == "conda_env" and task.arguments.get("state") != "absent" and selected(task, run)
            for host in hosts.get(play, ()) if wanted else ():
                for verdict in _of_host(_Asked(play, task, run, host), change, facts_of(host), target_of):
                    found.setdefault((verdict.host, verdict.environment), verdict)
    return list(found.values())


@record(frozen=True, slots=True)
class _Asked:
    """One task for one host."""

    play: Play
    task: Task
    run: Run
    host: str

    def scopes(self, facts: Mapping[str, Any]) -> Iterator[Scope]:
        """Those of the items for which the task runs; a condition that cannot be told counts as met."""
        scopes = Scopes(self.play, HostVariables(self.run, self.host, facts), {})
        try:
            items = list(item_scopes(self.task, scopes))
        except UNKNOWN:
            return
        for scope in items:
            try:
                holds = all(scope.renderer.test(one.expression, scope, one.where) for one in self.task.when)
            except UNKNOWN:
                holds = True
            if holds:
                yield scope


def _of_host(asked: _Asked, change: Change, facts: Mapping[str, Any] | None, target_of: TargetOf) -> Iterator[Verdict]:
    after = change.of(facts or {})
    for scope in asked.scopes(after if facts is not None else {}):
        name = _name(asked, scope, target_of)
        if facts is None:
            yield Verdict(asked.host, name, "unknown", ("no stored facts",))
            continue
        old, then, was = _fate(asked, scope, facts, Change(), target_of)
        new, reasons, target = _fate(asked, scope, after, change, target_of)
        state = "runs" if not reasons else "broken" if then else "breaks"
        simulated = bool((facts.get("gpu") or {}).get("simulated") or (target or was or _NOTHING).simulated)
        yield Verdict(asked.host, name, state, tuple(reasons), new, old if old != new else None, simulated)


_NOTHING = Target("", ("", ""), None)


def _name(asked: _Asked, scope: Scope, target_of: TargetOf) -> str:
    try:
        said = scope.render(asked.task.arguments.get("name"))
        file = scope.render(asked.task.arguments.get("file", "environment.yml"))
    except UNKNOWN:
        return asked.task.title
    if isinstance(said, str) and said:
        return said
    return target_of(find_file(asked.task, asked.play.directory, "files", str(file))).name


def _fate(
    asked: _Asked, scope: Scope, facts: Mapping[str, Any], change: Change, target_of: TargetOf
) -> tuple[Path | None, list[str], Target | None]:
    """The file that a host gets, why that does not run there, and what it holds."""

    def path_of(file: str) -> Path:
        return find_file(asked.task, asked.play.directory, "files", file)

    def target(file: str) -> Target:
        return _moved(target_of(path_of(file)), change.cuda)

    try:
        file = _file(asked, scope, facts, lambda one, gpu: unfit_device(target(one.file).stack, gpu))
    except ProvisionError as error:
        return None, error.cause.splitlines() or [error.summary], None
    own = target(file)
    return path_of(file), [*_reasons(own, facts, change), *_unbuilt(own, change)], own


def _file(asked: _Asked, scope: Scope, facts: Mapping[str, Any], unfit: Callable[[Variant, Any], str]) -> str:
    written = scope.render(asked.task.arguments.get("variants"))
    if written is None:
        return str(scope.render(asked.task.arguments.get("file", "environment.yml")))
    variants = of_task(asked.task, written)
    return choose(str(scope.render(asked.task.arguments.get("name"))), variants, facts, unfit).file


def _moved(target: Target, cuda: str | None) -> Target:
    """The same environment with another CUDA; one without any keeps to that."""
    if not cuda or not target.stack[1]:
        return target
    return replace(target, stack=(target.stack[0], cuda), oldest_driver=recipes.oldest_driver(cuda))


def _reasons(target: Target, facts: Mapping[str, Any], change: Change) -> list[str]:
    gpu = facts.get("gpu") or {}
    cuda, devices = target.stack[1], gpu.get("devices") or []
    reasons = [unfit_glibc(target.glibc, facts.get("glibc"))]
    reasons.append(unfit_driver(target.oldest_driver, cuda, gpu.get("driver")))
    unfit = [unfit_device(target.stack, device) for device in devices]
    reasons += unfit if all(unfit) else []
    if change.gpu and cuda:
        reasons.append(_too_old_for(change.gpu, gpu.get("driver")))
    shown = change.driver or ""
    return [reason.replace(f"{shown}.999", shown) for reason in dict.fromkeys(reasons) if reason]


def _too_old_for(gpu: Kind, driver: str | None) -> str:
    """Why a driver does not know a kind of GPU; "" where it may."""
    first = first_driver(capability_of({"compute_capability": gpu.capability}))
    if not first or not driver or not recipes.below(driver, first[0]):
        return ""
    return (
        f"driver {driver} is older than {gpu.name}: CUDA {first[1]}, the first with code for it, came with {first[0]}"
    )


def _unbuilt(target: Target, change: Change) -> list[str]:
    torch, cuda = target.stack
    row = recipes.torch_set(torch) if torch and change.cuda and cuda else None
    if not row or not row["cuda"] or cuda in row["cuda"]:
        return []
    return [f"torch {torch} has no builds for CUDA {cuda}, only for {', '.join(row['cuda'])}"]
