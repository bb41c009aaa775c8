"""What was read of a host, and what is made of it: plain records that the parts of `adopt` hand on. No logic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from provision.agent.record import record

__all__ = ["Adopted", "App", "Environment", "Left", "Link", "Secret", "Survey"]


@record(frozen=True)
class Survey:
    """What a host showed: fields of the resource `survey`, and those of `conda_list` by path of the environment."""

    host: str
    seen: Mapping[str, Any]
    listings: Mapping[str, Mapping[str, Any]]
    unread: Mapping[str, str] = field(default_factory=dict)
    """Environments that could not be read, with why."""


@record(frozen=True)
class Left:
    """Something that could not be taken over: what, why, and what mends it."""

    what: str
    why: str
    mend: str


@record(frozen=True)
class Environment:
    """A conda environment that is taken over: `root`/envs/`name`, its environment.yml, and its packages."""

    name: str
    root: str
    path: str
    role: str
    text: str
    packages: tuple[tuple[str, str, str, str], ...]
    """Kind, name, version and build of each."""


@record(frozen=True)
class Secret:
    """A secret that was found: `name` at the program, and the inventory's `variable` that takes its place."""

    name: str
    variable: str


@record(frozen=True)
class App:
    """A server as an app; `pid` and `started_by` say which it was."""

    name: str
    environment: Environment
    directory: str
    command: tuple[str, ...]
    user: str
    port: int | None
    gpus: tuple[str, ...]
    variables: Mapping[str, str]
    secrets: tuple[Secret, ...]
    pid: int
    started_by: str


@record(frozen=True)
class Link:
    """A link into a shared directory."""

    path: str
    target: str
    root: str
    missing: bool = False


@record(frozen=True)
class Adopted:
    """Everything that is written, and everything that is not. `aside`: what is no concern of a playbook, in words."""

    host: str
    environments: tuple[Environment, ...] = ()
    apps: tuple[App, ...] = ()
    links: tuple[Link, ...] = ()
    left: tuple[Left, ...] = ()
    aside: tuple[str, ...] = ()
    simulated: bool = False
