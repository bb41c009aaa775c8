"""Which commit a git checkout is at, read from its files without starting git."""

from __future__ import annotations

import os
from typing import Optional

__all__ = ["head"]


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
