"""What a host sends, checked in form and made plain, before anybody uses it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from provision.agent.protocol import (
    Fatal,
    HostEvent,
    Need,
    Output,
    Progress,
    ProtocolError,
    Ready,
    Result,
    from_message,
)
from provision.printable import printable

__all__ = ["checked"]

_STATUSES = ("ok", "changed", "failed", "skipped")
_ERROR = ("summary", "cause", "hint")


def checked(message: Mapping[str, Any]) -> HostEvent:
    """The event of a message, with everything plain that is meant for people; ProtocolError on a wrong form.

    A result's registered fields stay what they are: whoever shows one makes it plain.
    """
    event = from_message(dict(message))
    if isinstance(event, Result):
        _require(event.status in _STATUSES, "a result with an unknown status")
        _require(all(_is_action(action) for action in event.actions), "a result with a wrong action")
        _require(event.error is None or _is_error(event.error), "a result with a wrong error")
        _require(_are_texts(event.cut), "a result with a wrong cut")
        if not (event.actions or event.error or event.cut):
            return event
        return replace(event, actions=_deep(event.actions), error=_deep(event.error), cut=_deep(event.cut))
    if isinstance(event, Output):
        return replace(event, text=printable(event.text), stream=printable(event.stream))
    if isinstance(event, Progress):
        return replace(event, label=printable(event.label), unit=printable(event.unit))
    if isinstance(event, Fatal):
        return Fatal(printable(event.kind), printable(event.summary), printable(event.cause), printable(event.hint))
    if isinstance(event, Ready):
        _require(_are_texts(event.pending), "a wrong list of handlers")
        return replace(event, facts=_deep(event.facts), pending=_deep(event.pending))
    if isinstance(event, Need):
        _require(_are_texts(event.sha256), "a wrong list of content")
    return event


def _require(right: bool, what: str) -> None:
    if not right:
        raise ProtocolError(what)


def _is_action(action: Any) -> bool:
    return (
        isinstance(action, dict)
        and set(action) == {"verb", "target", "before", "after"}
        and isinstance(action["verb"], str)
        and isinstance(action["target"], str)
        and all(isinstance(action[side], str | None) for side in ("before", "after"))
    )


def _is_error(error: Mapping[str, Any]) -> bool:
    return set(error) == set(_ERROR) and all(isinstance(error[key], str) for key in _ERROR)


def _are_texts(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _deep(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_deep(inner) for inner in value]
    if isinstance(value, dict):
        return {printable(key): _deep(inner) for key, inner in value.items()}
    return value
