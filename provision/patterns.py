"""Host patterns and ranges of names: `a:b`, `a:&b`, `a:!b`, globs, `~regex`, `g[0:3]`, `@file`, `gpu[01:16]`.

Pure functions over names and groups, but for the file that an `@file` names. Must not know variables.
"""

from __future__ import annotations

import fnmatch
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from provision.errors import Mark, ProvisionError
from provision.source import nearest, read_text

__all__ = ["expand", "select"]

MAX_HOSTS = 100_000
_RANGE = re.compile(r"\[([0-9]*|[a-zA-Z]):([0-9]+|[a-zA-Z])(?::([0-9]+))?\]")
_SUBSCRIPT = re.compile(r"(.+)\[(-?[0-9]+)?(?:([:-])(-?[0-9]+)?)?\]")


def expand(pattern: str, where: Mark | None = None) -> list[str]:
    """The names that a pattern with ranges stands for, ends included; raises ProvisionError for a bad range."""
    pieces: list[list[str]] = []
    position, total = 0, 1
    for match in _RANGE.finditer(pattern):
        pieces.append([pattern[position : match.start()]])
        pieces.append(_range(match, where))
        total *= len(pieces[-1])
        position = match.end()
    rest = pattern[position:]
    if "[" in rest or "]" in rest:
        raise ProvisionError(
            f"`{pattern}` holds a range that is none",
            where=where,
            hint="write `gpu[01:16]`, `gpu[a:d]` or `gpu[01:16:2]`",
        )
    if total > MAX_HOSTS:
        raise ProvisionError(f"`{pattern}` stands for {total} hosts", where=where, cause=f"the limit is {MAX_HOSTS}")
    return ["".join(parts) for parts in itertools.product(*pieces, [rest])]


def _range(match: re.Match[str], where: Mark | None) -> list[str]:
    begin, end, step = match[1] or "0", match[2], int(match[3] or "1")
    if begin.isdigit() != end.isdigit() or step < 1:
        raise ProvisionError(
            f"the range `{match[0]}` is none", where=where, hint="both ends are numbers, or both are letters"
        )
    if not begin.isdigit():
        letters = range(ord(begin), ord(end) + 1, step)
        return _not_empty([chr(letter) for letter in letters], match[0], where)
    width = len(begin) if len(begin) > 1 and begin[0] == "0" else 0
    if width and len(begin) != len(end):
        raise ProvisionError(
            f"the ends of the range `{match[0]}` differ in width",
            where=where,
            cause="a leading zero asks for names of one width",
            hint=f"write `[{begin}:{end.zfill(width)}]`",
        )
    if int(end) - int(begin) > MAX_HOSTS * step:
        raise ProvisionError(
            f"the range `{match[0]}` is too large", where=where, cause=f"the limit is {MAX_HOSTS} hosts"
        )
    return _not_empty([str(number).zfill(width) for number in range(int(begin), int(end) + 1, step)], match[0], where)


def _not_empty(names: list[str], text: str, where: Mark | None) -> list[str]:
    if not names:
        raise ProvisionError(
            f"the range `{text}` is empty", where=where, hint="its first end must not be larger than its last"
        )
    return names


def select(
    pattern: str, hosts: Iterable[str], groups: Mapping[str, Sequence[str]], where: Mark | None = None
) -> list[str]:
    """The hosts that a pattern names, in its order; raises ProvisionError for a plain name that nothing has."""
    known = dict.fromkeys(hosts)
    terms = list(_terms(pattern, where))
    chosen = dict.fromkeys(
        host for term in terms if term[0] not in "&!" for host in _matches(term, known, groups, where)
    )
    if all(term[0] in "&!" for term in terms):
        chosen = dict(known)
    for term in terms:
        if term[0] == "&":
            wanted = set(_matches(term[1:], known, groups, where))
            chosen = {host: None for host in chosen if host in wanted}
    for term in terms:
        if term[0] == "!":
            for host in _matches(term[1:], known, groups, where):
                chosen.pop(host, None)
    return list(chosen)


def _terms(pattern: str, where: Mark | None) -> Iterator[str]:
    for term in _split(pattern):
        if term.startswith("@"):
            lines = (line.strip() for line in read_text(Path(term[1:])).splitlines())
            for line in lines:
                if line and not line.startswith("#"):
                    yield from _split(line)
        elif term.lstrip("&!"):
            yield term
        else:
            raise ProvisionError(f"the host pattern `{pattern}` holds an empty term", where=where)


def _split(pattern: str) -> list[str]:
    """At commas, else at colons outside brackets; a regular expression holds what it holds."""
    if "," in pattern:
        parts = re.findall(r"(?:\[[^\]]*\]|[^,\[]|\[)+", pattern)
    elif pattern.lstrip("&!").startswith("~") and ":" not in pattern:
        parts = [pattern]
    else:
        parts = re.findall(r"(?:\[[^\]]*\]|[^:\[]|\[)+", pattern)
    return [part.strip() for part in parts if part.strip()]


def _matches(
    term: str, hosts: Mapping[str, None], groups: Mapping[str, Sequence[str]], where: Mark | None
) -> Sequence[str]:
    if term.startswith("~"):
        return _found(_regex(term[1:], where), hosts, groups)
    if term in groups:
        return groups[term]
    if term in hosts:
        return [term]
    subscript = _SUBSCRIPT.fullmatch(term)
    if subscript and (subscript[2] or subscript[3]):
        return _part(_matches(subscript[1], hosts, groups, where), subscript)
    if term == "*":
        return groups.get("all", list(hosts))
    if any(sign in term for sign in "*?["):
        return _found(re.compile(fnmatch.translate(term)), hosts, groups)
    raise ProvisionError(
        f"no host or group is called `{term}`", where=where, hint=nearest(term, {*hosts, *groups}) or _some(groups)
    )


def _found(pattern: re.Pattern[str], hosts: Mapping[str, None], groups: Mapping[str, Sequence[str]]) -> list[str]:
    of_groups = (host for name, members in groups.items() if pattern.match(name) for host in members)
    return list(dict.fromkeys(itertools.chain(of_groups, (host for host in hosts if pattern.match(host)))))


def _regex(text: str, where: Mark | None) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise ProvisionError(f"`~{text}` is no regular expression", where=where, cause=str(error)) from None


def _part(members: Sequence[str], subscript: re.Match[str]) -> Sequence[str]:
    """`g[0]`, `g[-1]`, `g[1:]` and `g[0:3]`, whose end is included as in Ansible."""
    first = int(subscript[2] or 0)
    if not subscript[3]:
        return [members[first]] if -len(members) <= first < len(members) else []
    last = int(subscript[4]) if subscript[4] else -1
    return members[first : last + 1] if last != -1 else members[first:]


def _some(groups: Mapping[str, Sequence[str]]) -> str:
    names = [f"`{name}`" for name in groups if name not in ("all", "ungrouped")]
    return f"the groups are {', '.join(names[:8])}{', …' if len(names) > 8 else ''}" if names else ""
