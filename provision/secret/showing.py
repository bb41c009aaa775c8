"""The boundary between a run and its reports: events leave without secrets.

Owns what holds one event beside the next: output comes in pieces, and a secret may stand across two of them. Must not
know what shows events. Where no secret was made, what knows them is not even loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from provision.events import Event, HostEnded, HostFailed, HostUnreachable, StepEnded, StepOutput

__all__ = ["Showing"]

_LONGEST_LINE = 64 * 1024
"""Characters of a line without an end that are held back."""


class Showing:
    """Passes events on, cleaned; those of one host come in order, from one thread at a time."""

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self._held: dict[tuple[str, int, str], str] = {}

    def emit(self, event: Event) -> None:
        """Take one event of the run."""
        known: Any = sys.modules.get("provision.secret.known")
        if known is None:
            self._emit(event)
        elif isinstance(event, StepOutput) and known.KNOWN:
            self._output(event, known.clean)
        else:
            if isinstance(event, StepEnded | HostFailed | HostUnreachable | HostEnded):
                self._flush(event.host, known.clean)
            self._emit(known.clean(event))

    def _output(self, event: StepOutput, clean: Callable[[Any], Any]) -> None:
        """Whole lines go on; the begun one waits for its rest."""
        key = (event.host, event.step, event.stream)
        text = self._held.pop(key, "") + event.text
        end = max(text.rfind("\n"), text.rfind("\r")) + 1
        if len(text) - end > _LONGEST_LINE:
            end = len(text)
        if text[end:]:
            self._held[key] = text[end:]
        if text[:end]:
            self._emit(clean(replace(event, text=text[:end])))

    def _flush(self, host: str, clean: Callable[[Any], Any]) -> None:
        for key in [key for key in self._held if key[0] == host]:
            self._emit(clean(StepOutput(key[0], key[1], key[2], self._held.pop(key))))
