"""What leaves the host: how an action, an error and registered fields are shown, cut to size, or hidden.

Must not decide whether a step is sensitive. Nothing here raises.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Callable, Dict, List, Optional, Tuple

from .protocol import FIELD_LIMIT, MAX_FRAME, SHOWN_LIMIT, Step
from .resource import Action, Refusal

__all__ = ["actions", "cut", "error", "summed_up"]

_RESULT_LIMIT = MAX_FRAME - 128 * 1024
"""Bytes that all fields of a result may have together: it travels in one frame, with its actions."""
_ACTIONS_LIMIT = 96 * 1024
_SHORTEST_SECRET = 4


def actions(done: List[Action], step: Step, key: bytes) -> List[Dict[str, Any]]:
    """Actions as they are reported: without arguments, and of a sensitive step without content."""
    shown, total = [], 0
    for action in done:
        before = _content(action.before, step.sensitive, key)
        after = _content(action.after, step.sensitive, key)
        total += len(before or "") + len(after or "")
        if total > _ACTIONS_LIMIT:
            before, after = _summary(action.before), _summary(action.after)
        shown.append({"verb": action.verb.word, "target": action.target, "before": before, "after": after})
    return shown


def _content(text: Optional[str], sensitive: bool, key: bytes) -> Optional[str]:
    if text is None:
        return None
    if sensitive:
        return summed_up(text, key)
    binary = "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text)
    return _summary(text) if binary or len(text) > SHOWN_LIMIT or len(_bytes(text)) > SHOWN_LIMIT else text


def _summary(text: Optional[str]) -> Optional[str]:
    if text is None:
        return None
    data = _bytes(text)
    return "<%d bytes, sha256 %s>" % (len(data), hashlib.sha256(data).hexdigest()[:16])


def summed_up(text: str, key: bytes) -> str:
    """Length of a secret text and its hash under this run's key, so that equal ones can be seen to be equal."""
    data = _bytes(text)
    return "<%d bytes, keyed hash %s>" % (len(data), hashlib.blake2b(data, key=key[:64], digest_size=8).hexdigest())


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def error(refusal: Refusal, step: Step) -> Dict[str, Any]:
    """A failure as it is reported; of a sensitive step without any word that its spec holds."""
    hide = _hider(step.spec) if step.sensitive else _same
    return {
        "summary": hide(refusal.summary)[:2000],
        "cause": hide(refusal.cause)[-20000:],
        "hint": hide(refusal.hint)[:4000],
    }


def _same(text: str) -> str:
    return text


def _hider(spec: Dict[str, Any]) -> Callable[[str], str]:
    # a spec that keeps its secrets apart names them; of any other, every word may be one
    apart = {name: spec[name] for name in ("secrets", "variables") if name in spec} if spec.get("secrets") else spec
    words = sorted(_words(apart), key=len, reverse=True)

    def hide(text: str) -> str:
        for word in words:
            text = text.replace(word, "***")
        return text

    return hide


def _words(value: Any) -> List[str]:
    """Texts of a spec, whole and word by word; a path tells where something is, and is no secret."""
    if isinstance(value, dict):
        return [word for inner in value.values() for word in _words(inner)]
    if isinstance(value, list):
        return [word for inner in value for word in _words(inner)]
    if not isinstance(value, str) or (value.startswith("/") and " " not in value):
        return []
    apart = value
    for sign in "=:,;\"'&@?":
        apart = apart.replace(sign, " ")
    return [word for word in {value, *value.split(), *apart.split()} if len(word) >= _SHORTEST_SECRET]


def cut(fields: Dict[str, Any]) -> Tuple[Dict[str, Any], List[str]]:
    """Fields that fit into a result, and the names of those that were cut for it."""
    sizes = {name: _size(value) for name, value in fields.items()}
    if sum(sizes.values()) <= FIELD_LIMIT:
        return fields, []
    kept, shortened, limit = dict(fields), set(), FIELD_LIMIT
    while True:
        for name in [name for name, size in sizes.items() if size > limit]:
            kept[name] = _shorter(kept[name], limit)
            sizes[name] = _size(kept[name])
            shortened.add(name)
        if sum(sizes.values()) <= _RESULT_LIMIT:
            return kept, sorted(shortened)
        limit //= 2


def _size(value: Any) -> int:
    try:
        return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace"))
    except (TypeError, ValueError):
        return MAX_FRAME


def _shorter(value: Any, limit: int) -> Any:
    """The start of a text or list that takes at most `limit` bytes; None for what has no start."""
    if not isinstance(value, (str, list)):
        return None
    count = len(value)
    while count and _size(value[:count]) > limit:
        count = min(count - 1, count * limit // (_size(value[:count]) + 1))
    return value[:count]
