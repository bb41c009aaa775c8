"""One trial: a real apply, one fault, and what must hold afterwards whatever the fault was."""

from __future__ import annotations

import random
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from fault_kinds import Kind, Trial
from fault_site import BUILT, HIT, OTHER, Run, Site, digest

OUTCOMES = {-9: "killed", 0: "got through", 1: "refused", 2: "failed", 4: "host lost", 130: "interrupted"}


@dataclass
class Verdict:
    """What a trial came to."""

    kind: str
    seed: str
    outcome: str
    problems: list[str]
    seconds: float
    figures: dict[str, float] = field(default_factory=dict)


class _Watch:
    """Looks at the environments of the host that is hit for as long as a run takes."""

    def __init__(self, site: Site) -> None:
        self.seen: set[str] = set()
        self._site, self._over = site, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(0.05):
            self.seen.update(self._site.half_visible())

    def end(self) -> set[str]:
        self._over.set()
        self._thread.join()
        return self.seen


def undergo(site: Site, kind: Kind, seed: str, folder: Path) -> Verdict:
    """Do one trial; whatever went wrong is in the verdict's problems, and the site is converged afterwards."""
    begun = time.monotonic()
    trial = Trial(site, random.Random(seed), folder)
    site.unmake(rebuild=kind.rebuild)
    if kind.stale:
        site.converge("-e", "llama_context=1234")
    try:
        code = _faulty_run(kind, trial)
    except Exception as error:
        site.mend()
        return Verdict(kind.name, seed, "stuck", [f"the trial broke: {error!r}"], time.monotonic() - begun)
    outcome = OUTCOMES.get(code, f"exit code {code}")
    run = trial.under_way
    if not kind.explained(code, run.said(HIT)):
        trial.problems.append(f"{outcome}, and the report does not name the cause:\n{run.said(HIT)[-1500:]}")
    if code not in (-9, 130, 1):
        _others(run, trial)
    if kind.phase == "during" and not trial.at:
        trial.problems.append("the fault came too late to be one")
    _aftermath(kind, trial, run)
    return Verdict(kind.name, seed, outcome, trial.problems, time.monotonic() - begun, trial.figures)


def _faulty_run(kind: Kind, trial: Trial) -> int:
    site = trial.site
    with ExitStack() as way_back:
        if kind.phase == "before":
            way_back.enter_context(kind.body(trial))
            trial.at = time.monotonic()
        elif kind.moment == "prepared":
            way_back.enter_context(kind.body(trial))
        trial.run = site.start(
            *trial.argv, inventory=trial.inventory, playbook=trial.playbook, environment=trial.environment
        )
        watch = _Watch(site)
        try:
            if kind.phase == "during":
                _await_moment(kind, trial)
                if trial.run.process.poll() is None:
                    trial.at = time.monotonic()
                    if kind.moment != "prepared":
                        way_back.enter_context(kind.body(trial))
                    else:
                        trial.strike()
            code = trial.run.end(kind.seconds)
        finally:
            if trial.run.process.poll() is None:
                trial.run.process.kill()
            half = watch.end()
        if half:
            trial.problems.append(f"half environments were visible: {sorted(half)}")
        lost = trial.run.when("HostUnreachable", HIT)
        if kind.noticed and lost:
            since = trial.at if kind.phase == "during" else trial.run.when("RunStarted") or trial.run.begun
            trial.within("noticed", lost - since, kind.noticed)
    return code


def _await_moment(kind: Kind, trial: Trial) -> None:
    """A seeded moment: in the middle of the environment's building more often than elsewhere."""
    run, rng = trial.under_way, trial.rng
    run.wait_for(lambda event: (event["event"], event.get("host")) == ("Connected", HIT), 60)
    if kind.moment and kind.moment != "prepared":
        wanted = ("StepEnded" if kind.stale else "StepStarted", kind.moment, HIT)
        run.wait_for(lambda event: (event["event"], event.get("title"), event.get("host")) == wanted, 120)
        return
    if kind.rebuild and rng.random() < 0.75:
        run.wait_for(lambda event: (event.get("title"), event.get("host")) == (BUILT, HIT), 60)
        time.sleep(rng.uniform(0, 0.7 * trial.site.build_seconds))
    else:
        time.sleep(rng.uniform(0, 0.2))


def _others(run: Run, trial: Trial) -> None:
    """The other host did all that it had to do."""
    lost = run.of(OTHER, "HostUnreachable", "HostFailed")
    ended = run.when("HostEnded", OTHER)
    bad = [title for title, status in run.results(OTHER).items() if status == "failed"]
    if lost or bad or not ended:
        trial.problems.append(f"{OTHER} was affected: {run.said(OTHER)[-800:]}")


def _aftermath(kind: Kind, trial: Trial, run: Run) -> None:
    """Nothing lost, nothing half, nothing claimed falsely; one run converges and the next changes nothing."""
    site = trial.site
    free = site.lock_free_after(45)
    if free is None:
        trial.problems.append("the host is still locked 45 s after the run")
    if site.half_visible():
        trial.problems.append(f"half environments are visible: {site.half_visible()}")
    for host in (site.hit, site.other):
        if digest(host) != site.kept[host.name]:
            trial.problems.append(f"data of {host.name} was changed")
    claimed = {title for title, status in run.results(HIT).items() if status in ("ok", "changed")}
    try:
        again = site.converge(*trial.rerun)
        trial.proof()
        false = sorted(title for host, title in again if host == HIT and title in claimed)
        if false and not kind.undoes:
            trial.problems.append(f"claimed and not so: {false}")
        third = site.converge(*trial.rerun)
        if third:
            trial.problems.append(f"a third run changed {sorted(third)}")
        if site.half_visible():
            trial.problems.append(f"half environments are visible in the end: {site.half_visible()}")
        if trial.rerun:
            site.converge()
    except Exception as error:
        trial.problems.append(f"the next run does not converge: {str(error)[-1500:]}")
        site.mend()
