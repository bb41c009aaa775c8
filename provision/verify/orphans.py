"""What provision made on a host and no play names any more: warnings, never a failure. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from provision.verify.ladder import Finding
from provision.verify.probes import Named

__all__ = ["orphans"]


def orphans(made: Mapping[str, Any], named: Named, playbook: str) -> Iterator[Finding]:
    """The findings of `verify_made`'s fields; `named` is what the plays name."""
    yield from _environments(made.get("environments") or [], named, playbook)
    yield from _apps(made.get("apps") or [], named, playbook)
    yield from _paths(made.get("paths") or [], named, playbook)


def _environments(found: Iterable[Mapping[str, Any]], named: Named, playbook: str) -> Iterator[Finding]:
    for one in found:
        root, name = str(one["root"]), str(one["name"])
        if (root, name) not in named.environments and ("environment", name) not in named.absent:
            words = f"orphan: provision built the environment and `{playbook}` does not name it"
            mend = f"`conda_env` with `name: {name}` and `state: absent` takes it away"
            yield _orphan("environments", name, words, one, mend)


def _apps(found: Iterable[Mapping[str, Any]], named: Named, playbook: str) -> Iterator[Finding]:
    for one in found:
        name = str(one["name"])
        if name not in named.apps and ("app", name) not in named.absent:
            words = f"orphan: provision made the app and `{playbook}` does not name it"
            mend = f"`app` with `name: {name}` and `state: absent` takes it away"
            yield _orphan("apps", name, words, one, mend)


def _paths(found: Iterable[Mapping[str, Any]], named: Named, playbook: str) -> Iterator[Finding]:
    """All paths are one finding; what lies in a path that is named, or in another orphan, is not told."""
    known: set[str] = set(named.paths)
    left: list[Mapping[str, Any]] = []
    for one in sorted(found, key=lambda each: str(each["path"])):
        path = str(one["path"])
        if not any(above in known for above in _above(path)):
            known.add(path)
            left.append(one)
    if left:
        told = ", ".join(f"`{one['path']}`" for one in left[:3])
        more = f" and {len(left) - 3} more" if len(left) > 3 else ""
        words = (
            f"orphan: provision made {told}{more} and `{playbook}` does not name {'it' if len(left) == 1 else 'them'}"
        )
        detail = {"paths": [str(one["path"]) for one in left[:50]], "made_by": str(left[0].get("step") or "")}
        times = [one["since"] for one in left if isinstance(one.get("since"), int | float)]
        mend = "remove what is not needed, or verify the playbook that names it"
        since = float(min(times)) if times else None
        yield Finding("configuration", "configuration.orphan", "warning", words, "", detail, since, mend)


def _above(path: str) -> Iterator[str]:
    """The path and all that it lies in."""
    while path and path != "/":
        yield path
        path = path.rpartition("/")[0]


def _orphan(rung: str, name: str, words: str, one: Mapping[str, Any], mend: str) -> Finding:
    since = one.get("since")
    moment = float(since) if isinstance(since, int | float) else None
    detail = {"root": one["root"]} if "root" in one else {}
    return Finding(rung, f"{rung}.orphan", "warning", words, name, detail, moment, mend)
