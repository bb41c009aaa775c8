"""A standard environment.yml: what it asks for, with the place of everything in it.

Reads and refuses what is no standard file; whether what it asks for is wise is for lint.py.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from provision import source
from provision.agent.record import record
from provision.errors import Mark, ProvisionError, ProvisionErrors

__all__ = ["CondaSpec", "Environment", "Index", "PipLine", "read"]

KEYS = ("name", "channels", "dependencies", "variables")
PYPI = "https://pypi.org/simple"
_SHORT = {"-i": "--index-url", "-f": "--find-links"}
_INDEX_OPTIONS = ("--index-url", "--extra-index-url", "--find-links")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_SPEC = re.compile(r"(?:(?P<channel>[^\s\[\]]+)::)?(?P<name>[A-Za-z0-9_][A-Za-z0-9._-]*)\s*(?P<version>.*)\Z", re.S)
_EXACT = re.compile(r"={0,2}([0-9][0-9A-Za-z_+!]*(?:\.[0-9A-Za-z_+!]+)*)(?:\.?\*)?(?:=[^=,|]+)?\Z")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@record(frozen=True, slots=True)
class CondaSpec:
    """One conda dependency: its whole text and the parts of it. `name` is lower case, `version` as it was written."""

    text: str
    name: str
    version: str
    where: Mark
    channel: str = ""

    @property
    def exact(self) -> str:
        """The one version that is asked for ("2.0.1"), or "" where several would do."""
        found = _EXACT.match(self.version.replace(" ", "=", 1) if self.version[:1].isdigit() else self.version)
        return found.group(1) if found else ""


@record(frozen=True, slots=True)
class PipLine:
    """One line of the pip part. `requirement` is None where the line names no distribution of an index."""

    text: str
    requirement: Requirement | None
    where: Mark

    @property
    def name(self) -> str:
        """The distribution's name in canonical form, or "" where the line names none."""
        return canonicalize_name(self.requirement.name) if self.requirement else ""

    @property
    def exact(self) -> str:
        """The version of a `==` pin, or "" where there is none."""
        pins = [
            s.version for s in (self.requirement.specifier if self.requirement else ()) if s.operator in ("==", "===")
        ]
        return pins[0] if pins and not pins[0].endswith(".*") else ""


@record(frozen=True, slots=True)
class Index:
    """Where pip's part is looked for: `kind` is "index" (a simple index) or "links" (a page of wheels)."""

    url: str
    kind: str


@record(frozen=True, slots=True)
class Environment:
    """What one environment.yml asks for. `indexes` in the order of asking, `sha256` is the file's."""

    path: Path
    name: str
    channels: tuple[str, ...]
    conda: tuple[CondaSpec, ...]
    pip: tuple[PipLine, ...]
    indexes: tuple[Index, ...]
    variables: Mapping[str, str]
    sha256: str
    marks: Mapping[str, Mark] = field(default_factory=dict)

    def spec(self, *names: str) -> CondaSpec | None:
        """The first conda dependency with one of these names."""
        return next((spec for spec in self.conda if spec.name in names), None)

    def line(self, *names: str) -> PipLine | None:
        """The first pip dependency with one of these names (canonical form)."""
        return next((line for line in self.pip if line.name in names), None)

    def asks(self) -> dict[str, Any]:
        """What is asked for without places and comments: files that ask for the same are equal here."""
        return {
            "name": self.name,
            "channels": list(self.channels),
            "dependencies": [spec.text for spec in self.conda],
            "pip": [line.text for line in self.pip],
            "indexes": [f"{index.kind} {index.url}" for index in self.indexes],
            "variables": dict(self.variables),
        }


def read(path: Path) -> Environment:
    """The environment that a file describes.

    Raises ProvisionError (ProvisionErrors for several) with file, line and column for whatever is not standard, for
    versions that YAML read as numbers, and for credentials in a URL.
    """
    document = source.load(path)
    text = path.read_bytes()
    if not isinstance(document, source.Mapping):
        raise ProvisionError(
            f"`{path}` is no environment.yml",
            where=Mark(str(path), 1, 1),
            cause="it is not a mapping with `name`, `channels` and `dependencies`",
        )
    return _Reader(path, document, text.decode("utf-8", "replace").splitlines()).environment(text)


class _Reader:
    """Reads the parts of one file and collects their errors, so that all are told at once."""

    def __init__(self, path: Path, document: source.Mapping, lines: list[str]) -> None:
        self.path, self.document, self.lines = path, document, lines
        self.errors: list[ProvisionError] = []

    def environment(self, text: bytes) -> Environment:
        self._refuse_unknown_keys()
        conda, pip_items = self._dependencies()
        pip, indexes = self._pip(pip_items)
        environment = Environment(
            path=self.path,
            name=self._name(),
            channels=self._channels(),
            conda=tuple(conda),
            pip=tuple(pip),
            indexes=tuple(indexes),
            variables=self._variables(),
            sha256=hashlib.sha256(text).hexdigest(),
            marks={key: mark for key, mark in self.document.key_marks.items() if key in KEYS},
        )
        if self.errors:
            ordered = sorted(
                self.errors, key=lambda error: (error.where.line, error.where.column) if error.where else (0, 0)
            )
            raise ordered[0] if len(ordered) == 1 else ProvisionErrors(ordered)
        return environment

    def _refuse(self, summary: str, where: Mark | None, cause: str = "", hint: str = "") -> None:
        self.errors.append(ProvisionError(summary, where=where or Mark(str(self.path), 1, 1), cause=cause, hint=hint))

    def _refuse_unknown_keys(self) -> None:
        for key in self.document:
            if key == "prefix":
                hint = "remove the line: where an environment lives is decided by the play, not by its file"
                self._refuse(
                    "`prefix` has no place in an environment.yml that is shared",
                    self.document.key_marks[key],
                    hint=hint,
                )
            elif key not in KEYS:
                cause = f"the file's keys are {', '.join(f'`{known}`' for known in KEYS)}"
                self._refuse(f"unknown key `{key}`", self.document.key_marks.get(key), cause)

    def _name(self) -> str:
        value, where = self.document.get("name"), self.document.value_marks.get("name")
        if value is None:
            self._refuse(
                "the environment has no name",
                where,
                hint="write `name: FUNCTION-STACK`, such as `img2video-torch20-cu118`",
            )
        elif not isinstance(value, str):
            self._refuse_eaten("name", value, where)
        elif not _NAME.match(value) or value in ("base", "root"):
            self._refuse(
                f"`{value}` cannot be the name of an environment",
                where,
                hint="letters, digits, `-`, `_` and `.`; not `base`",
            )
        else:
            return str(value)
        return ""

    def _channels(self) -> tuple[str, ...]:
        listed = self.document.get("channels")
        if not isinstance(listed, source.Sequence) or not listed:
            hint = "write `channels: [conda-forge, nodefaults]`"
            self._refuse(
                "no channels are listed",
                self.document.key_marks.get("channels"),
                "nothing says where packages come from",
                hint,
            )
            return ()
        for channel, where in zip(listed, listed.marks, strict=True):
            if not isinstance(channel, str):
                self._refuse_eaten("a channel", channel, where)
            elif "://" in channel:
                self._refuse_url(channel, where, "channel_mirrors")
        return tuple(str(channel) for channel in listed)

    def _dependencies(self) -> tuple[list[CondaSpec], list[tuple[Any, Mark]]]:
        listed = self.document.get("dependencies")
        specs: list[CondaSpec] = []
        pip: list[tuple[Any, Mark]] = []
        if not isinstance(listed, source.Sequence) or not listed:
            self._refuse("no dependencies are listed", self.document.key_marks.get("dependencies"))
            return specs, pip
        for item, where in zip(listed, listed.marks, strict=True):
            if isinstance(item, str):
                specs += self._spec(item, where)
            elif isinstance(item, source.Mapping):
                pip += self._mapping(item)
            else:
                self._refuse_eaten("a dependency", item, where)
        return specs, pip

    def _spec(self, text: str, where: Mark) -> Iterator[CondaSpec]:
        found = _SPEC.match(text.strip())
        if not found or "://" in text:
            self._refuse(
                f"`{text}` is no conda dependency",
                where,
                hint="write `NAME`, `NAME=VERSION` or `NAME>=VERSION,<VERSION`",
            )
            return
        yield CondaSpec(text.strip(), found["name"].lower(), found["version"].strip(), where, found["channel"] or "")

    def _mapping(self, item: source.Mapping) -> Iterator[tuple[Any, Mark]]:
        """The items of the pip part; any other mapping is a dependency written with a colon."""
        for key, value in item.items():
            if key != "pip":
                self._refuse_colon(str(key), item.value_marks[key], item.key_marks[key])
            elif isinstance(value, source.Sequence):
                yield from zip(value, value.marks, strict=True)
            else:
                self._refuse("the pip part is no list", item.value_marks[key])

    def _refuse_colon(self, key: str, value_mark: Mark, where: Mark) -> None:
        written = self._written(value_mark)
        number = f"{float(written):g}" if _is_number(written) else written
        read_as = f"; YAML reads {written} as the number {number}" if number != written else ""
        self._refuse(
            f"`{key}: {written}` is no dependency",
            where,
            cause=f"a colon makes it a mapping{read_as}",
            hint=f"write `- {key}={written}`",
        )

    def _pip(self, items: Sequence[tuple[Any, Mark]]) -> tuple[list[PipLine], list[Index]]:
        lines: list[PipLine] = []
        main: list[Index] = []
        extra: list[Index] = []
        for item, where in items:
            if not isinstance(item, str):
                self._refuse_eaten("a line of the pip part", item, where)
                continue
            option, _, value = item.strip().partition("=" if item.strip().startswith("--") and "=" in item else " ")
            option = _SHORT.get(option, option)
            if option not in _INDEX_OPTIONS:
                lines.append(PipLine(item.strip(), _requirement(item.strip()), where))
            elif self._refuse_url(value.strip(), where, "index_mirrors"):
                index = Index(value.strip().rstrip("/"), "links" if option == "--find-links" else "index")
                (main if option == "--index-url" else extra).append(index)
        return lines, list(dict.fromkeys(extra + (main or [Index(PYPI, "index")])))

    def _variables(self) -> dict[str, str]:
        listed = self.document.get("variables")
        if listed is None:
            return {}
        if not isinstance(listed, source.Mapping):
            self._refuse("`variables` is no mapping", self.document.value_marks.get("variables"))
            return {}
        for key, value in listed.items():
            if not _VARIABLE.match(str(key)):
                self._refuse(f"`{key}` cannot be the name of a variable", listed.key_marks[key])
            elif not isinstance(value, str):
                self._refuse_eaten(f"the variable `{key}`", value, listed.value_marks[key])
        return {str(key): str(value) for key, value in listed.items()}

    def _refuse_eaten(self, what: str, value: object, where: Mark | None) -> None:
        """A scalar that YAML did not read as the text that stands there."""
        written = self._written(where)
        if value is None or isinstance(value, dict | list):
            self._refuse(f"{what} is no text", where)
        else:
            cause = f"YAML reads it as `{value}` ({type(value).__name__}), not as the text that stands there"
            self._refuse(f"{what} is `{written}` without quotes", where, cause, f'write "{written}"')

    def _written(self, where: Mark | None) -> str:
        """The scalar as it stands in the file."""
        if where is None or where.line > len(self.lines):
            return ""
        return re.split(r"\s#|[,}\]]", self.lines[where.line - 1][where.column - 1 :])[0].strip()

    def _refuse_url(self, url: str, where: Mark, mirrors: str) -> bool:
        """Whether a URL may stand in a file that is shared."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            hint = "hosts fetch packages themselves: give the address of a server that they reach"
            self._refuse(f"`{url}` is no http or https URL", where, hint=hint)
        elif parts.username or parts.password or "$" in url:
            hint = f"write the URL without them, and with them under `{mirrors}` in the inventory"
            self._refuse("a URL with credentials stands in the file", where, "the file and its lock are shared", hint)
        else:
            return True
        return False


def _requirement(line: str) -> Requirement | None:
    try:
        requirement = Requirement(line.split(" #")[0])
    except InvalidRequirement:
        return None
    return None if requirement.url else requirement


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
