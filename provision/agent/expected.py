"""Whether what a step would do now is what a saved plan says; asked on the host before it acts, and on both sides.

Pure. `found` are actions as they are reported: a secret in them is a keyed hash already.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

from . import shown
from .resource import Refusal

__all__ = ["Expected", "against", "differences"]

Expected = List[Dict[str, Any]]
"""Actions as a plan holds them. One without `before` and `after` rests on what earlier steps change: it is compared by
what it does, and to what."""
_LINES = 12
_WIDTH = 200


def against(expected: Expected, found: Sequence[Dict[str, Any]], key: bytes) -> Optional[Refusal]:
    """Why a step must not act; None where the plan holds all that it would do."""
    told = differences(expected, found, key, missing=False)
    if not told:
        return None
    return Refusal(
        "`%s` is not as the plan says" % told[0][0],
        "\n".join(line for _, lines in told for line in lines),
        "nothing of this step was done: look at what changes it, and make a new plan",
    )


def differences(
    expected: Expected, found: Sequence[Dict[str, Any]], key: bytes, missing: bool = True
) -> List[Tuple[str, List[str]]]:
    """What differs, as (target, lines that say how); `missing`: also what is planned and would not be done.

    `key` is the plan's: what it holds as a keyed hash is compared by that.
    """
    told = []
    left = list(expected)
    for action in found:
        planned = next((each for each in left if _same(each, action, key)), None)
        if planned is not None:
            left.remove(planned)
            continue
        planned = next((each for each in left if _equal(each["target"], action["target"], key)), None)
        if planned is not None:
            left.remove(planned)
        told.append((str(action["target"]), _lines(planned, action)))
    for planned in left if missing else ():
        told.append((str(planned["target"]), _lines(planned, None)))
    return told


def _same(planned: Dict[str, Any], action: Dict[str, Any], key: bytes) -> bool:
    if planned["verb"] != action["verb"]:
        return False
    sides = [side for side in ("target", "before", "after") if side in planned]
    return all(_equal(planned[side], action.get(side), key) for side in sides)


def _equal(one: Optional[str], other: Optional[str], key: bytes) -> bool:
    """Whether two texts are the same, of which either may be hidden: there as its hash."""
    if one == other:
        return True
    if one is None or other is None:
        return False
    return (one.startswith("<") and shown.summed_up(other, key) == one) or (
        other.startswith("<") and shown.summed_up(one, key) == other
    )


def _lines(planned: Optional[Dict[str, Any]], action: Optional[Dict[str, Any]]) -> List[str]:
    head = "%s: planned to %s" % _said(planned) if planned else "%s: the plan leaves it" % (action or {}).get("target")
    if action is None:
        return [head + ", and now there is nothing to do"]
    if planned is None:
        return [
            head + ", and now it would be to %s" % action["verb"],
            *_diff(action.get("after"), action.get("before")),
        ]
    if planned["verb"] != action["verb"]:
        head += ", and now it would be to %s" % action["verb"]
    lines = [head]
    for side, word in (("before", "what is there has changed:"), ("after", "what it would become has changed:")):
        if side in planned and planned[side] != action.get(side):
            lines += [word, *_diff(planned[side], action.get(side))]
    return lines


def _said(planned: Optional[Dict[str, Any]]) -> Tuple[Any, Any]:
    return (planned or {}).get("target"), (planned or {}).get("verb")


def _diff(before: Optional[str], after: Optional[str]) -> List[str]:
    # imported here: only where something differs
    import difflib

    pair = [(text if text is not None else "(nothing there)").splitlines() for text in (before, after)]
    lines = [
        line for line in difflib.unified_diff(pair[0], pair[1], lineterm="", n=0) if line[:2] not in ("--", "++", "@@")
    ]
    cut = ["  " + line[:_WIDTH] for line in lines[:_LINES]]
    return cut + (["  … and %d more lines" % (len(lines) - _LINES)] if len(lines) > _LINES else [])
