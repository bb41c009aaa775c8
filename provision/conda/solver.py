"""The solver process: `python -m provision.conda.solver`, one request as JSON on stdin, one answer as JSON on stdout.

The only importer of rattler on the control node. It lives in a process of its own, which ends with `os._exit`, since
rattler can crash its interpreter at a regular exit after the work is done.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from rattler import GenericVirtualPackage, LockFile, MatchSpec, PackageName, Version, solve
from rattler.lock import LockChannel, LockPlatform
from rattler.networking import Client, MirrorMiddleware
from rattler.networking.middleware import AddHeadersMiddleware, AuthenticationMiddleware, RetryMiddleware
from rattler.package.build_string import BuildString
from rattler.repo_data.gateway import Gateway
from rattler.repo_data.record import RepoDataRecord

from provision.agent import logins


async def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The solution of a request: rattler's lock file as text, and each package's record."""
    records = await solve(
        request["channels"],
        [MatchSpec(text) for text in request["specs"]],
        gateway=_gateway(request),
        platforms=[request["platform"], "noarch"],
        virtual_packages=[_virtual(*package) for package in request["virtual_packages"]],
        locked_packages=_locked(request["previous"]) if request.get("previous") else [],
        timeout=datetime.timedelta(seconds=request["timeout"]),
    )
    records.sort(key=lambda record: record.name.normalized)
    return {"lock": _lock_text(request, records), "records": [json.loads(record.to_json()) for record in records]}


def _gateway(request: dict[str, Any]) -> Gateway:
    addresses = request["mirrors"]
    mirrors = MirrorMiddleware({canonical: [mirror] for canonical, mirror in logins.bare(addresses).items()})
    headers = logins.headers(addresses)
    # rattler's own looks for logins, in netrc among others, come first: what the inventory says replaces them
    own = [AddHeadersMiddleware(headers)] if headers else []
    client = Client([mirrors, RetryMiddleware(2), AuthenticationMiddleware(), *own])
    return Gateway(cache_dir=Path(request["cache"]), client=client)


def _virtual(name: str, version: str, build: str) -> GenericVirtualPackage:
    return GenericVirtualPackage(PackageName(name), Version(version), BuildString(build))


def _locked(text: str) -> list[RepoDataRecord]:
    """The packages of an earlier lock, which are kept where they still fit."""
    lock = _through_file(text)
    environment = lock.default_environment()
    found: list[RepoDataRecord] = []
    for platform in lock.platforms():
        found += (environment.conda_repodata_records_for_platform(platform) if environment else None) or []
    return found


def _lock_text(request: dict[str, Any], records: list[RepoDataRecord]) -> str:
    platform = LockPlatform(
        request["platform"], virtual_packages=["=".join(package) for package in request["virtual_packages"]]
    )
    lock = LockFile([platform])
    lock.set_channels("default", [LockChannel(url) for url in request["channels"]])
    for record in records:
        lock.add_conda_package("default", platform, record)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "lock")
        lock.to_path(path)
        return path.read_text()


def _through_file(text: str) -> LockFile:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "lock")
        path.write_text(text)
        return LockFile.from_path(path)


def main() -> None:
    try:
        result = asyncio.run(answer(json.load(sys.stdin)))
    except Exception as error:
        result = {"error": str(error), "kind": type(error).__name__}
    sys.stdout.write(json.dumps(result))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
