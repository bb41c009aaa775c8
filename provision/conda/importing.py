"""What others wrote as an environment.yml: a requirements.txt, a Pipfile.lock, or an environment.yml of any conda.

Gives text and what was left out. Formats: https://pip.pypa.io/en/stable/reference/requirements-file-format/ and
https://github.com/pypa/pipfile. Must not write files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from provision.agent.record import record
from provision.conda.yaml_text import text_of
from provision.errors import Mark, ProvisionError

__all__ = ["Imported", "imported"]

PYTHON = "3.11"
"""Where a file does not say: one that every torch since 2.0 has builds for."""
_HASH = re.compile(r"\s+--hash[= ]\S+")
_INCLUDE = re.compile(r"(?:-r|--requirement)[= ]?\s*(.+)\Z")
_CONSTRAINT = re.compile(r"(?:-c|--constraint)[= ]?\s*(.+)\Z")
_SWITCHES = (
    "--require-hashes",
    "--no-binary",
    "--only-binary",
    "--prefer-binary",
    "--pre",
    "--trusted-host",
    "--no-index",
)


@record(frozen=True, slots=True)
class Imported:
    """An environment.yml's text, its environment's name, and what of the source was left out or taken to be meant."""

    text: str
    name: str
    notes: tuple[str, ...] = ()


def imported(path: Path, name: str | None, python: str | None, nameless: str | None = None) -> Imported:
    """What a file asks for as an environment.yml. `name` and `python` win over the file's, where they are given.

    `nameless`: the name of what has none of its own; without it that of the file's folder.

    Raises ProvisionError for a file that cannot be read or is none of the three.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ProvisionError(f"cannot read `{path}`", cause=str(error)) from None
    if path.suffix in (".yml", ".yaml"):
        return _of_conda(path, text, name, nameless or _folder_name(path))
    own = name or nameless or _folder_name(path)
    if path.name == "Pipfile.lock" or text.lstrip().startswith("{"):
        return _of_pipfile(path, text, own, python)
    return _of_requirements(path, own, python)


def _of_conda(path: Path, text: str, name: str | None, nameless: str) -> Imported:
    """The same file without `prefix`, comments and all; a missing name or list of channels is added."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ProvisionError(f"`{path}` is no YAML", cause=str(error)) from None
    if not isinstance(content, dict) or "dependencies" not in content:
        hint = "an environment.yml has `dependencies`; a requirements.txt does not end in .yml"
        raise ProvisionError(f"`{path}` is no environment.yml", where=Mark(str(path), 1, 1), hint=hint)
    notes = []
    if "prefix" in content:
        text = re.sub(r"(?m)^prefix:.*\n?", "", text)
        notes.append(f"left out: `prefix: {content['prefix']}`; the play says where environments live")
    own = name or content.get("name") or nameless
    if content.get("name") and own != content["name"]:
        text = re.sub(r"(?m)^name:.*$", f"name: {own}", text)
    elif not content.get("name"):
        rest = re.sub(r"(?m)^name:.*\n?", "", text)
        text = f"name: {own}\n{rest}"
        notes.append(f"it has no name: `{own}` was taken")
    if not content.get("channels"):
        text = re.sub(r"(?m)^dependencies:", "channels: [conda-forge, nodefaults]\ndependencies:", text, count=1)
        notes.append("it names no channels: `conda-forge` and `nodefaults` were taken, not Anaconda's `defaults`")
    return Imported(text if text.endswith("\n") else text + "\n", str(own), tuple(notes))


def _of_requirements(path: Path, name: str, python: str | None) -> Imported:
    lines: list[str] = []
    notes: list[str] = []
    for line in _requirements(path, notes, ()):
        lines.append(line)
    if not any(not line.startswith("-") for line in lines):
        raise ProvisionError(
            f"`{path}` asks for nothing", hint="it can be a requirements.txt, a Pipfile.lock or an environment.yml"
        )
    return _written(name, python, lines, [], notes)


def _requirements(path: Path, notes: list[str], within: tuple[Path, ...]) -> Iterator[str]:
    """A file's lines, those of the files that it names in their place."""
    if path.resolve() in within:
        raise ProvisionError(f"`{path}` includes itself", where=Mark(str(within[-1]), 1, 1))
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        place = Mark(str(within[-1]), 1, 1) if within else None
        raise ProvisionError(f"cannot read `{path}`", where=place, cause=str(error)) from None
    for raw in re.sub(r"\\\n\s*", " ", text).splitlines():
        line = _HASH.sub("", re.sub(r"(^|\s)#.*$", "", raw)).strip()
        include, constraint = _INCLUDE.match(line), _CONSTRAINT.match(line)
        if include:
            yield from _requirements(path.parent / include[1].strip(), notes, (*within, path.resolve()))
        elif constraint:
            notes.append(f"left out: the constraints of `{constraint[1].strip()}`; pin those versions as lines")
        elif line.startswith(_SWITCHES):
            notes.append(f"left out: `{line}`")
        elif line:
            yield line


def _of_pipfile(path: Path, text: str, name: str, python: str | None) -> Imported:
    try:
        content: Mapping[str, Any] = json.loads(text)
        default, meta = content["default"], content["_meta"]
        lines = [_pipfile_line(key, entry) for key, entry in sorted(default.items())]
    except (ValueError, KeyError, AttributeError, TypeError):
        hint = "it has `_meta` and `default`; make it with `pipenv lock`"
        raise ProvisionError(f"`{path}` is no Pipfile.lock", where=Mark(str(path), 1, 1), hint=hint) from None
    notes = []
    if content.get("develop"):
        notes.append(f"left out: {len(content['develop'])} packages of `develop`")
    required = meta.get("requires") or {}
    said = required.get("python_full_version") or required.get("python_version")
    return _written(name, python or said, lines, _sources(meta.get("sources") or []), notes)


def _pipfile_line(name: str, entry: Mapping[str, Any]) -> str:
    extras = f"[{','.join(entry['extras'])}]" if entry.get("extras") else ""
    markers = f" ; {entry['markers']}" if entry.get("markers") else ""
    for kind in ("git", "hg", "svn"):
        if kind in entry:
            revision = f"@{entry['ref']}" if entry.get("ref") else ""
            return f"{name}{extras} @ {kind}+{entry[kind]}{revision}{markers}"
    if "file" in entry or "path" in entry:
        return f"{name}{extras} @ {entry.get('file') or entry['path']}{markers}"
    version = entry.get("version", "")
    return f"{name}{extras}{'' if version == '*' else version}{markers}"


def _sources(sources: list[Mapping[str, Any]]) -> list[str]:
    urls = [str(source["url"]).rstrip("/") for source in sources if source.get("url")]
    others = [url for url in urls if url != "https://pypi.org/simple"]
    return [f"--extra-index-url {url}" for url in others]


def _written(name: str, python: str | None, lines: list[str], options: list[str], notes: list[str]) -> Imported:
    if not python:
        notes.append(f"it does not say which Python: {PYTHON} was taken (`--python`)")
    document = {
        "name": name,
        "channels": ["conda-forge", "nodefaults"],
        "dependencies": [f"python={python or PYTHON}", "pip", {"pip": [*options, *lines]}],
    }
    return Imported(text_of(document), name, tuple(notes))


def _folder_name(path: Path) -> str:
    """A name that a file's folder gives; it says nothing of versions, so it cannot lie about them."""
    found = re.sub(r"[^a-z0-9]+", "-", path.resolve().parent.name.lower()).strip("-")
    return found or "imported"
