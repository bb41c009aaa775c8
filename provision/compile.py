"""`next_batch(play, cursor, variables, results) -> (batch, cursor)`: what a host is to do next.

Pure: the cursor is data, and the same arguments give the same batch. A batch ends before whatever needs a decision on
an earlier step: a template or condition that reads its result, `failed_when`, the handlers that follow it. A batch
with `barrier` or `done` carries no steps: all results before it were judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from provision import plan_task
from provision.agent.protocol import Result
from provision.agent.record import record
from provision.apart import NOT_APART, Running, apart_of, delegated, ends_run, forces_handlers
from provision.attempts import Trying, breaks, counted, delay, is_tried, never_reached, pause, reached, retries
from provision.blocks import Blocks, caught, left, passes, rescued_by
from provision.errors import ProvisionError
from provision.events import StepEnded
from provision.modules import INCLUDES
from provision.others import Elsewhere, Once, Position
from provision.outcome import Environment, Outcome, PlannedStep
from provision.playbook import Frame, Play, Task, every
from provision.render import KnownAfterApply, Unsettled
from provision.scopes import HostVariables, Run, Scopes
from provision.selection import handler_id, handlers_by_id, selected
from provision.settle import Asked, Awaited, error_of, hidden_fields, judge, registered, values_of
from provision.translate import Built
from provision.variables import Pending, Registered

__all__ = ["Batch", "Cursor", "HostVariables", "PlannedStep", "Play", "Run", "handler_id", "next_batch", "start"]


@record(frozen=True, slots=True)
class Flip:
    """An environment whose link moves after the task at `position` (section, index)."""

    position: tuple[int, int]
    built: Built
    task: Task


@record(frozen=True, slots=True)
class Included:
    """The tasks that an include brought, and which of them is next; `handler` is the one whose tasks they are."""

    tasks: tuple[Task, ...]
    index: int = 0
    handler: str | None = None


@record(frozen=True, slots=True)
class Cursor:
    """Where a host is in a play: all that the next call needs.

    `included` are the includes that the host is in, the innermost last; `index` then is that of the outermost one.
    `frames` are the blocks around the last task, `blocks` those of them in which something failed. `trying` is how far
    a task is that is tried again. `queue` are handlers that still run before the next task, None when no handlers are
    being run. `resumed` are those that an earlier run left pending. `facts` holds set facts and registered results.
    `apps` run since the section began, `starter` is the task of the last. `winding`: the host only runs what was
    notified before it ends, with the error `ending` where it failed.
    """

    section: int = 0
    index: int = 0
    included: tuple[Included, ...] = ()
    frames: tuple[Frame, ...] = ()
    blocks: Blocks = field(default_factory=dict)
    trying: Trying | None = None
    queue: tuple[str, ...] | None = None
    notified: tuple[str, ...] = ()
    resumed: tuple[str, ...] = ()
    next_id: int = 1
    facts: Mapping[str, Any] = field(default_factory=dict)
    awaited: tuple[Awaited, ...] = ()
    built: Mapping[tuple[str, str], Built] = field(default_factory=dict)
    apps: tuple[tuple[str, str, str], ...] = ()
    starter: Task | None = None
    flips: tuple[Flip, ...] = ()
    once: Running | None = None
    winding: bool = False
    ending: ProvisionError | None = None


@record(frozen=True, slots=True)
class Batch:
    """What a host does next, and what was decided meanwhile.

    `verdicts`: results judged here, then tasks decided here (skipped, debug, assert, ...) that come before the first
    step; those that come later are with the step that they follow. `barrier`: a
    section ended, other hosts are waited for. `done`: the play has ended for this host. `failed`: the host takes no
    further part. `forget`: handlers whose notifying task was judged unchanged, or that were skipped.

    Of other hosts: `position` and `known` are how far this one has come, judged, and what is set on it by then; `meets`
    names a task that one host runs for all, with no steps until it is this host or it has run; `behind` is the host
    that must come as far first, `again` then says that the results are to be given once more; `throttle` is how many
    hosts may run the steps at once; `told` is what came of a task that this host ran for all; `given` are facts for
    the control node. `wait` are seconds before the steps, `notes` are for the operator.
    `resets`: the host is connected to anew before them.
    """

    steps: tuple[PlannedStep, ...] = ()
    verdicts: tuple[StepEnded, ...] = ()
    blobs: Mapping[str, bytes | Path] = field(default_factory=dict)
    barrier: bool = False
    done: bool = False
    failed: ProvisionError | None = None
    forget: tuple[str, ...] = ()
    position: Position = ()
    known: Mapping[str, Any] | None = None
    meets: str = ""
    behind: str = ""
    again: bool = False
    throttle: tuple[str, int] | None = None
    told: tuple[str, Once] | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
    wait: float = 0.0
    notes: tuple[str, ...] = ()
    resets: bool = False


def start(play: Play, pending: Sequence[str] = (), first_id: int = 1) -> Cursor:
    """The cursor before a play's first task; `pending` are handlers that a crashed run left.

    Ids of steps count from `first_id`; a cursor's `next_id` is where the next play of the host goes on.
    """
    known = handlers_by_id(play)
    return Cursor(next_id=first_id, resumed=tuple(name for name in dict.fromkeys(pending) if name in known))


def next_batch(
    play: Play,
    cursor: Cursor,
    variables: HostVariables,
    results: Mapping[int, Result],
    pending: Sequence[str] = (),
) -> tuple[Batch, Cursor]:
    """The next batch and the cursor after it; `results` are those of the batch before, `pending` as in `start`."""
    if pending:
        resumed = dict.fromkeys((*cursor.resumed, *start(play, pending).resumed))
        cursor = replace(cursor, resumed=tuple(resumed))
    return _Compiler(play, cursor, variables).run(results)


class _Compiler:
    """The work of one call; nothing outlives it but the cursor that it returns."""

    def __init__(self, play: Play, cursor: Cursor, host: HostVariables) -> None:
        self.play = play
        self.host = host
        self.before = cursor
        self.cursor = copy(cursor)
        self.dynamic = dict(cursor.facts)
        self.scopes = Scopes(play, host, self.dynamic)
        self.handlers = handlers_by_id(play)
        self.steps: list[PlannedStep] = []
        self.verdicts: list[StepEnded] = []
        self.blobs: dict[str, bytes | Path] = {}
        self.forget: list[str] = []
        self.awaited: list[Awaited] = []
        self.apart = NOT_APART
        self.told: tuple[str, Once] | None = None
        self.given: dict[str, Any] = {}
        self.known: Mapping[str, Any] | None = None
        self.settled: Position = ()
        self.wait = 0.0
        self.notes: list[str] = []
        self.resets = False

    def run(self, results: Mapping[int, Result]) -> tuple[Batch, Cursor]:
        try:
            failed = self.settle(results)
        except Elsewhere as error:
            return Batch(behind=error.host, again=True), self.before
        self.settled, self.known = self.position, dict(self.dynamic)
        if self.host.halted and failed is None:
            # a block's `always` would have followed; the failure counts without it
            failed = next((broken.error for broken in self.cursor.blocks.values() if broken.error), None)
        if (failed or self.host.halted) and not self.winds_up(failed):
            return self.batch(failed=failed or self.cursor.ending, done=True)
        while True:
            task, handler = self.current()
            if handler is None and self.cursor.frames != (frames := task.frames if task else ()):
                if self.steps:
                    return self.batch()
                failed = self.enters(frames)
                if failed and not self.winds_up(failed):
                    return self.batch(failed=failed)
                continue
            if task is None:
                self.watch_apps()
                if self.steps:
                    return self.batch()
                if self.cursor.winding:
                    return self.batch(failed=self.cursor.ending, done=True)
                if self.leave_section():
                    return self.batch(barrier=self.cursor.section < len(self.play.sections), done=self.over)
                continue
            if handler is None and not (selected(task, self.host.run) and passes(task.frames, self.cursor.blocks)):
                self.advance()
                self.flip()
                continue
            try:
                if self.parts(task, handler):
                    return self.batch()
                if self.awaits_another():
                    return self.batch(meets=self.apart.once)
                ends = self.take(task, handler)
            except Unsettled as error:
                if self.steps:
                    return self.batch()
                assert isinstance(error, Elsewhere), "a result is awaited that nothing was asked for"
                return self.batch(behind=error.host)
            except ProvisionError as error:
                if self.steps:
                    return self.batch()
                failed = self.fails(_with_task(error, task), task, handler)
                if failed is None or self.winds_up(failed):
                    continue
                return self.batch(failed=failed)
            if ends:
                return self.batch()

    def move(self, **changes: Any) -> None:
        """Set what is new of the cursor, which is this call's own."""
        for name, value in changes.items():
            # as `replace` does, of which the many small ones took a tenth of all time
            object.__setattr__(self.cursor, name, value)

    @property
    def over(self) -> bool:
        return self.cursor.section >= len(self.play.sections)

    def current(self) -> tuple[Task | None, str | None]:
        """The task or handler that comes next; none at the end of a section whose handlers have run."""
        cursor = self.cursor
        tasks = self.play.sections[cursor.section].tasks if not self.over else ()
        if cursor.included and (cursor.queue is None or cursor.included[-1].handler):
            inner = cursor.included[-1]
            if inner.index < len(inner.tasks):
                return inner.tasks[inner.index], inner.handler
            if inner.handler and self.steps:
                return None, None  # it is a handler that has run once its steps have
            self.move(included=cursor.included[:-1])
            self.passed(inner.handler)
            self.flip()
            return self.current()
        if cursor.queue is None and cursor.index < len(tasks):
            return tasks[cursor.index], None
        if cursor.queue:
            return self.handlers[cursor.queue[0]], cursor.queue[0]
        if cursor.queue is None and cursor.frames:
            return None, None
        return self.flush(tasks)

    def flush(self, tasks: Sequence[Task]) -> tuple[Task | None, str | None]:
        """Start a round of handlers, unless steps are on their way that may notify more."""
        if any(item.notify for item in self.awaited):
            return None, None
        cursor = self.cursor
        at_end = cursor.index >= len(tasks) and not cursor.included
        resumed = cursor.resumed if at_end and (tasks or cursor.section == len(self.play.sections) - 1) else ()
        wanted = {*cursor.notified, *resumed}
        if wanted:
            queue = tuple(name for name in self.handlers if name in wanted)
            self.move(queue=queue, notified=(), resumed=() if resumed else cursor.resumed)
            return self.current()
        self.move(queue=None)
        return (None, None) if at_end else self.current()

    def leave_section(self) -> bool:
        """Go to the next section; whether that is to be told (it is not, after a section without tasks)."""
        if self.over:
            return True
        had_tasks = bool(self.play.sections[self.cursor.section].tasks)
        self.move(section=self.cursor.section + 1, index=0, queue=None)
        rest = any(section.tasks for section in self.play.sections[self.cursor.section :])
        if not rest and not self.cursor.resumed:
            self.move(section=len(self.play.sections))
        return had_tasks or self.over

    @property
    def position(self) -> Position:
        """The place in the play that the host has come to; the same for all hosts, and growing."""
        included = (inner.index for inner in self.cursor.included if not inner.handler)
        return (self.cursor.section, self.cursor.index, *included)

    def enters(self, frames: tuple[Frame, ...]) -> ProvisionError | None:
        """Go on to a task in these blocks; the error that a block leaves behind, where nothing keeps it."""
        blocks, error = left(self.cursor.frames, frames, self.cursor.blocks)
        self.move(frames=frames, blocks=blocks)
        return error

    def fails(self, error: ProvisionError, task: Task, handler: str | None) -> ProvisionError | None:
        """Take in the failure of a task that no step was asked for; the error where no block keeps it from the host."""
        kept = self.keeps(error, task, {"msg": error.summary})
        if kept is not None:
            return kept
        if not error.told:
            said = {"summary": error.summary, "cause": error.cause, "hint": error.hint}
            result = Result(-1, "failed", error=said)
            self.verdicts.append(
                StepEnded(self.host.host, task.title, task.where, result, handler=bool(handler), rescued=True)
            )
        if handler:
            self.returns(handler)
        return None

    def returns(self, failed: str | None, unrun: Iterable[str] = ()) -> None:
        """A failure goes to a block: handlers that have not run stay notified, but for the one that failed."""
        rest = dict.fromkeys((*self.cursor.notified, *unrun, *(self.cursor.queue or ())))
        included = tuple(one for one in self.cursor.included if not one.handler)
        self.move(queue=None, included=included, notified=tuple(name for name in rest if name != failed))

    def keeps(self, error: ProvisionError, task: Task, values: Mapping[str, Any]) -> ProvisionError | None:
        """The error of a task, where no block around it keeps it from the host; `values` are its result."""
        self.move(trying=None)
        if not self.cursor.frames or self.cursor.winding:
            return self.fatal(error, task)
        blocks, outside = caught(error, self.cursor.frames, self.cursor.blocks)
        self.move(blocks=blocks)
        if outside is not None:
            return self.fatal(outside, task)
        failed = {"name": str(task.name), "action": task.module}
        self.set({"ansible_failed_task": failed, "ansible_failed_result": {**values, "failed": True}})
        return None

    def winds_up(self, failed: ProvisionError | None) -> bool:
        """Whether the host, which ends, has handlers to be run first (`force_handlers`)."""
        if self.cursor.winding:
            return failed is None
        if not self.cursor.notified or not forces_handlers(self.play, self.host):
            return False
        if self.told and self.told[1].failed:
            self.told = None  # it ends this host, and so the run; others fail by it only where it is gone on with
        queue = tuple(name for name in self.handlers if name in self.cursor.notified)
        index = len(self.play.sections[self.cursor.section].tasks) if not self.over else 0
        self.move(winding=True, ending=failed, queue=queue, notified=(), index=index)
        self.move(included=(), frames=(), blocks={}, trying=None)
        return True

    def parts(self, task: Task, handler: str | None) -> bool:
        """Whether a task must not be in one batch with what comes before it."""
        self.scopes.position = self.position
        try:
            apart = apart_of(task, handler, self.position, self.scopes)
        except KnownAfterApply:
            apart = NOT_APART
        if self.steps and apart is not self.apart and apart != self.apart:
            return True
        self.apart = apart
        return False

    def awaits_another(self) -> bool:
        """Whether the task is run by one host for all, which has not run it, and is not known to be this one."""
        others = self.host.others
        return bool(self.apart.once) and self.apart.once not in others.once and self.apart.once != others.chosen

    def fatal(self, error: ProvisionError, task: Task) -> ProvisionError:
        """The error of a task, which may end the run for all hosts."""
        error.ends_run = error.ends_run or ends_run(task, self.scopes)
        return error

    def take(self, task: Task, handler: str | None) -> bool:
        """Plan a task and commit it; whether the batch ends after it."""
        if told := self.host.others.once.get(self.apart.once):
            if told.failed:
                raise told.failed
            self.commit(replace(task, register=None), Outcome(facts=told.values), handler)
            return False
        if is_tried(task):
            return self.attempt(task, handler)
        environment = Environment(self.play, self.host, self.scopes, self.cursor.built)
        try:
            outcome = plan_task.plan(environment, task, self.cursor.next_id, handler)
        except KnownAfterApply as error:
            outcome = plan_task.unknown(environment, task, str(error), handler)
        if outcome.failed and self.steps:
            raise outcome.failed
        if (outcome.leaves or outcome.resets) and self.steps:
            raise Unsettled(task.title)
        self.commit(task, outcome, handler)
        if self.apart.once:
            self.run_for_all(task, outcome)
        if outcome.failed:
            outcome.failed.told = True
            raise outcome.failed
        return outcome.ends or bool(self.apart.once)

    def attempt(self, task: Task, handler: str | None) -> bool:
        """Try a task, or an item of its loop, once (more)."""
        if self.steps:
            raise Unsettled(task.title)
        trying = self.cursor.trying or Trying()
        environment = Environment(self.play, self.host, self.scopes, self.cursor.built)
        try:
            outcome = plan_task.plan(environment, task, self.cursor.next_id, handler, trying.item)
        except KnownAfterApply as error:
            outcome = plan_task.unknown(environment, task, str(error), handler)
        if not outcome.awaited:
            counted_outcome = counted(task, outcome, trying.attempt, self.scopes)
            if counted_outcome is None:
                self.repeats(outcome.asked[0].title, trying)
                self.wait = delay(task, self.scopes)
                return True
            outcome = counted_outcome
        if not outcome.awaited and outcome.items <= 1:
            self.move(trying=None)
            self.commit(task, outcome, handler)
            if outcome.failed:
                outcome.failed.told = True
                raise outcome.failed
            return False
        self.move(trying=trying)
        if not outcome.awaited:
            self.add(outcome)
            self.given |= outcome.given
            self.decides(task, outcome.facts, outcome.notified)
            self.set(outcome.facts)
            decided = tuple((asked, asked.fields or {}) for asked in outcome.asked)
            failed = trying.failed or outcome.failed
            trying = replace(trying, kept=(*trying.kept, *decided), failed=failed)
            if over := self.tried(task, trying, outcome.items, handler):
                over.told = True
                raise over
            return self.wait > 0
        if trying.attempt > 1:
            self.wait = delay(task, self.scopes)
        self.add(replace(outcome, awaited=replace(outcome.awaited, items=outcome.items)))
        return True

    def repeats(self, title: str, trying: Trying) -> None:
        """Another attempt follows."""
        self.notes.append(f"{title}: attempt {trying.attempt} is not what is waited for; another follows")
        self.move(trying=replace(trying, attempt=trying.attempt + 1))

    def tried(self, task: Task, trying: Trying, items: int, handler: str | None) -> ProvisionError | None:
        """An item is where it is to be: go on to the next, or behind the task; the error where an item failed."""
        asked, values = trying.kept[-1]
        own = {**({task.register: values} if task.register else {}), **asked.names}
        if trying.item + 1 < items and not breaks(task, own, self.scopes):
            self.move(trying=replace(trying, item=trying.item + 1, attempt=1))
            self.wait += 0.0 if self.host.run.check else pause(task, self.scopes)
            return None
        self.move(trying=None)
        if task.register:
            awaited = Awaited(task, (), task.loop is not None)
            self.set({task.register: registered(awaited, trying.kept)})
        self.passed(handler)
        self.flip()
        return trying.failed

    def run_for_all(self, task: Task, outcome: Outcome) -> None:
        """What a task that this host runs for all hosts came to, or will have come to with the next batch."""
        if outcome.awaited:
            self.move(once=Running(self.apart.once, task.register))
            return
        values = {**outcome.facts, **self.kept(task, outcome)}
        failed = self.fatal(outcome.failed, task) if outcome.failed else None
        self.told = (self.apart.once, Once(values, failed))

    def add(self, outcome: Outcome) -> None:
        """Take the steps and verdicts of a task into the batch."""
        verdicts = outcome.verdicts
        if rescued_by(self.cursor.frames):
            verdicts = tuple(replace(one, rescued=one.result.status == "failed") for one in verdicts)
        if not self.steps:
            self.verdicts += verdicts
        elif verdicts:
            self.steps[-1] = self.steps[-1].followed(verdicts)
        self.steps += outcome.steps
        self.blobs |= outcome.blobs
        self.move(next_id=self.cursor.next_id + len(outcome.steps))
        if outcome.awaited:
            self.awaited.append(outcome.awaited)

    def passed(self, handler: str | None) -> None:
        """The task or handler is behind the host."""
        included = self.cursor.included
        if not handler or (included and included[-1].handler):
            self.advance()
            return
        self.move(queue=(self.cursor.queue or ())[1:])
        if self.handlers[handler].module in INCLUDES:
            self.forget.append(handler)

    def commit(self, task: Task, outcome: Outcome, handler: str | None) -> None:
        self.add(outcome)
        if handler and not outcome.steps and self.handlers[handler].module not in INCLUDES:
            self.forget.append(handler)
        self.given |= outcome.given
        values = {**outcome.facts, **self.kept(task, outcome)}
        if not outcome.awaited:
            self.decides(task, values, outcome.notified)
        self.set(values)
        position = (self.cursor.section, self.cursor.index)
        if outcome.built or outcome.apps:
            self.remember(task, outcome, position, handler)
        if outcome.included:
            if handler:
                _refuse_rescue(task, outcome.included)
            self.move(included=(*self.cursor.included, Included(outcome.included, handler=handler)))
            return
        self.passed(handler)
        self.flip()
        if outcome.flush:
            self.move(queue=())
        self.resets = self.resets or outcome.resets
        if outcome.leaves:
            self.leaves()

    def decides(self, task: Task, values: Mapping[str, Any], notified: tuple[str, ...]) -> None:
        """A task without steps sets values and notifies; behind steps, only once these are known to have gone well."""
        if self.awaited and (values or notified):
            before = {name: (self.dynamic[name],) if name in self.dynamic else () for name in values}
            self.awaited.append(Awaited(task, (), False, notify=notified, before=before))
        elif notified:
            self.move(notified=tuple(dict.fromkeys((*self.cursor.notified, *notified))))

    def leaves(self) -> None:
        """The host does nothing more in this play, and has not failed."""
        self.move(section=len(self.play.sections), index=0, included=(), frames=(), blocks={}, notified=())

    def remember(self, task: Task, outcome: Outcome, position: tuple[int, int], handler: str | None) -> None:
        """Environments that are built, for the flips, and apps that run."""
        self.move(
            built={**self.cursor.built, **{(item.root, item.name): item for item in outcome.built}},
            apps=(*self.cursor.apps, *outcome.apps),
            starter=task if outcome.apps else self.cursor.starter,
            flips=(*self.cursor.flips, *self.planned_flips(task, outcome.built, position, handler)),
        )

    def kept(self, task: Task, outcome: Outcome) -> dict[str, Any]:
        if task.register is None:
            return {}
        return {task.register: Pending(task.register) if outcome.awaited else outcome.registered}

    def set(self, facts: Mapping[str, Any]) -> None:
        if facts:
            self.dynamic |= facts
            self.scopes.changed()

    def advance(self) -> None:
        included = self.cursor.included
        if included:
            inner = replace(included[-1], index=included[-1].index + 1)
            self.move(included=(*included[:-1], inner))
        else:
            self.move(index=self.cursor.index + 1)

    def planned_flips(
        self, task: Task, built: Iterable[Built], position: tuple[int, int], handler: str | None
    ) -> Iterator[Flip]:
        """The link of an environment moves after the last task of the play that has an app in it."""
        for item in built:
            last = position
            for later, app in self.later_apps(position) if handler is None else ():
                if plan_task.may_use(app, item, self.scopes):
                    last = later
            yield Flip(last, item, task)

    def later_apps(self, position: tuple[int, int]) -> Iterator[tuple[tuple[int, int], Task]]:
        for section, content in enumerate(self.play.sections[position[0] :], position[0]):
            for index, first in enumerate(content.tasks):
                for task in every((first,)) if (section, index) >= position else ():
                    if task.module == "app" and selected(task, self.host.run):
                        yield (section, index), task

    def flip(self) -> None:
        """Add the flips that are due before the task at the cursor."""
        if not self.cursor.flips:
            return
        here = (self.cursor.section, self.cursor.index)
        due = [item for item in self.cursor.flips if item.position < here or self.cursor.queue is not None]
        for item in due:
            environment = Environment(self.play, self.host, self.scopes, self.cursor.built)
            self.adds_own(plan_task.flip(environment, item.task, item.built, self.cursor.next_id))
        self.move(flips=tuple(item for item in self.cursor.flips if item not in due))

    def adds_own(self, outcome: Outcome) -> None:
        """Take in a step that no task asks for."""
        self.steps += outcome.steps
        if outcome.awaited:
            self.awaited.append(outcome.awaited)
        self.move(next_id=self.cursor.next_id + len(outcome.steps))

    def watch_apps(self) -> None:
        """At the end of a section, behind its handlers, add the step that watches the apps that it started."""
        starter, apps = self.cursor.starter, dict.fromkeys(self.cursor.apps)
        handled = self.cursor.queue is None and not any(item.notify for item in self.awaited)
        if starter is None or not handled or self.cursor.frames or self.cursor.winding:
            return
        self.move(apps=(), starter=None)
        environment = Environment(self.play, self.host, self.scopes, self.cursor.built)
        self.adds_own(plan_task.settled(environment, starter, apps, self.cursor.next_id))

    def settle(self, results: Mapping[int, Result]) -> ProvisionError | None:
        """Judge what came back: register, notify, forget; the error of the first failure that is not ignored."""
        failed = None
        notified = dict.fromkeys(self.cursor.notified)
        trying = self.cursor.trying
        stopped: Awaited | None = None
        undone: list[Mapping[str, tuple[Any, ...]]] = []
        unrun: list[str] = []
        for awaited in self.cursor.awaited:
            if trying is not None:
                failed = self.settle_attempt(awaited, trying, results, notified)
                break
            if not awaited.asked:
                notified |= dict.fromkeys(awaited.notify if stopped is None else ())
                undone += [awaited.before] if stopped else []
                continue
            if not any(asked.step is None or _ran(results.get(asked.step)) for asked in awaited.asked):
                self.undo(awaited.task)
                stopped = stopped or awaited
                unrun += [awaited.handler] if awaited.handler else []
                continue
            values, changed, error = self.settle_task(awaited, results)
            if error:
                stopped = stopped or awaited
                error = self.keeps(error, awaited.task, values)
            failed = failed or error
            if awaited.handler and error is None and delegated(awaited.task):
                self.forget.append(awaited.handler)  # the host itself ran nothing that would clear it
            if changed:
                notified |= dict.fromkeys(awaited.notify)
            else:
                self.forget += [name for name in awaited.notify if name not in notified and awaited.task.changed_when]
            if awaited.task.register:
                self.set({awaited.task.register: values})
        for before in reversed(undone):
            self.restore(before)
        self.forget = [name for name in self.forget if name not in notified]
        once = self.cursor.once
        if once:
            name = once.register
            self.told = (once.key, Once({name: self.dynamic[name]} if name else {}, failed))
        self.move(notified=tuple(notified), awaited=(), once=None)
        if stopped:
            self.returns(stopped.handler, unrun)
        return failed

    def restore(self, before: Mapping[str, tuple[Any, ...]]) -> None:
        """What a task set that turns out not to have run is as it was, unless a result has meanwhile come for it."""
        for name, values in before.items():
            if not values:
                self.dynamic.pop(name, None)
            elif not isinstance(values[0], Pending):
                self.dynamic[name] = values[0]
        if before:
            self.scopes.changed()

    def undo(self, task: Task) -> None:
        """A task that did not run, as one before it failed, has set nothing and made nothing."""
        if task.register:
            self.dynamic.pop(task.register, None)
            self.scopes.changed()
        gone = {key for key, built in self.cursor.built.items() if built.task == task.key}
        self.move(
            built={key: built for key, built in self.cursor.built.items() if key not in gone},
            flips=tuple(item for item in self.cursor.flips if item.task.key != task.key),
            apps=tuple(app for app in self.cursor.apps if app[:2] not in gone),
        )

    def settle_attempt(
        self, awaited: Awaited, trying: Trying, results: Mapping[int, Result], notified: dict[str, None]
    ) -> ProvisionError | None:
        """Judge an attempt at a task: another one follows, or what it came to stands."""
        task, (asked,) = awaited.task, awaited.asked
        result = results.get(asked.step) if asked.step is not None else None
        if result is None:
            self.move(trying=None)
            return None
        values = values_of(result, awaited.check, asked.sensitive, asked.title)
        if task.until or task.retries is not None:
            values["attempts"] = trying.attempt
        try:
            if task.changed_when or task.failed_when:
                scope = self.scopes.inner(task, self.own(awaited, asked, values))
                result = judge(task, result, values, scope)
            # in a check nothing that is waited for comes about
            done = awaited.check or reached(task, values, self.own(awaited, asked, values), self.scopes)
            more = trying.attempt <= retries(task, self.scopes)
        except ProvisionError as wrong:
            return self.keeps(_with_task(wrong, task), task, values)
        if not done and more:
            self.repeats(asked.title, trying)
            return None
        if not done:
            values["attempts"] = trying.attempt - 1  # as Ansible counts where it gives up
        if not done and result.status != "failed":
            values["failed"] = True
            result = replace(result, status="failed", error=never_reached(task, trying.attempt))
        self.verdict(awaited, asked, result)
        if result.status == "changed":
            notified |= dict.fromkeys(awaited.notify)
        failed = trying.failed
        if result.status == "failed" and not awaited.ignore_errors:
            failed = failed or error_of(result, task.where, asked.title)
        kept = (*trying.kept, (asked, values))
        error = self.tried(task, replace(trying, kept=kept, failed=failed), awaited.items, awaited.handler)
        return self.keeps(error, task, values) if error else None

    def own(self, awaited: Awaited, asked: Asked, values: Registered) -> dict[str, Any]:
        """The names that a result brings to the conditions about it."""
        task = awaited.task
        return {**({task.register: values} if task.register else {}), **asked.names}

    def settle_task(self, awaited: Awaited, results: Mapping[int, Result]) -> tuple[Any, bool, ProvisionError | None]:
        kept: list[Any] = []
        changed, failed = False, None
        for asked in awaited.asked:
            if asked.step is None:
                kept.append((asked, asked.fields or {}))
                continue
            result = results.get(asked.step)
            if result is None or result.status == "skipped":
                continue
            values = values_of(result, awaited.check, asked.sensitive, asked.title)
            if awaited.task.changed_when or awaited.task.failed_when:
                try:
                    result = self.judged(awaited, asked, result, values)
                except ProvisionError as error:
                    failed = failed or _with_task(error, awaited.task)
                    result = replace(result, status="failed", error={"summary": error.summary})
                    self.verdict(awaited, asked, result)
            kept.append((asked, values))
            changed = changed or result.status == "changed"
            if result.status == "failed" and not awaited.ignore_errors:
                failed = failed or error_of(result, awaited.task.where, asked.title)
        return registered(awaited, kept), changed, failed

    def judged(self, awaited: Awaited, asked: Asked, result: Result, values: Registered) -> Result:
        task = awaited.task
        scope = self.scopes.inner(task, self.own(awaited, asked, values))
        try:
            result = judge(task, result, values, scope)
        except KnownAfterApply:
            pass
        self.verdict(awaited, asked, result)
        return result

    def verdict(self, awaited: Awaited, asked: Asked, result: Result) -> None:
        ignored = result.status == "failed" and awaited.ignore_errors
        result = hidden_fields(result) if asked.sensitive else result
        self.verdicts.append(
            StepEnded(
                self.host.host,
                asked.title,
                awaited.task.where,
                result,
                ignored=ignored,
                handler=bool(awaited.handler),
                rescued=result.status == "failed" and not ignored and rescued_by(self.cursor.frames),
            )
        )

    def batch(
        self,
        *,
        failed: ProvisionError | None = None,
        barrier: bool = False,
        done: bool = False,
        meets: str = "",
        behind: str = "",
    ) -> tuple[Batch, Cursor]:
        cursor = replace(self.cursor, facts=self.dynamic, awaited=tuple(self.awaited))
        stands = not self.steps or failed is not None
        batch = Batch(
            steps=() if failed else tuple(self.steps),
            verdicts=tuple(self.verdicts),
            blobs=self.blobs,
            barrier=barrier and not done and not failed,
            done=done or failed is not None,
            failed=failed,
            forget=tuple(dict.fromkeys(self.forget)),
            position=self.position if stands else self.settled,
            known=dict(self.dynamic) if stands else self.known,
            meets=meets,
            behind=behind,
            throttle=self.apart.throttle if self.steps else None,
            told=self.told,
            given=self.given,
            wait=self.wait,
            notes=tuple(self.notes),
            resets=self.resets,
        )
        return batch, cursor


def _ran(result: Result | None) -> bool:
    return result is not None and result.status != "skipped"


def _refuse_rescue(task: Task, included: Iterable[Task]) -> None:
    if any(inner.frames for inner in included):
        raise ProvisionError(
            "a handler's tasks cannot be in blocks with `rescue` or `always`",
            where=task.where,
            context=f'task "{task.title}"',
            hint="notify a handler for each of them, or use `ignore_errors`",
        )


def _with_task(error: ProvisionError, task: Task) -> ProvisionError:
    if not error.context:
        error.context = f'task "{task.title}"'
    if error.where is None:
        error.where = task.where
    error.exit_code = 2
    return error
