"""YAML files of the operator as values that know their places: safe tags, no duplicate keys, no alias bombs.

Owns reading and marking. Must not know what a file means, and never renders: text that holds a template becomes
`Template`, the only type that is ever rendered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Words
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self

import yaml

from provision import scalars
from provision.errors import Mark, ProvisionError
from provision.secret.value import ENCRYPTED, Secret

__all__ = ["Mapping", "Sequence", "Template", "kind_of", "load", "loads", "nearest", "plain", "read_files", "read_text"]

MAX_BYTES = 64 << 20
MAX_DEPTH = 64
MAX_ALIASED = 200_000
"""Values that aliases and merge keys may add to a file beyond those written in it."""

_MARKS = ("{{", "{%", "{#")
_read: dict[str, str] = {}


class Template(str):
    """Text of the operator that is to be rendered, once; `place` finds a fragment of it in the file."""

    __slots__ = ("_raw", "mark")
    mark: Mark
    _raw: str

    def __new__(cls, text: str, mark: Mark, raw: str = "") -> Self:
        self = super().__new__(cls, text)
        self.mark = mark
        self._raw = raw
        return self

    def place(self, fragment: str, occurrence: int = 0) -> Mark:
        """Where in the file the (n-th) `fragment` of this text stands; its own place when it cannot be found."""
        raw, offset = self._raw, -1
        for _ in range(occurrence + 1):
            offset = raw.find(fragment, offset + 1)
            if offset < 0:
                return self.mark
        before = raw[:offset]
        rows = before.count("\n")
        column = len(before) - before.rfind("\n") if rows else self.mark.column + offset
        return Mark(self.mark.file, self.mark.line + rows, column)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Template, (str(self), self.mark, self._raw))


class Mapping(dict[Any, Any]):
    """A dict that knows its own place and those of its keys and values, and how odd scalars were written."""

    __slots__ = ("_place", "_places", "file", "texts")

    def __init__(self, file: str, place: tuple[int, int]) -> None:
        super().__init__()
        self.file = file
        self._place = place
        self._places: dict[Any, tuple[int, int, int, int]] = {}
        self.texts: dict[Any, str] = {}

    @property
    def mark(self) -> Mark:
        return Mark(self.file, *self._place)

    @property
    def key_marks(self) -> dict[Any, Mark]:
        return {key: self.key_mark(key) for key in self._places}

    @property
    def value_marks(self) -> dict[Any, Mark]:
        return {key: self.value_mark(key) for key in self._places}

    def key_mark(self, key: Any) -> Mark:
        """Where the key stands; the mapping's own place for a key that was not written."""
        return Mark(self.file, *self._places.get(key, self._place)[:2])

    def value_mark(self, key: Any) -> Mark:
        """Where the key's value stands; the mapping's own place for a key that was not written."""
        return Mark(self.file, *(self._places[key][2:] if key in self._places else self._place))

    def put(self, key: Any, value: Any, places: tuple[int, int, int, int], text: str | None = None) -> None:
        """Add a value with the places (line and column, from 1) of key and value."""
        self[key] = value
        self._places[key] = places
        if text is not None:
            self.texts[key] = text

    def places(self, key: Any) -> tuple[int, int, int, int]:
        return self._places.get(key, self._place * 2)


class Sequence(list[Any]):
    """A list that knows its own place and those of its items, and how odd scalars were written."""

    __slots__ = ("_place", "_places", "file", "texts")

    def __init__(self, file: str, place: tuple[int, int]) -> None:
        super().__init__()
        self.file = file
        self._place = place
        self._places: list[tuple[int, int]] = []
        self.texts: dict[int, str] = {}

    @property
    def mark(self) -> Mark:
        return Mark(self.file, *self._place)

    @property
    def marks(self) -> list[Mark]:
        return [Mark(self.file, *place) for place in self._places]

    def put(self, value: Any, place: tuple[int, int], text: str | None = None) -> None:
        if text is not None:
            self.texts[len(self)] = text
        self.append(value)
        self._places.append(place)


def load(path: Path | str) -> Any:
    """The one document of a YAML file, None when it is empty; raises ProvisionError with the place."""
    return loads(read_text(path), str(path))


def read_files() -> dict[str, str]:
    """The SHA-256 of each of the operator's files that this process has read so far, by its path as it was given."""
    return dict(_read)


def read_text(path: Path | str) -> str:
    """A text file of the operator; raises ProvisionError when it is missing, too large or not UTF-8.

    The text of an encrypted file is decrypted, and a `Secret`.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ProvisionError(f"`{path}` is larger than {MAX_BYTES >> 20} MiB", hint="split the file")
        data = path.read_bytes()
        _read[str(path)] = hashlib.sha256(data).hexdigest()
        if not data.startswith(ENCRYPTED):
            return data.decode("utf-8-sig")
        from provision.secret.sealed import opened_file

        return Secret(opened_file(data, str(path)).decode("utf-8-sig"))
    except OSError as error:
        raise ProvisionError(f"cannot read `{path}`", cause=error.strerror or str(error)) from None
    except UnicodeDecodeError as error:
        raise ProvisionError(
            f"`{path}` is not UTF-8", cause=f"byte {error.object[error.start]:#04x} at offset {error.start}"
        ) from None
    except ValueError as error:
        raise ProvisionError(f"cannot read {str(path)!r}", cause=str(error)) from None


def loads(text: str, file: str) -> Any:
    """The one document of a YAML text that is said to come from `file`; None when it is empty."""
    try:
        value = _Reader(text[:], file).document()
    except yaml.MarkedYAMLError as error:
        raise _syntax(error, text, file) from None
    except yaml.reader.ReaderError as error:
        raise ProvisionError(
            f"`{file}` holds a character that YAML does not allow",
            where=_mark_at(text, file, error.position),
            cause=f"it is the character {error.character!r}" if isinstance(error.character, str) else error.reason,
            hint='write it as an escape in double quotes, such as "\\e"',
        ) from None
    if type(text) is not Secret:
        return value
    from provision.secret.sealed import mark_file

    return mark_file(value)


def kind_of(value: Any) -> str:
    """A value's kind in words."""
    if value is None:
        return "nothing"
    kinds = ((str, "text"), (bool, "a truth value"), (dict, "a mapping"), (list, "a list"), (int | float, "a number"))
    return next((word for kind, word in kinds if isinstance(value, kind)), f"a {type(value).__name__}")


def plain(value: Any) -> Any:
    """The value without places: dicts, lists and scalars; templates become plain text."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Template) else value


def nearest(word: str, words: Words[str] | Iterator[str] | set[str] | frozenset[str]) -> str:
    """A hint "did you mean `x`?" for a word that is not among `words`; empty when none is near."""
    close = get_close_matches(str(word), sorted(str(known) for known in words), n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else ""


class _Reader:
    """One pass over the parser's events; recursion is bounded by MAX_DEPTH."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.depth = 0
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.aliased = 0
        self.count = 0
        self.loader = yaml.CSafeLoader(text)
        self.next: Callable[[], Any] = self.loader.get_event

    def document(self) -> Any:
        try:
            self.next()
            event = self.next()
            if isinstance(event, yaml.StreamEndEvent):
                return None
            value = self.value(self.next(), "")
            self.next()
            event = self.next()
        finally:
            self.loader.dispose()
        if isinstance(event, yaml.DocumentStartEvent):
            raise ProvisionError(
                f"`{self.file}` holds more than one document", where=self.mark(event), hint="put each in its own file"
            )
        return value

    def value(self, event: Any, key: Any) -> Any:
        kind = type(event)
        self.count += 1
        if kind is yaml.ScalarEvent:
            value = self.scalar(event, key)
        elif kind is yaml.AliasEvent:
            return self.alias(event)
        elif kind is yaml.MappingStartEvent:
            return self.nested(event, self.mapping)
        else:
            return self.nested(event, self.sequence)
        if event.anchor:
            self.anchors[event.anchor] = (value, 1)
        return value

    def nested(self, event: Any, read: Any) -> Any:
        tag = event.tag
        if tag is not None and tag not in ("!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
            raise self.bad_tag(event)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ProvisionError(f"`{self.file}` is nested deeper than {MAX_DEPTH} levels", where=self.mark(event))
        if event.anchor:
            self.anchors[event.anchor] = (None, -1)
        before = self.count + self.aliased
        value = read(event)
        if event.anchor:
            self.anchors[event.anchor] = (value, self.count + self.aliased - before + 1)
        self.depth -= 1
        return value

    def alias(self, event: Any) -> Any:
        if event.anchor not in self.anchors:
            raise ProvisionError(
                f"unknown alias `*{event.anchor}`",
                where=self.mark(event),
                hint=nearest(event.anchor, set(self.anchors)),
            )
        value, size = self.anchors[event.anchor]
        if size < 0:
            raise ProvisionError(f"alias `*{event.anchor}` refers to what it stands in", where=self.mark(event))
        self.aliased += size
        if self.aliased > MAX_ALIASED:
            raise ProvisionError(
                f"the aliases of `{self.file}` blow up to over {MAX_ALIASED} values",
                where=self.mark(event),
                hint="write the values out, or build them with a template",
            )
        return value

    def sequence(self, event: Any) -> Sequence:
        start = event.start_mark
        result = Sequence(self.file, (start.line + 1, start.column + 1))
        while type(item := self.next()) is not yaml.SequenceEndEvent:
            mark: Any = item.start_mark
            value = self.value(item, "")
            odd = type(item) is yaml.ScalarEvent and not isinstance(value, str)
            result.put(value, (mark.line + 1, mark.column + 1), item.value if odd else None)
        return result

    def mapping(self, event: Any) -> Mapping:
        start = event.start_mark
        result = Mapping(self.file, (start.line + 1, start.column + 1))
        merged: list[tuple[Any, Any]] = []
        while type(item := self.next()) is not yaml.MappingEndEvent:
            if type(item) is yaml.ScalarEvent and item.value == "<<" and item.implicit[0]:
                merged.append((item, self.value(self.next(), "")))
            else:
                self.entry(result, item)
        for item, value in merged:
            self.merge(result, item, value)
        return result

    def entry(self, result: Mapping, event: Any) -> None:
        if type(event) is not yaml.ScalarEvent:
            raise self.braces(event)
        key = self.value(event, "")
        if isinstance(key, Template):
            key = str(key)
        mark: Any = event.start_mark
        if key in result:
            raise ProvisionError(
                f"duplicate key `{key}`",
                where=self.mark(event),
                cause=f"it is already set in line {result.places(key)[0]}; most readers would silently keep the last",
                hint="remove one of the two",
            )
        item = self.next()
        value = self.value(item, key)
        other = item.start_mark
        odd = type(item) is yaml.ScalarEvent and not isinstance(value, str)
        result.put(
            key, value, (mark.line + 1, mark.column + 1, other.line + 1, other.column + 1), item.value if odd else None
        )

    def merge(self, result: Mapping, event: Any, value: Any) -> None:
        """YAML's merge key: what is written in the mapping wins, then the first of several."""
        for source in value if isinstance(value, Sequence) else [value]:
            if not isinstance(source, Mapping):
                raise ProvisionError("`<<` merges mappings only", where=self.mark(event))
            for key in source:
                if key not in result:
                    result.put(key, source[key], source.places(key), source.texts.get(key))

    def scalar(self, event: Any, key: Any) -> Any:
        text: str = event.value
        if event.tag is not None and event.tag != "!":
            return self.tagged(event, key)
        if event.implicit[0] and (not text or text[0] in scalars.MAYBE):
            return self.implicit(event, text, key)
        return self.string(event, text)

    def string(self, event: Any, text: str) -> str:
        if "{" in text and any(mark in text for mark in _MARKS):
            return Template(text, self.mark(event), self.text[event.start_mark.index : event.end_mark.index])
        return text

    def tagged(self, event: Any, key: Any) -> Any:
        name = event.tag.removeprefix("tag:yaml.org,2002:")
        if name == "str":
            return self.string(event, event.value)
        if name == "!unsafe":
            return event.value
        if name in ("!vault", "!vault-encrypted"):
            from provision.secret.sealed import Vaulted

            return Vaulted(event.value, self.mark(event))
        if name not in ("int", "float", "bool", "null"):
            raise self.bad_tag(event)
        value = self.implicit(event, event.value, key)
        if type(value).__name__.replace("NoneType", "null") != name:
            raise ProvisionError(f"`{event.value}` is no {name}", where=self.mark(event))
        return value

    def implicit(self, event: Any, text: str, key: Any) -> Any:
        try:
            value = scalars.read(text, key)
        except scalars.Surprise as surprise:
            raise ProvisionError(
                f"`{text}` is not read as it is written",
                where=self.mark(event),
                cause=f"YAML reads it as {surprise}",
                hint=f'quote it: "{text}"',
            ) from None
        return self.string(event, text) if isinstance(value, str) else value

    def bad_tag(self, event: Any) -> ProvisionError:
        name = event.tag.replace("tag:yaml.org,2002:", "!!")
        return ProvisionError(
            f"the YAML tag `{name}` is not supported",
            where=self.mark(event),
            hint="only plain values, `!unsafe` and `!vault` are",
        )

    def braces(self, event: Any) -> ProvisionError:
        """An unquoted `{{ x }}` is, for YAML, a mapping as the key of a mapping."""
        return ProvisionError(
            "a mapping or list as a key",
            where=self.mark(event),
            cause="`{{` at the start of a value is YAML's own syntax",
            hint='quote the whole value: "{{ … }}"',
        )

    def mark(self, event: Any) -> Mark:
        return Mark(self.file, event.start_mark.line + 1, event.start_mark.column + 1)


def _mark_at(text: str, file: str, position: int) -> Mark:
    before = text[:position]
    return Mark(file, before.count("\n") + 1, position - before.rfind("\n"))


def _syntax(error: yaml.MarkedYAMLError, text: str, file: str) -> ProvisionError:
    mark = error.problem_mark or error.context_mark
    where = Mark(file, mark.line + 1, mark.column + 1) if mark else Mark(file, 1, 1)
    lines = text.splitlines()
    line = lines[where.line - 1] if where.line <= len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        column = line.index("\t") + 1
        return ProvisionError(
            "a tab indents this line",
            where=Mark(file, where.line, column),
            cause="YAML indents with spaces only",
            hint="replace the tab by spaces",
        )
    hint = ""
    if "mapping values are not allowed" in (error.problem or ""):
        hint = "quote a value that holds `: `"
    elif "{{" in line:
        hint = 'quote a value that starts with `{{`: "{{ … }}"'
    cause = ", ".join(part for part in (error.context, error.problem) if part)
    return ProvisionError(f"`{file}` is no valid YAML", where=where, cause=cause, hint=hint)
