"""Includes: keywords that may stand beside them, roles that a loop names, tasks that are read once for all hosts.

Owns what is known of an include before a run. Reads no file itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING

from provision.errors import ProvisionError
from provision.playbook import LoopControl
from provision.source import Mapping, Template

if TYPE_CHECKING:
    from provision.playbook import Task

__all__ = ["Load", "once", "refuse_keywords", "role_names"]

Load = Callable[[str], "tuple[Task, ...]"]
"""Gives the tasks of a file or role by its name; raises ProvisionError."""

_WORDS = frozenset(
    ("name", "when", "loop", "loop_control", "vars", "tags", "ignore_errors", "no_log", "register", "run_once", "args")
)
_OWN = frozenset(("until", "retries", "delay", "changed_when", "failed_when", "listen"))
"""Keywords of single tasks, which `apply` does not take either."""
_NAME = re.compile(r"\{\{\s*(\w+)(?:\.(\w+))?\s*\}\}")


def refuse_keywords(word: str, item: Mapping, key: str, *, handler: bool) -> None:
    """Raises ProvisionError for keywords that an include does not pass on to its tasks; `handler`: it is one itself."""
    for name in item:
        if name == key or name in _WORDS or name.startswith("with_") or (handler and name == "listen"):
            continue
        place = "on the tasks that are included" if name in _OWN else "into `apply`, which is for the tasks included"
        raise ProvisionError(f"`{word}` has no `{name}`", where=item.key_mark(name), hint=f"write it {place}")
    control = item.get("loop_control")
    for name in ("pause", "break_when"):
        if isinstance(control, Mapping) and name in control:
            raise ProvisionError(
                f"`{name}` of an include is not supported",
                where=control.key_mark(name),
                cause="all items are looked at before the first task that is included",
            )


def role_names(name: Template, item: Mapping) -> list[str]:
    """The roles that a name comes to over a loop that is written out; raises ProvisionError for any other template."""
    loop, control = item.get("loop"), item.get("loop_control")
    variable = control.get("loop_var", LoopControl.loop_var) if isinstance(control, Mapping) else LoopControl.loop_var
    found = [_filled(name, variable, value) for value in loop] if isinstance(loop, list) else [None]
    names = [one for one in found if one is not None]
    if len(names) < len(found) or not names:
        raise ProvisionError(
            "which role is included must be known before any host is",
            where=name.mark,
            cause=f"`{name}` may come to any name",
            hint="write the names as a list in `loop`, or include each role by its name, with `when`",
        )
    return list(dict.fromkeys(names))


def _filled(name: Template, variable: str, value: object) -> str | None:
    """The name with an item's value in it; None where it is made of anything else."""
    missing = False

    def of_item(found: re.Match[str]) -> str:
        nonlocal missing
        chosen = value.get(found[2]) if found[2] and isinstance(value, dict) else None if found[2] else value
        missing = missing or found[1] != variable or not isinstance(chosen, str) or isinstance(chosen, Template)
        return "" if missing else str(chosen)

    filled = _NAME.sub(of_item, str(name))
    return None if missing or "{{" in filled or "{%" in filled else filled


def once(load: Load, lock: Lock) -> Load:
    """The same, read once for all hosts; `lock` is that of all readers of one playbook."""
    known: dict[str, tuple[Task, ...]] = {}

    def load_once(name: str) -> tuple[Task, ...]:
        with lock:
            if name not in known:
                known[name] = load(name)
            return known[name]

    return load_once
