"""What `copy` and `template` take of the control node's files: whole directories, modes, checksums, Jinja's options.

Reads files; must not render or know hosts.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Mapping as Map
from pathlib import Path
from typing import Any

from provision.errors import ProvisionError
from provision.playbook import Task

__all__ = ["check_sum", "encoded", "jinja_options", "mode_of", "tree"]

_NEWLINES = {"\\n": "\n", "\\r": "\r", "\\r\\n": "\r\n", "\n": "\n", "\r": "\r", "\r\n": "\r\n"}
_JINJA = ("trim_blocks", "lstrip_blocks")
_STRINGS = ("block", "comment", "variable")


def mode_of(path: Path) -> str:
    """The mode of a file here, as `mode: preserve` means it."""
    return f"0{stat.S_IMODE(path.stat().st_mode):o}"


def check_sum(task: Task, path: Path, wanted: str | None) -> None:
    """Raises ProvisionError where a file here is not the one of that SHA-1."""
    if wanted is None:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha1").hexdigest()
    if found != wanted.lower():
        raise ProvisionError(
            f"`{path}` is not the file that is meant",
            where=task.arguments.value_mark("checksum"),
            context=f'task "{task.title}"',
            cause=f"its SHA-1 is {found}",
        )


def jinja_options(task: Task, values: dict[str, Any]) -> tuple[dict[str, Any], str, str]:
    """Takes out of `values` what is about rendering: Jinja's options, the line end, the encoding."""
    names = [*_JINJA, *(f"{kind}_{end}_string" for kind in _STRINGS for end in ("start", "end"))]
    options = {name: values.pop(name) for name in names if name in values}
    newline = values.pop("newline_sequence", "\n")
    if newline not in _NEWLINES:
        raise ProvisionError(
            "`newline_sequence` is no line end",
            where=task.arguments.value_mark("newline_sequence"),
            hint='it is "\\n", "\\r" or "\\r\\n"',
        )
    return options, _NEWLINES[newline], values.pop("output_encoding", "utf-8")


def encoded(task: Task, text: str, newline: str, encoding: str) -> str | bytes:
    """A rendered text with its line ends, as bytes where another encoding than UTF-8 is meant."""
    text = text if newline == "\n" else text.replace("\r\n", "\n").replace("\n", newline)
    if encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
        return text
    try:
        return text.encode(encoding)
    except (LookupError, UnicodeEncodeError) as error:
        raise ProvisionError(
            f"the text cannot be written as `{encoding}`",
            where=task.arguments.value_mark("output_encoding"),
            cause=str(error),
        ) from None


def tree(folder: Path, source: str, values: Map[str, Any]) -> tuple[dict[str, Any], dict[str, bytes | Path]]:
    """The spec of `file_tree` and its content. As in Ansible: a `/` at the end of the source means what is in it."""
    values = dict(values)
    root = values["path"].rstrip("/") + ("" if source.endswith("/") else f"/{folder.name}")
    follow = values.pop("local_follow", True)
    keep = values.get("mode") == "preserve"
    spec: dict[str, Any] = {"path": root, "folders": [], "files": {}, "modes": {}, "links": {}}
    blobs: dict[str, bytes | Path] = {}
    for path in _walked(folder, follow):
        part = str(path.relative_to(folder))
        if path.is_symlink() and not follow:
            spec["links"][part] = str(path.readlink())
        elif path.is_dir():
            spec["folders"].append(part)
        else:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            spec["files"][part] = digest
            blobs[digest] = path
            if keep:
                spec["modes"][part] = mode_of(path)
    names = ("directory_mode", "owner", "group", "force", "backup", "validate")
    spec |= {name: values[name] for name in names if values.get(name) is not None}
    if values.get("mode") and not keep:
        spec["mode"] = values["mode"]
    return spec, blobs


def _walked(folder: Path, follow: bool) -> list[Path]:
    """All below a directory, links to directories followed or not; one that leads to a folder above itself once."""
    found: list[Path] = []
    waiting, seen = [folder], {folder.resolve()}
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            found.append(path)
            if path.is_dir() and (follow or not path.is_symlink()) and path.resolve() not in seen:
                seen.add(path.resolve())
                waiting.append(path)
    return found
