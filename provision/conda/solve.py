"""The conda part: what a system floor offers, one solve in the solver process, its errors made readable."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from provision.agent import reached
from provision.cache import cache_folder
from provision.conda.environment import CondaSpec, Environment
from provision.conda.mirrors import Settings, canonical_channel, canonical_channels, clean
from provision.errors import ProvisionError
from provision.network import here

__all__ = ["Solution", "cache_folder", "solve", "virtual_packages"]

SOLVE_TIMEOUT = 120.0
"""Seconds that the solver may think."""
PROCESS_TIMEOUT = 900.0
"""Seconds for the whole process, with what it fetches."""

_ELSEWHERE = "where channels are served by a mirror, say so in the variable `channel_mirrors`"

Solution = tuple[str, list[dict[str, Any]]]
"""Rattler's lock file as text, and the record of each package."""


def virtual_packages(settings: Settings, cuda: str | None) -> list[tuple[str, str, str]]:
    """What a host of the floor offers, as (name, version, build). `cuda` is what the environment itself means."""
    offered = settings.cuda or cuda
    packages = [
        ("__archspec", "1", settings.archspec),
        ("__glibc", settings.glibc, "0"),
        ("__linux", settings.linux, "0"),
        ("__unix", "0", "0"),
    ]
    return [*packages, ("__cuda", offered, "0")] if offered else packages


def solve(environment: Environment, settings: Settings, cuda: str | None, previous: str | None = None) -> Solution:
    """The packages of the conda part. `previous` is an earlier lock file's text, kept to where it still fits.

    Raises ProvisionError when nothing satisfies it, a channel cannot be read, or the deadline is over.
    """
    offered = virtual_packages(settings, cuda)
    request = {
        "channels": list(canonical_channels(environment.channels)),
        "mirrors": _addresses(environment, settings),
        "specs": [_match_spec(spec) for spec in environment.conda],
        "platform": settings.platform,
        "virtual_packages": offered,
        "cache": str(cache_folder() / "repodata"),
        "previous": previous,
        "timeout": SOLVE_TIMEOUT,
    }
    answer = _ask(request, settings.network)
    if "error" in answer:
        raise _readable(environment, settings, offered, answer)
    return answer["lock"], answer["records"]


def _addresses(environment: Environment, settings: Settings) -> dict[str, str]:
    """Where channels are fetched, by canonical URL: all that have a mirror, and those asked for that want a login."""
    asked = {*canonical_channels(environment.channels)}
    asked |= {canonical_channel(spec.channel) for spec in environment.conda if spec.channel}
    found = {url: settings.channel_address(url) for url in (*settings.channel_mirrors, *sorted(asked))}
    return {url: address for url, address in found.items() if address != url}


def _match_spec(spec: CondaSpec) -> str:
    """The spec as rattler reads it: a channel by its URL, an old `NAME VERSION BUILD` as it is."""
    text = spec.text.removeprefix(f"{spec.channel}::")
    return f"{canonical_channel(spec.channel)}::{text}" if spec.channel else text


def _ask(request: dict[str, Any], network: Mapping[str, str]) -> dict[str, Any]:
    argv = [sys.executable, "-m", "provision.conda.solver"]
    try:
        done = subprocess.run(
            argv,
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=PROCESS_TIMEOUT,
            env={**os.environ, **here(network), "PYTHONWARNINGS": "ignore"},
        )
    except subprocess.TimeoutExpired:
        return {"error": f"the solver gave no answer in {PROCESS_TIMEOUT:.0f} s"}
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        tail = done.stderr.strip().splitlines()[-3:]
        return {"error": "\n".join([f"the solver process ended with code {done.returncode}", *tail])}
    return answer if isinstance(answer, dict) else {"error": "the solver process gave no answer"}


def _readable(
    environment: Environment, settings: Settings, offered: list[tuple[str, str, str]], answer: Mapping[str, Any]
) -> ProvisionError:
    """The solver's own words, the place that they are about, and what was offered."""
    said = clean(str(answer["error"])).strip()
    text = re.sub(r"^Cannot solve the request because of: ", "", said)
    for canonical, mirror in settings.channel_mirrors.items():
        text = text.replace(clean(mirror), canonical)
    if answer.get("kind") != "SolverError":
        hint = reached.hint(said, "channel_credentials", "")
        return ProvisionError(
            f"cannot read the channels of `{environment.name}`",
            where=environment.marks.get("channels"),
            cause=said if hint else text,  # who cannot be reached is the mirror
            hint=hint or _ELSEWHERE,
        )
    named = (spec for spec in environment.conda if re.search(rf"(?<![\w-]){re.escape(spec.name)}(?![\w-])", text))
    where = next((spec.where for spec in named), environment.marks.get("dependencies"))
    floor = ", ".join(f"{name}={version}" for name, version, _ in offered if name != "__unix")
    channels = ", ".join(environment.channels)
    hint = f"solved for {settings.platform} with {floor} (variable `system_floor`),\nfrom {channels}"
    return ProvisionError(f"cannot solve the conda part of `{environment.name}`", where=where, cause=text, hint=hint)
