"""The order in which a host's results are told: that of its play.

A step whose verdict comes with the next batch holds back what follows it, and a task that was decided on the control
node between two steps is told between them. Pure; must not know connections or reports.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from provision.agent.protocol import Result
from provision.events import StepEnded
from provision.outcome import PlannedStep

__all__ = ["Telling"]


class Telling:
    """What one host has to tell; each method gives the events that are due now."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._held: list[StepEnded | int] = []
        """Events that wait, and the ids of the steps whose verdicts they wait for."""
        self._failed = False

    def batch(self, verdicts: Iterable[StepEnded]) -> Iterator[StepEnded]:
        """A batch begins with these verdicts: on results of the batch before, and what precedes its first step."""
        said = list(verdicts)
        judged = {verdict.result.step: verdict for verdict in said if verdict.result.step >= 0}
        held, self._held, self._failed = self._held, [], False
        for entry in held:
            if isinstance(entry, StepEnded):
                yield entry
            elif entry in judged:
                yield judged.pop(entry)
        yield from (verdict for verdict in said if verdict.result.step < 0 or verdict.result.step in judged)

    def result(self, item: PlannedStep, result: Result) -> Iterator[StepEnded]:
        """A step ended; what was decided to come after it is told unless the batch stops there."""
        if item.rescued and result.status == "skipped":
            pass  # the play goes on elsewhere, as with a task whose turn does not come
        elif not item.judged:
            why = "a step before it failed" if self._failed else "the run ended"
            yield from self._due(ended(self._host, item, result, why))
        elif result.status != "skipped":
            self._held.append(result.step)
        self._failed = self._failed or (result.status == "failed" and item.step.on_failure != "continue")
        stops = result.status == "skipped" or (self._failed and item.step.on_failure != "later")
        for verdict in () if stops else item.then:
            yield from self._due(verdict)

    def rest(self) -> Iterator[StepEnded]:
        """What is still held back, when no verdict will come any more."""
        held, self._held = self._held, []
        yield from (entry for entry in held if isinstance(entry, StepEnded))

    def _due(self, event: StepEnded) -> Iterator[StepEnded]:
        if self._held:
            self._held.append(event)
        else:
            yield event


def ended(host: str, item: PlannedStep, result: Result, why: str = "") -> StepEnded:
    """The event of a step's end; `why` one was not run."""
    ignored = item.ignore_errors and result.status == "failed"
    message = f"not run, since {why}" if result.status == "skipped" else ""
    rescued = item.rescued and result.status == "failed" and not ignored
    return StepEnded(host, item.title, item.where, result, message, ignored, item.handler, rescued)
