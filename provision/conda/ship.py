"""A lock as the spec of `conda_env` and the content that a host asks for. Decides nothing about the host."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from provision.cache import once
from provision.conda import tools
from provision.conda.locked import CONDA_FIELDS, Lock, PipPackage
from provision.conda.mirrors import Settings, canonical_channels

__all__ = ["specify"]

Blobs = dict[str, bytes | Path]


def specify(
    lock: Lock, arguments: Mapping[str, Any], settings: Settings, facts: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], Blobs]:
    """The spec of `conda_env` for a lock, and its content by SHA-256.

    `arguments` are those of the task or play that the operator may set (root, link_mode, post_link_ignore, takeover,
    forward, imports, ...); they win over the lock's. `facts`: of the host, whose Python the installer must fit.
    """
    content, blobs = _content(lock)
    target = tools.Target.of(facts)
    spec: dict[str, Any] = {**content, "root": settings.root}
    if settings.signed and not settings.older:
        spec["only_newer"] = True
    try:
        rattler = tools.rattler_archive(target)
    except tools.NoInstaller as none:
        spec["rattler_lacks"] = none.summary  # the host says what else it has
    else:
        blobs = {**blobs, rattler.sha256: rattler.path}
        spec["rattler_blob"] = rattler.sha256
    if lock.pip:
        uv = tools.uv_archive(target)
        blobs[uv.sha256] = uv.path
        spec["uv_blob"] = uv.sha256
    spec["channel_mirrors"] = _used(canonical_channels(lock.asks["channels"]), settings.channel_address)
    spec["index_mirrors"] = _used({package.index for package in lock.pip}, settings.index_address)
    return {**spec, **arguments}, blobs


@once
def _content(lock: Lock) -> tuple[dict[str, Any], Blobs]:
    """What does not depend on the host or the arguments; made once a lock."""
    listing = _json(_listing(lock))
    blobs: Blobs = {_sha256(listing): listing, str(lock.files["conda"]): lock.paths.conda}
    spec: dict[str, Any] = {
        "name": lock.name,
        "lock": lock.digest,
        "locked": lock.locked,
        "listing_blob": _sha256(listing),
        "conda_blob": lock.files["conda"],
        "platform": lock.platform,
        "floor": dict(lock.floor),
        "imports": list(lock.imports),
        "expect": dict(lock.expect),
        "provided": list(lock.provided),
        "variables": dict(lock.variables),
        "simulated": lock.simulated,
    }
    if lock.pip:
        groups = _json(_groups(lock))
        blobs[_sha256(groups)] = groups
        spec["pip_blob"] = _sha256(groups)
    return spec, blobs


def _listing(lock: Lock) -> list[dict[str, Any]]:
    conda = [{**{name: getattr(package, name) for name in CONDA_FIELDS}, "kind": "conda"} for package in lock.packages]
    return conda + [_pip_listed(package) for package in lock.pip]


def _pip_listed(package: PipPackage) -> dict[str, Any]:
    """One line of the listing; of several wheels that fit, the one that uv would take stands first."""
    wheel = package.wheels[0]
    told = {"url": wheel.url, "sha256": wheel.sha256, "size": wheel.size}
    return {"name": package.name, "version": package.version, "build": "", **told, "kind": "pip"}


def _groups(lock: Lock) -> list[dict[str, Any]]:
    """The pip part by index, in the order in which the indexes first appear."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for package in lock.pip:
        hashes = [f"sha256:{wheel.sha256}" for wheel in package.wheels]
        listed = {"name": package.name, "version": package.version, "hashes": hashes}
        groups.setdefault((package.index, package.kind), []).append(listed)
    return [{"index": index, "kind": kind, "packages": packages} for (index, kind), packages in groups.items()]


def _used(urls: Iterable[str], address_of: Callable[[str], str]) -> dict[str, str]:
    """The address of each canonical URL that is not fetched from there: no host learns of others."""
    served = {url: address_of(url) for url in sorted(urls)}
    return {url: address for url, address in served.items() if address != url}


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True).encode()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
