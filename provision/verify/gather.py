"""One host through its looks: a compiler of batches put around that of the engine, and what came back as findings.

The looks at the lower rungs come first, and behind a broken one nothing more is sent. Then the plays run in check mode,
each batch followed by the looks at its apps. Nothing is acted on: every step is in check mode, none notifies, and no
handler is forgotten.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from provision.agent.protocol import Result, Step
from provision.compile import Batch, Cursor, HostVariables, next_batch
from provision.events import StepEnded
from provision.outcome import PlannedStep
from provision.playbook import Play
from provision.scopes import Scopes
from provision.variables import HostView
from provision.verify import drift
from provision.verify.ladder import Finding
from provision.verify.orphans import orphans
from provision.verify.probes import Depth, Look, Named, app_looks, expected_gpus, looks, made_look

__all__ = ["Gatherer"]

_KNOWN_AFTER = "known after apply"
_APP_COMMAND = re.compile(r"provision app [a-z]+ [\w.-]+")
_RUNG_OF_LOOK = {
    "verify_environment": "environments",
    "verify_app": "apps",
    "verify_made": "configuration",
    "verify_traces": "configuration",
}


class Gatherer:
    """Looks at one host; called in the place of `compile.next_batch`.

    `playbook` is its name for people, `apply` the command that mends what differs; its options behind the playbook are
    those with which any command finds this host alone.
    """

    def __init__(self, host: str, playbook: str, apply: str, depth: Depth) -> None:
        self.host = host
        self._playbook = playbook
        self._apply = apply
        self._reach = apply.removeprefix(f"{drift.APPLY} {shlex.quote(playbook)} ")
        self._depth = depth
        self.spent: dict[str, float] = {}
        """Seconds that the host took for each rung."""
        self._findings: list[Finding] = []
        self._named = Named()
        self._made: Mapping[str, Any] | None = None
        self._steps: dict[int, PlannedStep] = {}
        self._looks: dict[int, Look] = {}
        self._asked: set[str] = set()
        self._held: Batch | None = None
        self._right = 0
        self._whole = True
        self._stopped = False

    def findings(self) -> list[Finding]:
        """Everything that was found; what no play names any more only where all plays were gone through."""
        found = list(self._findings)
        if self._whole and self._right:
            steps = f"{self._right} step{'s are' if self._right != 1 else ' is'} as the playbook says"
            found.append(Finding("configuration", "configuration.steps", "ok", steps))
        if self._whole and self._made:
            found += orphans(self._made, self._named, self._playbook)
        return found

    def __call__(
        self,
        play: Play,
        cursor: Cursor,
        variables: HostVariables,
        results: Mapping[int, Result],
        pending: Sequence[str] = (),
    ) -> tuple[Batch, Cursor]:
        """The next batch; handlers that are `pending` are told and not run."""
        self._take(results)
        if pending:
            self._findings.append(_interrupted(len(pending), self._apply))
        if self._stopped:
            return Batch(done=True), cursor
        if self._held is None:
            own = {number: result for number, result in results.items() if number not in self._looks}
            batch, cursor = self._compiled(play, cursor, variables, own)
            wanted = [*self._below(play, variables), *(self._untraced() if batch.done else ())]
            if steps := self._planned(wanted, cursor):
                self._held = batch
                return Batch(steps=steps, blobs=batch.blobs), _numbered(cursor, steps)
        else:
            batch, self._held = self._held, None
            if batch.steps and any(finding.status == "failed" for finding in self._findings):
                self._stopped, self._whole = True, False
                return Batch(done=True), cursor
        apps = [step.step.spec["name"] for step in batch.steps if step.step.spec.get("name") in self._named.apps]
        steps = self._planned(app_looks(self._named, dict.fromkeys(apps)), cursor)
        return replace(batch, steps=(*batch.steps, *steps)), _numbered(cursor, steps)

    # --- what is sent

    def _compiled(
        self, play: Play, cursor: Cursor, variables: HostVariables, results: Mapping[int, Result]
    ) -> tuple[Batch, Cursor]:
        """The engine's next batch, in which no failure ends the host."""
        batch, after = next_batch(play, cursor, variables, results)
        for verdict in batch.verdicts:
            self._judged(verdict)
        if batch.failed:
            self._whole = False
            self._findings.append(drift.of_error(batch.failed, "configuration", "configuration.play"))
        self._named.add(batch.steps)
        self._steps.update((planned.step.id, planned) for planned in batch.steps)
        awaited = tuple(replace(each, ignore_errors=True, check=True) for each in after.awaited)
        batch = replace(batch, steps=tuple(map(_harmless, batch.steps)), failed=None, forget=())
        return batch, replace(after, awaited=awaited)

    def _below(self, play: Play, variables: HostVariables) -> list[Look]:
        """The looks at the lower rungs that are not made yet."""
        gpus = HostView(Scopes(play, variables, {}).whole()).get("gpus")
        wanted = (*looks(self._named, expected_gpus(self.host, gpus), self._depth), made_look(self._named))
        return [look for look in wanted if self._new(look)]

    def _untraced(self) -> list[Look]:
        """The look that tells since when and by whom files differ, which no step of a play says."""
        paths = dict.fromkeys(finding.subject for finding in self._findings if _untold(finding))
        return [Look("verify_traces", {"paths": list(paths)}, "when files were changed")] if paths else []

    def _new(self, look: Look) -> bool:
        """Whether a look was not asked for yet; that the time has gone on makes none new."""
        spec = {key: value for key, value in look.spec.items() if key != "time"}
        asked = f"{look.resource} {sorted(spec.items(), key=lambda pair: pair[0])}"
        new = asked not in self._asked
        self._asked.add(asked)
        return new

    def _planned(self, wanted: Iterable[Look], cursor: Cursor) -> tuple[PlannedStep, ...]:
        steps = []
        for number, look in enumerate(wanted, cursor.next_id):
            self._looks[number] = look
            step = Step(
                id=number,
                resource=look.resource,
                spec=dict(look.spec),
                name=f"verify {look.title}",
                check=True,
                on_failure="continue",
                sensitive=look.sensitive,
            )
            steps.append(PlannedStep(step, step.name, look.where, ignore_errors=True, no_log=look.sensitive))
        return tuple(steps)

    # --- what came back

    def _take(self, results: Mapping[int, Result]) -> None:
        for number, result in results.items():
            if number in self._looks:
                self._seen(self._looks[number], result)
            elif not self._steps[number].judged:
                self._step(self._steps[number], result)

    def _judged(self, verdict: StepEnded) -> None:
        """A task that was decided here, or a result that was judged here."""
        planned = self._steps.get(verdict.result.step)
        if planned is not None:
            self._step(planned, verdict.result)
        elif verdict.message.startswith(_KNOWN_AFTER):
            words = f"`{verdict.title}` is not checkable: {verdict.message}"
            place = {"where": str(verdict.where)} if verdict.where else {}
            self._findings.append(Finding("configuration", "configuration.unknown", "skipped", words, detail=place))

    def _step(self, planned: PlannedStep, result: Result) -> None:
        if planned.handler:  # it runs only because of what differs, which is told already
            return
        self._took(drift.rung_of(planned.step.resource), result)
        finding = drift.of_step(planned, result)
        if finding is not None:
            self._findings.append(self._addressed(finding))
        elif result.status == "ok":
            self._right += 1

    def _took(self, rung: str, result: Result) -> None:
        self.spent[rung] = self.spent.get(rung, 0.0) + result.seconds

    def _seen(self, look: Look, result: Result) -> None:
        self._took(_rung_of(look), result)
        if result.status == "failed":
            self._findings.append(_not_looked(look, result))
        elif look.resource == "verify_made":
            self._made = result.fields
        elif look.resource == "verify_traces":
            self._findings = [_traced(finding, result.fields.get("traces") or {}) for finding in self._findings]
        for told in result.fields.get("findings") or []:
            finding = Finding.of(told)
            if look.where and finding.status in ("failed", "warning"):
                finding = replace(finding, detail={"where": str(look.where), **finding.detail})
            self._findings.append(self._addressed(finding))

    def _addressed(self, finding: Finding) -> Finding:
        """The finding with the playbook and the host in its mend."""
        mend = _APP_COMMAND.sub(lambda found: f"{found[0]} {self._reach}", finding.mend)
        return replace(finding, mend=mend.replace(drift.APPLY, self._apply))


def _harmless(planned: PlannedStep) -> PlannedStep:
    """The step so that it changes nothing, also where its task says `check_mode: false`, and ends nothing."""
    step = replace(planned.step, check=True, on_failure="continue", notify=[], clears=[])
    return replace(planned, step=step, ignore_errors=True)


def _numbered(cursor: Cursor, steps: Sequence[PlannedStep]) -> Cursor:
    return replace(cursor, next_id=cursor.next_id + len(steps))


def _untold(finding: Finding) -> bool:
    drifted = bool(finding.detail.get("drift")) and finding.status == "failed" and finding.rung == "configuration"
    return drifted and finding.since is None and finding.subject.startswith("/") and "by" not in finding.detail


def _traced(finding: Finding, traces: Mapping[str, Mapping[str, Any]]) -> Finding:
    """The finding with what the host knows of its path."""
    told = traces.get(finding.subject)
    if told is None or not _untold(finding):
        return finding
    since = told.get("since")
    detail = {**finding.detail, "by": told.get("by") or [], "made": told.get("made") or {}}
    return replace(finding, since=float(since) if isinstance(since, int | float) else None, detail=detail)


def _rung_of(look: Look) -> str:
    return _RUNG_OF_LOOK.get(look.resource, look.resource.removeprefix("verify_"))


def _not_looked(look: Look, result: Result) -> Finding:
    """A look that could not be made is no proof that all is well."""
    error = result.error or {}
    rung = _rung_of(look)
    detail = {"cause": str(error["cause"])} if error.get("cause") else {}
    summary = f"{look.title} could not be looked at: {error.get('summary') or 'the step failed'}"
    return Finding(rung, f"{rung}.look", "failed", summary, detail=detail, mend=str(error.get("hint") or ""))


def _interrupted(count: int, apply: str) -> Finding:
    what = "a handler that an interrupted run left is" if count == 1 else f"{count} handlers that a run left are"
    return Finding("configuration", "configuration.handlers", "warning", f"{what} still to be run", mend=apply)
