"""The known_hosts that lies beside an inventory: hosts that come get a line, those that leave lose theirs.

Pure: text in, text out. Must not decide whose key is right.
"""

from __future__ import annotations

from collections.abc import Collection

__all__ = ["with_host", "without_host"]


def with_host(text: str, name: str, kind: str, key: str) -> str:
    """The text with a line for a name (`host` or `[host]:port`), a key's type and its base64, where it lacks it."""
    line = f"{name} {kind} {key}\n"
    if line in text.splitlines(keepends=True):
        return text
    return text + ("" if not text or text.endswith("\n") else "\n") + line


def without_host(text: str, names: Collection[str]) -> str:
    """The text without these names (`host` or `[host]:port`); a line goes when no other name is left on it.

    Lines that are hashed, patterns or marked (`@cert-authority`, `@revoked`) stay: they are not about one host alone.
    """
    return "".join(_line(line, names) for line in text.splitlines(keepends=True))


def _line(line: str, names: Collection[str]) -> str:
    first = line.split(" ", 1)[0]
    if not line.strip() or line[0] in "#@|" or any(sign in first for sign in "*?!"):
        return line
    there = first.split(",")
    left = [name for name in there if name not in names]
    if left == there:
        return line
    return ",".join(left) + line[len(first) :] if left else ""
