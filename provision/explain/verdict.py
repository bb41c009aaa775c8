"""Whether a task would run on a host, and why: the first thing that keeps it from running, or all that may.

Pure: of what was found of the task.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from provision.agent.record import record
from provision.explain.names import Name
from provision.explain.parts import Seen, Surrounding, Tested, Used
from provision.playbook import Play, Task
from provision.scopes import Scopes

__all__ = ["Found", "verdict"]


@record(frozen=True, slots=True)
class Found:
    """What decides. `elsewhere`: why another host does it. `handler`: the titles of who notifies it, None for a task.

    `wrong_loop`: why its loop is an error.
    """

    task: Task
    scopes: Scopes
    selected: bool
    around: Sequence[Surrounding]
    conditions: Sequence[Tested]
    uses: Sequence[Used]
    names: Mapping[str, Name]
    elsewhere: str
    handler: Sequence[str] | None
    items: int | None
    wrong_loop: str
    seen: Seen


def verdict(found: Found) -> tuple[str, list[str]]:
    """ "runs", "not", "depends" or "fails", and the reasons."""
    depends: list[str] = []
    for state, reason in _effects(found):
        if state == "not" or (state == "fails" and not depends):
            return state, [reason]
        depends.append(reason)
    if depends:
        return "depends", depends
    lacking = list(dict.fromkeys(reason for use in found.uses for reason in _lacking(use, found.names)))
    if lacking:
        return "fails", lacking
    return "runs", [f"`{one.expression}` is {one.why}" for one in found.conditions if one.state == "mixed"]


def _lacking(use: Used, names: Mapping[str, Name]) -> Iterator[str]:
    for name in use.needed:
        if names[name].state == "undefined":
            yield f"variable `{name}` is undefined, which {use.part} needs"
        elif names[name].state == "wrong":
            yield f"`{name}`, which {use.part} needs: {names[name].why}"


def _effects(found: Found) -> Iterator[tuple[str, str]]:
    """All that keeps the task from running, or may, in the order in which a run looks at it."""
    host = found.scopes.host
    if host.host not in host.play_hosts:
        yield "not", _not_for(found.scopes.play, host.host, found.seen.limit)
    # a handler may have run before, by `meta: flush_handlers`
    for task, surely in found.seen.ended if found.handler is None else ():
        word = f"`meta: {task.arguments.get('free_form')}` at {task.where}"
        yield ("not", f"{word} comes before it") if surely else ("depends", f"{word} comes before it, and may run")
    if not found.selected:
        yield "not", _left_out(found.task, found.scopes)
    for each in found.around:
        if each.unselected:
            yield "not", f"its {each.kind} at {each.where} is left out by its tags"
        if each.otherwise:
            yield "not", each.otherwise
        yield from _of_conditions(each.conditions)
    if any(frame.part == "rescue" for frame in found.task.frames):
        yield "depends", "it is in `rescue`, which runs where something in its block fails"
    if found.handler is not None:
        names = ", ".join(f"`{title}`" for title in found.handler)
        if not names:
            yield "not", "it is a handler that no task notifies"
        yield "depends", f"it is a handler: it runs where one of these changes something: {names}"
    if found.elsewhere:
        yield "not", found.elsewhere
    if found.wrong_loop:
        yield "fails", found.wrong_loop
    elif found.items == 0:
        yield "not", "its loop has no items"
    elif found.task.loop is not None and found.items is None:
        yield "depends", "what its loop goes over is known only when it runs"
    yield from _of_conditions(found.conditions)


def _of_conditions(conditions: Iterable[Tested]) -> Iterator[tuple[str, str]]:
    for one in conditions:
        if one.state == "false":
            yield "not", f"`{one.expression}` is false"
        elif one.state == "wrong":
            yield "fails", f"`{one.expression}`: {one.why}"
        elif one.state == "later":
            yield "depends", f"`{one.expression}` is known only in a run" + (f" ({one.why})" if one.why else "")


def _not_for(play: Play, host: str, limit: str | None) -> str:
    limited = f", limited to `{limit}`" if limit else ""
    return f"the play is for `{play.hosts}`{limited}, and {host} is not among them"


def _left_out(task: Task, scopes: Scopes) -> str:
    run = scopes.host.run
    has = f"it has the tags {', '.join(f'`{tag}`' for tag in sorted(task.tags))}" if task.tags else "it has no tags"
    if run.skip_tags and (task.tags & run.skip_tags or not run.tags):
        return f"--skip-tags {','.join(sorted(run.skip_tags))} leaves it out: {has}"
    if run.tags:
        return f"--tags {','.join(sorted(run.tags))} leaves it out: {has}"
    return "it has the tag `never`, and no `--tags` names it"
