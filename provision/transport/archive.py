"""What travels to a host so that the agent can start there: the bootstrap's command and the agent's archive.

Must not open connections. Both are made once in a process.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import shlex
import zlib
from collections.abc import Iterator
from pathlib import Path

from provision.agent.protocol import CHUNK, encode_blob
from provision.agent.record import record

__all__ = ["Archive", "archive", "command", "pack"]

PACKAGE = "provision_agent"
"""The agent's name on a host."""
_SOURCE = Path(__file__).resolve().parent.parent / "agent"
_BOOTSTRAP = "bootstrap.py"


@record(frozen=True)
class Archive:
    """The agent's sources as one text; equal sources give equal bytes."""

    sha256: str
    data: bytes

    @functools.cached_property
    def packed(self) -> bytes:
        """The archive as it is sent."""
        return zlib.compress(self.data, 9)

    def frames(self) -> Iterator[bytes]:
        """The frames that bring the archive to a bootstrap that said that it lacks it."""
        for start in range(0, len(self.packed), CHUNK):
            chunk = self.packed[start : start + CHUNK]
            yield encode_blob(self.sha256, chunk, last=start + CHUNK >= len(self.packed))


@functools.cache
def archive() -> Archive:
    """The archive of the agent that this control node runs with."""
    return pack(_SOURCE)


def pack(source: Path) -> Archive:
    """The archive of an agent's sources: a JSON object of module names and texts.

    That the host can read it with what it has imported anyway, and from memory, is why it is no zip.
    """
    modules = {}
    for path in sorted(source.rglob("*.py")):
        if path.name != _BOOTSTRAP:
            parts = [PACKAGE, *path.relative_to(source).with_suffix("").parts]
            modules[".".join(part for part in parts if part != "__init__")] = path.read_text(encoding="utf-8")
    data = json.dumps(modules, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
    return Archive(hashlib.sha256(data).hexdigest(), data)


def command(marker: str, python: str, state: str = "") -> str:
    """The command line for a host's shell that starts the bootstrap with the interpreter `python`.

    `marker` is what it writes first, before its frames; `state` moves the agent's folder of state.
    """
    words = [python, "-IS", "-c", bootstrap(), marker, archive().sha256, state]
    return "exec " + shlex.join(words)


@functools.cache
def bootstrap() -> str:
    """The bootstrap's text without comments, docstrings and types."""
    tree = ast.parse((_SOURCE / _BOOTSTRAP).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef):
            node.body = [part for part in node.body if not _is_for_readers(part)]
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
    return "\n".join(_narrow(line) for line in ast.unparse(tree).splitlines() if line.strip())


def _is_for_readers(node: ast.stmt) -> bool:
    """Texts, and what only a type checker reads."""
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _narrow(line: str) -> str:
    text = line.lstrip(" ")
    return " " * ((len(line) - len(text)) // 4) + text
