"""What travels to a host so that the agent can start there: the bootstrap's command and the agent's archive.

Must not open connections. Both are made once in a process.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import json
import os
import shlex
import zlib
from collections.abc import Iterator
from pathlib import Path

from provision.agent.protocol import CHUNK, encode_blob
from provision.agent.record import record
from provision.cache import cache_folder, once
from provision.whole_file import write_whole

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


@once
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
            text = _without_docstrings(path.read_text(encoding="utf-8"))
            modules[".".join(part for part in parts if part != "__init__")] = text
    data = json.dumps(modules, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
    return Archive(hashlib.sha256(data).hexdigest(), data)


def _without_docstrings(text: str) -> str:
    """The source with each docstring emptied but for its line breaks, so that a traceback still names its lines.

    They are a third of what travels, and of what a host reads at each start.
    """
    lines = text.encode().splitlines(keepends=True)
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for node in ast.walk(ast.parse(text)):
        first = node.body[0] if isinstance(node, kinds) and node.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            begin, end = first.lineno - 1, (first.end_lineno or 0) - 1
            rest = lines[end][first.end_col_offset :]
            quote = b"''" if begin == end else b'"""'
            lines[end] = quote + rest if begin != end else lines[end][: first.col_offset] + quote + rest
            if begin != end:
                lines[begin] = lines[begin][: first.col_offset] + quote + b"\n"
                lines[begin + 1 : end] = [b"\n"] * (end - begin - 1)
    return b"".join(lines).decode()


def command(marker: str, python: str, state: str = "") -> str:
    """The command line for a host's shell that starts the bootstrap with the interpreter `python`.

    `marker` is what it writes first, before its frames; `state` moves the agent's folder of state.
    """
    sha256, text = _start()
    return "exec " + shlex.join([python, "-IS", "-c", text, marker, sha256, state])


@once
def _start() -> tuple[str, str]:
    """The archive's SHA-256 and the bootstrap, kept as long as none of the agent's files was touched."""
    note = cache_folder() / "agent" / f"{_signature()}.json"
    try:
        sha256, text = json.loads(note.read_text("utf-8"))
    except (OSError, ValueError, TypeError):
        sha256, text = archive().sha256, bootstrap()
        with contextlib.suppress(OSError):
            note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(note, json.dumps([sha256, text]), durable=False)
    return str(sha256), str(text)


def _signature() -> str:
    """Names, sizes and times of the agent's files, and of this one, which makes the archive of them."""
    files = [*_files(_SOURCE), (__file__, Path(__file__).stat())]
    seen = sorted((path, status.st_size, status.st_mtime_ns) for path, status in files)
    return hashlib.sha256(repr(seen).encode()).hexdigest()


def _files(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _files(Path(entry.path))
            elif entry.name.endswith(".py"):
                yield entry.path, entry.stat()


@once
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
