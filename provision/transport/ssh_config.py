"""ssh_config files: what they say for one host, each value with the file and line that it stands on.

Owns the file format as OpenSSH reads it: quoting, Host and Match blocks, Include with globs, "the first value wins".
Must not know what a directive means (ssh_options.py does), nor open connections. paramiko's own parser is not used: it
skips Include silently and forgets positions.
"""

from __future__ import annotations

import fnmatch
import getpass
import glob
import re
from collections.abc import Iterator, Sequence
from dataclasses import field
from functools import lru_cache
from pathlib import Path

from provision.agent.record import record
from provision.transport import Unreachable

__all__ = ["ConfigError", "Setting", "Settings", "at_home", "lookup", "matches", "parse_line", "split_words"]

DEPTH = 16
"""How deep files may include each other, as in OpenSSH."""
REPEATABLE = frozenset({"identityfile", "certificatefile"})
"""Directives whose values add up instead of the first one winning."""


class ConfigError(Unreachable):
    """A host's SSH configuration cannot be honoured; names file and line."""

    def __init__(self, where: str, cause: str, hint: str = "") -> None:
        super().__init__("ssh-config", f"cannot honour the SSH configuration at {where}", cause=cause, hint=hint)


@record(frozen=True, slots=True)
class Setting:
    """One directive: its name in lower case and as written, its words, and where it stands ("file:line")."""

    key: str
    name: str
    words: tuple[str, ...]
    rest: str
    where: str

    @property
    def value(self) -> str:
        """The value of a directive that takes one word."""
        return self.words[0] if self.words else ""


@record(slots=True)
class Settings:
    """What holds for one host, in the order in which it was found."""

    found: dict[str, list[Setting]] = field(default_factory=dict)
    wants_final: bool = False
    """A `Match final` was met: files are read once more, after all else is known."""

    def add(self, setting: Setting) -> None:
        """Keep a setting unless its directive already has a value that wins."""
        kept = self.found.setdefault(setting.key, [])
        if not kept or (setting.key in REPEATABLE and setting.words not in [known.words for known in kept]):
            kept.append(setting)

    def get(self, key: str) -> Setting | None:
        """The setting of a directive (lower case), or None."""
        kept = self.found.get(key)
        return kept[0] if kept else None

    def every(self, key: str) -> Sequence[Setting]:
        """All settings of a directive whose values add up."""
        return self.found.get(key, ())


@record(frozen=True, slots=True)
class _Names:
    """What Host and Match compare with: the name as given, the user where it is known, and settings so far."""

    original: str
    user: str | None
    settings: Settings
    final: bool = False

    def host(self) -> str:
        named = self.settings.get("hostname")
        return named.value.replace("%h", self.original) if named else self.original

    def remote_user(self) -> str:
        named = self.settings.get("user")
        return self.user or (named.value if named else getpass.getuser())


def lookup(host: str, files: Sequence[str], *, user: str | None = None, first: Sequence[Setting] = ()) -> Settings:
    """What `files` say for `host`; `first`, the command line's, wins. Absent files are skipped; raises ConfigError."""
    settings = Settings()
    for setting in first:
        settings.add(setting)
    paths = [path for path in map(at_home, files) if Path(path).exists()]
    for final in (False, True):
        for path in paths:
            _read_into(settings, path, _Names(host, user, settings, final), active=True, depth=0)
        if not settings.wants_final:
            break
    return settings


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a list of patterns with `*`, `?` and `!` matches a name; a negated one that matches ends it."""
    hit = False
    for pattern in patterns:
        negated = pattern.startswith("!")
        if fnmatch.fnmatchcase(name.lower(), pattern.removeprefix("!").lower().replace("[", "[[]")):
            if negated:
                return False
            hit = True
    return hit


def at_home(path: str) -> str:
    """`path` with `~` replaced."""
    return str(Path(path).expanduser())


def split_words(text: str, where: str) -> tuple[str, ...]:
    """The words of a line as OpenSSH splits them: both kinds of quotes, backslashes, a comment where a word starts."""
    words: list[str] = []
    position = 0
    while True:
        while position < len(text) and text[position] in " \t":
            position += 1
        if position >= len(text) or text[position] == "#":
            return tuple(words)
        word, position = _word(text, position, where)
        words.append(word)


def _word(text: str, position: int, where: str) -> tuple[str, int]:
    word, quote = "", ""
    while position < len(text):
        char = text[position]
        following = text[position + 1 : position + 2]
        if char == "\\" and following and (following in "'\"\\" or (not quote and following == " ")):
            word, position = word + following, position + 1
        elif quote:
            quote, word = ("", word) if char == quote else (quote, word + char)
        elif char in " \t":
            break
        elif char in "'\"":
            quote = char
        else:
            word += char
        position += 1
    if quote:
        raise ConfigError(where, f"a quote {quote} without its end", "close the quote")
    return word, position


def _read_into(settings: Settings, path: str, names: _Names, *, active: bool, depth: int) -> None:
    """Walk one file; Host and Match switch what counts, inside the block that included the file."""
    within, active_here = active, active
    for setting in _parse(path, Path(path).stat().st_mtime_ns):
        if setting.key == "host":
            active_here = within and matches(names.original, _words(setting))
        elif setting.key == "match":
            active_here = within and _match(setting, names)
        elif not active_here:
            continue
        elif setting.key == "include":
            for included in _included(setting, path, depth):
                _read_into(settings, included, names, active=True, depth=depth + 1)
        else:
            settings.add(setting)


@lru_cache(maxsize=256)
def _parse(path: str, _modified: int) -> tuple[Setting, ...]:
    """The directives of one file; read once for all hosts, again when it was modified."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise ConfigError(path, error.strerror or str(error), "make the file readable, or take it out") from None
    return tuple(_lines(path, text))


def _lines(path: str, text: str) -> Iterator[Setting]:
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{path}:{number}"
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            yield parse_line(stripped, where)


def parse_line(line: str, where: str) -> Setting:
    """One directive, written `Name value` or `Name=value`; raises ConfigError."""
    found = re.match(r"\"?([A-Za-z0-9-]+)\"?(?:[ \t]*=[ \t]*|[ \t]+)(.*)", line)
    if not found or not found[2]:
        raise ConfigError(where, f"`{line[:80]}` is no directive with a value", "write `Name value`")
    name, rest = found[1], found[2].strip()
    raw = name.lower() in ("proxycommand", "localcommand", "remotecommand", "knownhostscommand")
    return Setting(name.lower(), name, (rest,) if raw else split_words(rest, where), rest, where)


def _words(setting: Setting) -> tuple[str, ...]:
    if not setting.words:
        raise ConfigError(setting.where, f"`{setting.name}` without a value")
    return setting.words


def _included(setting: Setting, path: str, depth: int) -> Iterator[str]:
    """The files that an Include names, ordered by name; relative ones are in ~/.ssh, or /etc/ssh for the system's."""
    if depth >= DEPTH:
        raise ConfigError(setting.where, f"files include each other more than {DEPTH} deep", "is there a circle?")
    beside = "/etc/ssh" if path.startswith("/etc/ssh/") else at_home("~/.ssh")
    for pattern in _words(setting):
        if "%" in pattern or "${" in pattern:
            raise ConfigError(setting.where, f"`Include {pattern}` with a variable", "write the path out")
        yield from sorted(glob.glob(str(Path(beside, at_home(pattern)))))  # noqa: PTH207  # patterns may be absolute


def _match(setting: Setting, names: _Names) -> bool:
    """Whether all criteria of a Match line hold, judged from the left; raises ConfigError on one not honoured."""
    words = list(_words(setting))
    verdict = True
    while words and verdict:
        criterion, equals, argument = words.pop(0).partition("=")
        negated, criterion = criterion.startswith("!"), criterion.removeprefix("!").lower()
        if criterion == "all":
            continue
        if criterion == "final":
            names.settings.wants_final = True
            verdict = names.final != negated
            continue
        subject = _subject(criterion, names, setting)
        if not equals:
            argument = words.pop(0) if words else ""
        if not argument:
            raise ConfigError(setting.where, f"`Match {criterion}` without a pattern")
        verdict = matches(subject, argument.split(",")) != negated
    return verdict


def _subject(criterion: str, names: _Names, setting: Setting) -> str:
    known = {
        "host": names.host,
        "originalhost": lambda: names.original,
        "user": names.remote_user,
        "localuser": getpass.getuser,
    }
    if criterion not in known:
        raise ConfigError(
            setting.where,
            f"`Match {criterion}` is not supported",
            "supported are `all`, `final`, `host`, `originalhost`, `user` and `localuser`",
        )
    return known[criterion]()
