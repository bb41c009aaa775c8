"""What a task says of the hosts around the one that it is for: run once, elsewhere, few at a time, fatal for all.

Owns how these words are taken over from blocks, imports, role entries and the play. Pure; renders nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from provision.agent.record import record
from provision.errors import Mark, ProvisionError
from provision.source import Mapping, Template, nearest

__all__ = ["HERE", "ORDERS", "Among", "among_of", "of_play", "refuse_order", "refuse_strategy"]

HERE = ("localhost", "127.0.0.1", "::1")
"""Names of the machine that `provision` runs on."""
ORDERS = ("inventory", "reverse_inventory", "sorted", "reverse_sorted", "shuffle")


@record(frozen=True, slots=True)
class Among:
    """The words of a task, as they are written; a template may stand for any but `delegate_to`.

    `throttle_at` is where `throttle` is written: tasks that take it over from one place share their limit.
    """

    any_errors_fatal: Any = False
    throttle: Any = None
    throttle_at: Mark | None = None
    ignore_unreachable: Any = False
    run_once: Any = False
    delegate_to: str | None = None
    delegate_facts: Any = False


def among_of(item: Mapping, outer: Among) -> Among:
    """The words inside of a task, block, import or role entry; raises ProvisionError for another host."""
    own = {
        name: item[name]
        for name in ("any_errors_fatal", "ignore_unreachable", "run_once", "delegate_to", "delegate_facts", "throttle")
        if item.get(name) is not None
    }
    if not own:
        return outer
    if "throttle" in own:
        own["throttle_at"] = item.key_mark("throttle")
        _refuse_throttle(own["throttle"], item)
    if "delegate_to" in own:
        _refuse_elsewhere(own["delegate_to"], item)
    return replace(outer, **own)


def of_play(item: Mapping) -> Among:
    """What all tasks of a play take over from it."""
    return among_of(item, Among())


def _refuse_throttle(value: Any, item: Mapping) -> None:
    if isinstance(value, int) and value < 0:
        raise ProvisionError("`throttle` is a number of hosts", where=item.value_mark("throttle"))


def _refuse_elsewhere(value: Any, item: Mapping) -> None:
    if not isinstance(value, Template) and value in HERE:
        return
    raise ProvisionError(
        f"a task cannot be delegated to `{value}`",
        where=item.value_mark("delegate_to"),
        cause="only the machine that provision runs on can do a task in the place of a host",
        hint="`delegate_to: localhost`; or a play of its own for that host",
    )


def refuse_order(item: Mapping) -> None:
    """Raises ProvisionError for an `order` of hosts that does not exist."""
    value = item.get("order")
    if value is not None and value not in ORDERS:
        raise ProvisionError(
            f"`order` cannot be `{value}`",
            where=item.value_mark("order"),
            context="play",
            hint=nearest(str(value), set(ORDERS)) or f"one of {', '.join(ORDERS)}",
        )


def refuse_strategy(item: Mapping) -> None:
    """Raises ProvisionError for a `strategy` that hosts do not follow here."""
    value = item.get("strategy")
    if value in (None, "linear", "ansible.builtin.linear"):
        return
    raise ProvisionError(
        f"the strategy `{value}` is not supported",
        where=item.value_mark("strategy"),
        context="play",
        cause="hosts wait for each other at the end of pre_tasks, tasks and post_tasks, and nowhere else",
        hint="leave `strategy` out",
    )
