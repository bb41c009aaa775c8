"""The one converge loop: observe, decide, apply, and where something was done observe and decide again.

Runs in a process of its own for one user (`crew.py` makes it). Must not know any resource or what a step is for.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, Tuple

from . import expected, questions, shown
from .line import Line
from .pending import Pending, rested
from .protocol import HostEvent, Output, Progress, Result, Started, Step
from .resource import Action, Emit, Refusal
from .resources import load
from .spawn import Cancelled
from .system import System

__all__ = ["Outcome", "converge", "live", "serve"]

_OUTPUT = 32 * 1024
_PROGRESS_EVERY = 0.2


class Outcome:
    """What a step came to so far; whole also when it fails in the middle."""

    def __init__(self) -> None:
        self.actions: List[Action] = []
        self.fields: Dict[str, Any] = {}


def live(reads: int, writes: int, lock: int, key: bytes, facts: Dict[str, Any], state: str) -> None:
    """A worker's life: serve the pump over two pipes until it is gone."""
    import signal

    line = Line(reads, writes, lock)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, lambda *_: line.interrupt())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    system = System(line.blob, facts=facts, state_directory=state, watch=line, pending=Pending())
    try:
        serve(line, system, key)
    except Cancelled:
        pass


def serve(line: Line, system: System, key: bytes) -> None:
    """Run what the pump sends, until it is gone or the run is cancelled."""
    steps: List[Step] = []
    while True:
        message = line.receive()
        if message["type"] == "step":
            steps.append(Step(**message["step"]))
        elif message["type"] == "run":
            system.pending.update(message["pending"])
            system.notes.update(message["notes"])
            stopped, failed = _run_all(steps, system, line, key, message["failed"])
            shared = {name: note for name, note in system.notes.items() if not isinstance(note, bytes)}
            ended = {"type": "done", "stopped": stopped, "failed": failed}
            line.send({**ended, "pending": sorted(system.pending), "notes": shared})
            steps = []


def _run_all(steps: List[Step], system: System, line: Line, key: bytes, failed: bool = False) -> Tuple[bool, bool]:
    """Run steps in order; whether the rest is stopped, and whether one failed that stops it later."""
    for index, step in enumerate(steps):
        if line.stopping():
            return True, failed
        _ask_together(steps[index:], system)
        result = _perform(step, system, line, key)
        line.event(result)
        failed = failed or (result.status == "failed" and step.on_failure != "continue")
        if failed and step.on_failure != "later":
            return True, failed
    return False, failed


def _ask_together(steps: List[Step], system: System) -> None:
    """Before a step that asks, ask what it and all steps behind it want to know, where that is not known."""
    wanted = _questions(steps[0])
    if any(question not in system.answers for question in wanted):
        everything = [question for step in steps for question in _questions(step)]
        questions.answer(system, [question for question in everything if question not in system.answers])


def _questions(step: Step) -> Any:
    try:
        module = load(step.resource)
        ask = getattr(module, "questions", None)
        return ask(module.Spec(**step.spec)) if ask else []
    except (KeyError, TypeError, ValueError, Refusal):
        return []  # the step itself fails with it


def _perform(step: Step, system: System, line: Line, key: bytes) -> Result:
    line.event(Started(step.id))
    began, outcome, failure = time.monotonic(), Outcome(), None
    system.environment, system.check, system.depth = step.environment, step.check, step.depth
    system.trust = step.trust

    def agreed(actions: List[Action]) -> None:
        if step.expected is not None:
            refusal = expected.against(step.expected, shown.actions(actions, step, key), key)
            if refusal is not None:
                raise refusal

    rested(system.pending)
    try:
        converge(step, system, _emit(step, line), _before(step, line), outcome, agreed)
    except Refusal as refusal:
        failure = refusal
        outcome.fields.update(refusal.fields)
    except Cancelled:
        failure = Refusal("cancelled", "the run ended while this step ran", "run again: it continues where it stopped")
    except Exception as error:
        failure = _unexpected(step, error)
    finally:
        line.action("")
    status = "failed" if failure else "changed" if outcome.actions else "ok"
    fields, cut = shown.cut(outcome.fields)
    return Result(
        step=step.id,
        status=status,
        actions=shown.actions(outcome.actions, step, key),
        fields=fields,
        error=shown.error(failure, step) if failure else None,
        seconds=round(time.monotonic() - began, 4),
        cut=cut,
        simulated=bool(fields.get("simulated") or step.spec.get("simulated")),
        foretold=step.check and rested(system.pending),
        unknown=step.check and any(action.unknown for action in outcome.actions),
    )


def converge(
    step: Step,
    system: System,
    emit: Emit,
    before: Callable[[Action], None],
    outcome: Outcome,
    agreed: Callable[[List[Action]], None] = lambda _: None,
) -> None:
    """Bring one step to where it should be, noting in `outcome` what was done; in check mode only what would be.

    `agreed` is called with all actions before the first, and `before` before each. Raises Refusal, Cancelled, and
    whatever a resource did not foresee.
    """
    module, spec = _understood(step)
    state = module.observe(spec, system)
    actions = module.decide(spec, state)
    if step.check:
        outcome.actions = list(actions)
        system.pending.update(action.target for action in actions)
    elif actions:
        agreed(actions)
        for action in actions:
            before(action)
            outcome.actions.append(action)
            try:
                outcome.fields.update(module.apply(action, system, emit) or {})
            finally:
                system.answers.clear()
        state = module.observe(spec, system)
        _require_right(step, actions, module.decide(spec, state))
    if hasattr(module, "fields"):
        # what an action said of itself stands: a command that ran is not told as one that its `creates` kept from it
        outcome.fields = {**module.fields(spec, state), **outcome.fields}
    if hasattr(module, "probe") and not (step.check and actions):
        outcome.fields.update(module.probe(spec, state, system, emit) or {})


def _understood(step: Step) -> Any:
    try:
        module = load(step.resource)
    except KeyError:
        raise Refusal("this agent has no resource `%s`" % step.resource, hint="report this: it is a fault") from None
    try:
        return module, module.Spec(**step.spec)
    except (TypeError, ValueError) as error:
        raise Refusal("`%s` does not take what the step says" % step.resource, str(error)) from None


def _require_right(step: Step, done: List[Action], still: List[Action]) -> None:
    """Fail the step when a difference is still there; acts are judged by their own result."""
    left = [action for action in still if not action.verb.act]
    if not left:
        return
    lines = ["still to %s: %s" % (action.verb.word, action.target) for action in left]
    tried = ", ".join(sorted({"`%s`" % action.verb.word for action in done}))
    raise Refusal(
        "`%s` is not as wanted after %s" % (left[0].target, tried),
        "\n".join(lines),
        "look for what changes it back, such as another tool or a service; else `%s` has a fault" % step.resource,
    )


def _before(step: Step, line: Line) -> Callable[[Action], None]:
    """What precedes each action: no cancel, handlers in the journal first, and the pump knows what it must await."""
    first = [True]

    def before(action: Action) -> None:
        line.flush()
        line.action("")
        if line.cancelled():
            raise Cancelled
        if first[0] and step.notify:
            line.ask({"type": "journal", "step": step.id})
        first[0] = False
        if action.must_finish:
            from .scope import leave_session

            leave_session("%s %s" % (action.verb.word, action.target))
        line.action("%s %s" % (action.verb.word, action.target) if action.must_finish else "")

    return before


def _emit(step: Step, line: Line) -> Emit:
    """An `emit` for the actions of a step: output as it comes, progress a few times a second."""
    last = [0.0]

    def emit(**what: Any) -> None:
        for event in _events(step, last, what):
            line.event(event)

    return emit


def _events(step: Step, last: List[float], what: Dict[str, Any]) -> List[HostEvent]:
    if "output" in what:
        text = "" if step.sensitive else str(what["output"])
        stream = str(what.get("stream", "stdout"))
        return [Output(step.id, stream, text[start : start + _OUTPUT]) for start in range(0, len(text), _OUTPUT)]
    done, total = what.get("done", 0), what.get("total", 0)
    now = time.monotonic()
    if now - last[0] < _PROGRESS_EVERY and done != total:
        return []
    last[0] = now
    return [Progress(step.id, done, total, str(what.get("unit", "")), str(what.get("label", "")))]


def _unexpected(step: Step, error: Exception) -> Refusal:
    """A fault of the agent, or an operating system that said no where nobody expected it."""
    import traceback

    where = "".join(traceback.format_tb(error.__traceback__)[-6:]).rstrip()
    told = "%s: %s" % (type(error).__name__, error)
    if isinstance(error, OSError):
        return Refusal("`%s` failed: %s" % (step.resource, error), "%s\n%s" % (told, where), "")
    return Refusal("`%s` failed unexpectedly" % step.resource, "%s\n%s" % (told, where), "report this: it is a fault")
