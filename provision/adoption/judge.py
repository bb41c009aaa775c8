"""What of a survey becomes a playbook, and what is left; pure, before and after the locks are known."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from provision.adoption.environments import accepted, environments
from provision.adoption.servers import apps, aside
from provision.adoption.survey import Adopted, App, Environment, Left, Link, Survey
from provision.conda.locked import Lock
from provision.errors import ProvisionError
from provision.printable import printable

__all__ = ["candidates", "judged"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
Locks = Mapping[str, Lock | ProvisionError]
"""The lock of each environment by its path, or why there is none."""


def candidates(survey: Survey, mirrors: Mapping[str, str]) -> tuple[list[Environment], list[Left]]:
    """The environments to be locked, and those that cannot be said at all."""
    found = list(environments(survey, mirrors))
    return [one for one in found if isinstance(one, Environment)], [one for one in found if isinstance(one, Left)]


def judged(survey: Survey, environments: Iterable[Environment], left: Iterable[Left], locks: Locks) -> Adopted:
    """Everything that is written and everything that is not, once the locks are made."""
    taken, not_taken = [], list(left)
    for environment in environments:
        problem = accepted(environment, locks[environment.path])
        if problem:
            not_taken.append(problem)
        else:
            taken.append(environment)
    running = list(apps(survey.seen, taken))
    links = list(_links(survey.seen["links"]))
    not_taken += [one for one in (*running, *links) if isinstance(one, Left)]
    if not survey.seen["whole"]:
        mend = "name the folders that matter as apps' directories, or write further links by hand"
        not_taken.append(Left("links", "there are more folders than were looked at", mend))
    return Adopted(
        survey.host,
        tuple(taken),
        tuple(one for one in running if isinstance(one, App)),
        tuple(one for one in links if isinstance(one, Link)),
        (*not_taken, *_ours(survey.seen)),
        tuple(aside(survey.seen)),
        bool(survey.seen["simulated"]),
    )


def _links(found: Iterable[Mapping[str, Any]]) -> Iterator[Link | Left]:
    for one in found:
        path, target = str(one["path"]), str(one["target"])
        what = f"link `{printable(path)}`"
        if _CONTROL.search(path + target):
            yield Left(what, "its name holds control characters, or is not UTF-8", "rename it, and adopt again")
        elif one["missing"]:
            yield Left(
                what, f"`{printable(target)}`, what it points at, does not exist", "remove it, or mend its target"
            )
        else:
            yield Link(path, target, str(one["root"]))


def _ours(seen: Mapping[str, Any]) -> Iterator[Left]:
    for one in seen["environments"]:
        if one["kind"] == "generation":
            mend = "use the playbook that made it; `provision env export` shows what is in it"
            yield Left(f"environment `{printable(str(one['path']))}`", "provision made it already", mend)
