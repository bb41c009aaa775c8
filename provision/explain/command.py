"""What `--explain HOST TASK` reads of stored facts, and how it is printed; contacts no host."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from provision import fact_store
from provision.explain.finding import explained
from provision.explain.parts import Explanation
from provision.explain.text import document, lines
from provision.inventory import Inventory
from provision.playbook import Play
from provision.printable import printable
from provision.prompted import LABEL as ASKED
from provision.report.line import Line, printer
from provision.scopes import Run
from provision.variables import Layer, Pending

__all__ = ["tell"]


class Stored(dict[str, Mapping[str, Any]]):
    """The stored facts of all hosts, each read when it is asked for."""

    def __init__(self, inventory: Inventory) -> None:
        super().__init__()
        self._inventory = inventory

    def get(self, host: str, default: Any = None) -> Any:
        """A host's facts, `default` where none are stored."""
        if host not in self:
            kept = fact_store.known(self._inventory, host)
            self[host] = kept["facts"] if kept else {}
        return self[host] or default


def tell(
    plays: Sequence[Play], hosts: Sequence[tuple[str, ...]], run: Run, asked: tuple[str, str], *, as_document: bool
) -> None:
    """Explain a task of a host on standard output, as text or as a document; raises ProvisionError."""
    # imported here: all that is shown goes through it, whatever was secret
    from provision.secret.known import clean

    host, wanted = asked
    run = replace(run, facts_of=Stored(run.inventory))
    found = explained([_unasked(play) for play in plays], hosts, run, host, wanted)
    kept = fact_store.known(run.inventory, host)
    if as_document:
        whole = {"host": host, "facts_of": kept["time"] if kept else None, "tasks": [document(one) for one in found]}
        print(json.dumps(clean(json.loads(json.dumps(whole, default=str))), indent=2, ensure_ascii=False))
        return
    out = printer(sys.stdout)
    for line in _whole(host, kept, found):
        parts = [(clean(printable(text)), style) for text, style in map(_styled, line.parts)]
        out.print(Line(*parts, style=line.style))


def _styled(part: str | tuple[str, str]) -> tuple[str, str]:
    return (part, "") if isinstance(part, str) else part


def _unasked(play: Play) -> Play:
    """The play with what is asked for before it known only in a run."""
    layers = (
        Layer(ASKED, {name: Pending(name) for name in layer.values}) if layer.label == ASKED else layer
        for layer in play.variables
    )
    return replace(play, variables=tuple(layers)) if play.prompts else play


def _whole(host: str, kept: Mapping[str, Any] | None, found: Sequence[Explanation]) -> Iterator[Line]:
    for one in found:
        yield from lines(host, one)
        yield Line()
    said = f"facts of {host} are {_age(time.time() - kept['time'])} old" if kept else f"no facts of {host} are stored"
    yield Line((f"{said}; no host was contacted", "dim"))


def _age(seconds: float) -> str:
    for size, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {word}{'' if count == 1 else 's'}"
    return "less than a minute"
