"""Lines of authorized_keys files: read, compared and put together. Pure; lines that are no keys stay as they are."""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Tuple

__all__ = ["Key", "edit", "parse"]

_TYPES = (
    "ssh-ed25519",
    "ssh-rsa",
    "ssh-dss",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)


class Key(NamedTuple):
    """A key with its options, as they are written, and its comment."""

    options: Tuple[str, ...]
    type: str
    key: str
    comment: str

    def text(self) -> str:
        """The line, with its end."""
        words = [",".join(self.options), self.type, self.key, self.comment]
        return " ".join(word for word in words if word) + "\n"

    def same(self, other: Key) -> bool:
        """Whether both say the same; the order of options says nothing."""
        return self[1:] == other[1:] and sorted(self.options) == sorted(other.options)


def parse(line: str) -> Optional[Key]:
    """The key of a line; None for a comment, an empty line and what is no key."""
    words = _apart(line.strip(), " \t")
    at = next((at for at, word in enumerate(words[:2]) if word in _TYPES or _certificate(word)), None)
    if line.lstrip().startswith("#") or at is None or len(words) < at + 2:
        return None
    options = tuple(_apart(words[0], ",")) if at else ()
    return Key(options, words[at], words[at + 1], " ".join(words[at + 2 :]))


def edit(text: str, keys: List[Key], present: bool, exclusive: bool) -> str:
    """The text with these keys, at its end where they are new or say something else; or without them.

    `exclusive`: with nothing but these keys.
    """
    lines = [line if line.endswith("\n") else line + "\n" for line in text.split("\n")[:-1]]
    last = text.rpartition("\n")[2]
    lines += [last + "\n"] if last else []
    wanted = {key.key: key for key in keys}
    kept, right = [], set()
    for line in lines:
        found = parse(line)
        if found is None or found.key not in wanted:
            kept += [] if exclusive and present else [line]
        elif present and found.same(wanted[found.key]) and found.key not in right:
            kept.append(line)
            right.add(found.key)
    new = [key.text() for name, key in wanted.items() if present and name not in right]
    same = not new and kept == lines
    return text if same else "".join([*kept, *new])


def _certificate(word: str) -> bool:
    return word.endswith("-cert-v01@openssh.com")


def _apart(text: str, signs: str) -> List[str]:
    """The parts between signs that do not stand within double quotes."""
    parts, part, quoted, escaped = [], "", False, False
    for sign in text:
        if sign == '"' and not escaped:
            quoted = not quoted
        escaped = sign == "\\" and not escaped
        if sign in signs and not quoted:
            parts += [part] if part else []
            part = ""
        else:
            part += sign
    return [*parts, part] if part else parts
