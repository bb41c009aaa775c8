"""Hand-built conda environments as roles: which of them can be said, and their environment.yml. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from packaging.utils import canonicalize_name

from provision.adoption.survey import Environment, Left, Survey
from provision.agent.inspection import differences
from provision.agent.survey import secret
from provision.conda.export import environment_yml
from provision.conda.locked import Lock
from provision.errors import ProvisionError

__all__ = ["accepted", "environments", "packages_of", "unlike"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
_PATH = re.compile(r"/[A-Za-z0-9._+@,~/-]*\Z")


def environments(survey: Survey, mirrors: Mapping[str, str]) -> Iterator[Environment | Left]:
    """Each environment of a host, as a role or as what cannot be taken over; ours are left out."""
    roles: set[str] = set()
    for found in survey.seen["environments"]:
        path = str(found["path"])
        if found["kind"] == "generation":
            continue
        what = f"environment `{path}`"
        if found["kind"] == "link":
            yield Left(what, "it is a link to somewhere else", "make it a directory, or name what it leads to")
            continue
        if path in survey.unread:
            yield Left(what, survey.unread[path], "mend or remove it, and adopt again")
            continue
        listing, secrets = _without_secrets(survey.listings[path])
        one = _environment(survey.host, listing, path, what, mirrors, roles)
        yield one
        for name in secrets if isinstance(one, Environment) else ():
            mend = "give it to the apps that need it, under `secrets`"
            yield Left(f"variable `{name}` that {what} sets", "it is a secret", mend)


def _environment(
    host: str, listing: Mapping[str, Any], path: str, what: str, mirrors: Mapping[str, str], roles: set[str]
) -> Environment | Left:
    place = PurePosixPath(path)
    name, root = place.name, str(place.parent.parent)
    if not _NAME.match(name) or not _PATH.match(path):
        return Left(what, "its path holds what a name of an environment cannot", "`conda rename` it, and adopt again")
    if listing["broken"]:
        why = f"records of conda cannot be read: {', '.join(map(str, listing['broken'][:3]))}"
        return Left(what, why, "reinstall these packages, and adopt again")
    if not listing["packages"]:
        return Left(what, "conda has no package in it", "make a conda environment of it: `provision env import`")
    try:
        title = f"Environment `{name}` of {host}, as installed."
        text = environment_yml(name, listing, mirrors, title=title).text
    except ProvisionError as error:
        return Left(what, _told(error), error.hint or "make its environment.yml by hand")
    role = name if name not in roles else f"{name}-{place.parts[1]}"
    role = re.sub(r"[^A-Za-z0-9_-]", "-", role)
    while role in roles:
        role += "-2"
    roles.add(role)
    return Environment(name, root, path, role, text, packages_of(listing))


def _without_secrets(listing: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
    kept, secrets = secret.variables(dict(listing["variables"]))
    return {**listing, "variables": kept}, secrets


def packages_of(listing: Mapping[str, Any]) -> tuple[tuple[str, str, str, str], ...]:
    """Kind, name, version and build of what is installed."""
    conda = [("conda", str(p["name"]), str(p["version"]), str(p.get("build", ""))) for p in listing["packages"]]
    return (*conda, *(("pip", canonicalize_name(str(p["name"])), str(p["version"]), "") for p in listing["pip"]))


def unlike(environment: Environment, lock: Lock) -> list[str]:
    """How an environment differs from the lock that was made for it, as the host would say it."""
    locked = [{"kind": "conda", "name": p.name, "version": p.version, "build": p.build} for p in lock.packages]
    pip = [{"kind": "pip", "name": p.name, "version": p.version} for p in lock.pip]
    found = differences([*locked, *pip], list(environment.packages))
    have = {name: version for kind, name, version, _ in environment.packages if kind == "pip"}
    return found + [
        f"another version: {p.name} {have[p.name]}, locked is {p.version}"
        for p in lock.pip
        if p.name in have and have[p.name] != p.version
    ]


def accepted(environment: Environment, lock: Lock | ProvisionError) -> Left | None:
    """None where the host will accept the environment where it is, else why not."""
    what = f"environment `{environment.path}`"
    if isinstance(lock, ProvisionError):
        mend = f"mend its environment.yml in not-taken-over/{environment.role}"
        return Left(what, f"its packages cannot be locked: {_told(lock)}", "\n".join(filter(None, [mend, lock.hint])))
    found = unlike(environment, lock)
    if not found:
        return None
    shown = [*found[:8], *([f"and {len(found) - 8} more"] if len(found) > 8 else [])]
    mend = f"mend its environment.yml in not-taken-over/{environment.role}, or give its role `takeover: true`"
    return Left(what, "it is not what its versions lock to:\n" + "\n".join(shown), mend)


def _told(error: ProvisionError) -> str:
    return "\n".join(part for part in (error.summary, error.cause) if part)
