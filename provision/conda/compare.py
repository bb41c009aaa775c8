"""How two installed environments differ: of what the resource `conda_list` found on two hosts. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from provision.agent.record import record

__all__ = ["Difference", "compare"]


@record(frozen=True, slots=True)
class Difference:
    """A package, or `kind` "variable" or "python", that differs; `one` and `other` are "" where it is not there."""

    kind: str
    name: str
    one: str
    other: str


def compare(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[Difference]:
    """What differs, by kind and name; packages are the same where version, build and origin are."""
    first, second = dict(_content(one)), dict(_content(other))
    keys = sorted({*first, *second})
    return [
        Difference(*key, first.get(key, ""), second.get(key, "")) for key in keys if first.get(key) != second.get(key)
    ]


def _content(listing: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], str]]:
    for package in listing["packages"]:
        yield ("conda", str(package["name"])), f"{package['version']} {package.get('build', '')}".strip()
    for package in listing["pip"]:
        origin = package.get("direct_url") or {}
        commit = (origin.get("vcs_info") or {}).get("commit_id", "")
        where = f" from {origin.get('url')}{f'@{commit}' if commit else ''}" if origin else ""
        name = str(package["name"]).lower().replace("_", "-").replace(".", "-")
        yield ("pip", name), f"{package['version']}{where}"
    for name, value in (listing.get("variables") or {}).items():
        yield ("variable", name), str(value)
    if not listing["packages"]:
        yield ("python", "python"), str(listing.get("python") or "")
