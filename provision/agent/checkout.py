"""Which commit a git checkout is at, read from its files without starting git."""

from __future__ import annotations

import os
from typing import Optional

__all__ = ["head", "is_remote"]


def head(directory: str) -> Optional[str]:
    """The commit (hex) that HEAD names; None where there is no checkout, or no commit in it yet."""
    folder = _git_directory(directory)
    text = _line(os.path.join(folder, "HEAD")) if folder else ""
    if not folder or not text.startswith("ref: "):
        return text or None
    shared = _line(os.path.join(folder, "commondir"))
    common = os.path.normpath(os.path.join(folder, shared)) if shared else folder
    reference = text[len("ref: ") :]
    return _line(os.path.join(common, reference)) or _packed(common, reference)


def is_remote(directory: str, name: str, url: str) -> bool:
    """Whether the checkout's configuration plainly says that its remote of that name is at `url`.

    False also where only git could tell: included files, quoted or continued values.
    """
    try:
        with open(os.path.join(directory, ".git", "config"), encoding="utf-8", errors="replace") as stream:
            lines = [line.strip() for line in stream]
    except OSError:
        return False
    sections = [line for line in lines if line.startswith("[")]
    header = '[remote "%s"]' % name
    if sections.count(header) != 1 or any(line.startswith(("[include", "[url ")) for line in sections):
        return False
    begin = lines.index(header) + 1
    end = next((at for at in range(begin, len(lines)) if lines[at].startswith("[")), len(lines))
    urls = [line for line in lines[begin:end] if line.startswith("url")]
    return urls == ["url = " + url] and not any(character in url for character in '"\\#;')


def _git_directory(directory: str) -> Optional[str]:
    folder = os.path.join(directory, ".git")
    if os.path.isdir(folder):
        return folder
    line = _line(folder)
    return os.path.normpath(os.path.join(directory, line[len("gitdir: ") :])) if line.startswith("gitdir: ") else None


def _packed(common: str, reference: str) -> Optional[str]:
    try:
        with open(os.path.join(common, "packed-refs"), encoding="utf-8", errors="replace") as stream:
            for line in stream:
                commit, _, name = line.strip().partition(" ")
                if name == reference:
                    return commit
    except OSError:
        pass
    return None


def _line(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.readline().strip()
    except OSError:
        return ""
