"""Templates as Jinja compiled them, kept from one run to the next: compiling is a tenth of what a start costs.

Holds code, so it is read only where nobody else can write. Whoever cannot keep it goes on. What a run with secrets
compiles is never kept.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import sys
from collections.abc import Hashable
from pathlib import Path
from types import CodeType
from typing import Any

import jinja2.compiler

from provision.cache import cache_folder
from provision.whole_file import write_whole_bytes

__all__ = ["CompiledTemplates"]

MOST = 2000
"""Templates of one project that are kept."""
_MADE_BY = ("render.py", "sandbox.py", "template_names.py", "filters/__init__.py")

Names = tuple[frozenset[str], frozenset[str], frozenset[str]]


class CompiledTemplates:
    """Code and names of templates by their text and the way in which they are read; those of the folder one is in."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._known: dict[tuple[Hashable, str], tuple[CodeType, Names]] = {}
        self._used: dict[tuple[Hashable, str], tuple[CodeType, Names]] = {}
        self._new = False

    def find(self, mode: Hashable, text: str) -> tuple[CodeType, Names] | None:
        """The code and names of a template that was compiled before."""
        if self._path is None:
            self._path = _path()
            self._known = _read(self._path)
        key = (mode, str(text))
        found = self._known.get(key)
        if found:
            self._used[key] = found
        return found

    def add(self, mode: Hashable, text: str, code: CodeType, names: Names) -> None:
        """Take in what was compiled now."""
        self._used[mode, str(text)] = (code, names)
        self._new = True

    def keep(self) -> None:
        """Write what is new, for the next run; of more than there is room for, what this run used."""
        if not self._new or self._path is None:
            return
        self._new = False
        kept: dict[Any, Any] = dict(list({**self._used, **self._known}.items())[:MOST])
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole_bytes(self._path, marshal.dumps(kept), mode=0o600, durable=False)
        except OSError:
            return


def _path() -> Path:
    """Named by all that the code depends on beside the template: Python, Jinja, the modules here; and the project."""
    here = Path(__file__).parent
    makers = [Path(str(jinja2.compiler.__file__)), *(here / name for name in _MADE_BY)]
    said = [
        sys.version,
        str(Path.cwd()),
        *(f"{path} {path.stat().st_mtime_ns} {path.stat().st_size}" for path in makers),
    ]
    return cache_folder() / "templates" / f"{hashlib.sha256(chr(10).join(said).encode()).hexdigest()[:32]}.marshal"


def _read(path: Path) -> dict[Any, Any]:
    try:
        for each in (path.parent, path):
            seen = each.lstat()
            if seen.st_uid != os.geteuid() or seen.st_mode & 0o022:
                return {}
        found = marshal.loads(path.read_bytes())  # noqa: S302 - nobody else can have written it
    except (OSError, ValueError, EOFError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}
