"""The forms in which a secret may turn up in a text, and the pattern that finds many of them at once. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

__all__ = ["SHORTEST", "forms", "pattern"]

SHORTEST = 4
"""Characters: what is shorter is in every text, and cannot be hidden by its value."""
_SHORTEST_LINE = 12
_SHORTEST_CORE = 6
_LONGEST_ENCODED = 64 * 1024


def forms(secret: str) -> set[str]:
    """The secret itself, the longer ones of its lines, and how encoders and quoting write each of them."""
    texts = {secret, secret.strip()}
    lines = secret.strip().splitlines()
    if len(lines) > 1:
        texts |= {line.strip() for line in lines if len(line.strip()) >= _SHORTEST_LINE and "-----" not in line}
    found = {form for text in texts if len(text) >= SHORTEST for form in _written(text)}
    return {form for form in found if len(form) >= SHORTEST}


def _written(text: str) -> Iterator[str]:
    yield text
    if len(text) > _LONGEST_ENCODED:
        return
    yield from _encoded(text.encode("utf-8", "surrogatepass"))
    if not text.isalnum():
        yield from _quoted(text)


def _encoded(data: bytes) -> Iterator[str]:
    import base64  # not before there is a secret, as all that is imported below

    yield data.hex()
    yield data.hex().upper()
    for before in range(3):
        # the characters that hold bits of the secret only, whatever stands around it in what was encoded
        skipped = (before * 8 + 5) // 6
        whole = (before + len(data)) * 8 // 6
        for alphabet in (base64.b64encode, base64.urlsafe_b64encode):
            core = alphabet(b"\0" * before + data).decode()[skipped:whole]
            if len(core) >= _SHORTEST_CORE:
                yield core


def _quoted(text: str) -> Iterator[str]:
    import html
    import json
    from urllib.parse import quote, quote_plus

    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield repr(text)[1:-1]
    yield text.replace("'", "'\"'\"'")
    yield text.replace("'", "''")
    yield re.sub(r'(["\\$`])', r"\\\1", text)
    yield from (quote(text), quote(text, safe=""), quote_plus(text))
    yield from (html.escape(text), html.escape(text, quote=False))


def pattern(texts: Iterable[str]) -> re.Pattern[str]:
    """Finds the texts, the longest at a place; grouped by their beginnings, so that thousands cost little."""
    return re.compile(_grouped(sorted(set(texts)), 0))


def _grouped(texts: list[str], depth: int) -> str:
    if depth == 3 or len(texts) < 8:
        return "|".join(re.escape(text[depth:]) for text in sorted(texts, key=len, reverse=True))
    groups: dict[str, list[str]] = {}
    for text in texts:
        groups.setdefault(text[depth], []).append(text)
    return "|".join(f"{re.escape(first)}(?:{_grouped(same, depth + 1)})" for first, same in groups.items())
