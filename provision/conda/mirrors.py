"""Where packages come from: canonical URLs of channels and indexes, and the mirrors that serve them here.

Locks hold canonical URLs only; a mirror, with its credentials, is applied when something is fetched.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from provision.agent.record import record
from provision.errors import ProvisionError
from provision.network import ca_file, keep_secret, logged_in, logins, proxies
from provision.source import nearest

__all__ = ["Settings", "canonical_channels", "canonical_url", "clean", "mirrored"]

CONDA = "https://conda.anaconda.org"
DEFAULTS = ("https://repo.anaconda.com/pkgs/main", "https://repo.anaconda.com/pkgs/r")
PLATFORMS = ("linux-64", "linux-aarch64")
_FLOOR_KEYS = ("platform", "glibc", "linux", "cuda", "archspec", "driver")
_VERSION = re.compile(r"[0-9]+(\.[0-9]+)*\Z")
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*@")


@record(frozen=True)
class Settings:
    """What the inventory says about environments.

    `glibc`, `linux`, `cuda` and `archspec` are the least that every host has, and what is solved for; `cuda` None:
    what the environment itself means. `driver` is the oldest driver of the fleet, None when it is not said.
    `locks_directory` None: a lock stands beside its environment.yml. `network` holds the variables of proxies and of
    the certificate file for whatever fetches. `channel_logins` and `index_logins` go with addresses that begin so.
    `root` is where environments live on hosts. `signed`: locks have to be signed, by somebody whom the file
    `allowed_signers` names, and none goes to a host that is older than what serves there, unless `older`.
    """

    channel_mirrors: Mapping[str, str] = field(default_factory=dict)
    index_mirrors: Mapping[str, str] = field(default_factory=dict)
    locks_directory: Path | None = None
    platform: str = "linux-64"
    glibc: str = "2.28"
    linux: str = "4.18"
    cuda: str | None = None
    archspec: str = "x86_64"
    driver: str | None = None
    network: Mapping[str, str] = field(default_factory=dict)
    root: str = "/opt/conda"
    channel_logins: Mapping[str, str] = field(default_factory=dict, repr=False)
    index_logins: Mapping[str, str] = field(default_factory=dict, repr=False)
    signed: bool = False
    older: bool = False
    allowed_signers: Path | None = None

    def channel_address(self, url: str) -> str:
        """Where a canonical channel is fetched, with the login that it asks for."""
        return logged_in(mirrored(url, self.channel_mirrors), self.channel_logins)

    def index_address(self, url: str) -> str:
        """Where a canonical index is fetched, with the login that it asks for."""
        return logged_in(mirrored(url, self.index_mirrors), self.index_logins)

    def for_platform(self, platform: str) -> Settings:
        """The same for another platform; a floor of the processor holds for its own architecture only."""
        if platform == self.platform:
            return self
        archspec = "aarch64" if platform == "linux-aarch64" else "x86_64"
        return replace(self, platform=platform, archspec=archspec)

    @staticmethod
    def of_host(variables: Mapping[str, Any]) -> Settings:
        """Of the settings those that a host's own installations depend on. Raises ProvisionError."""
        return Settings(**_of_host(variables))

    @staticmethod
    def read(variables: Mapping[str, Any], folder: Path) -> Settings:
        """The settings in an inventory's variables; relative paths start at `folder`. Raises ProvisionError."""
        floor = _mapping(variables, "system_floor")
        for key in floor:
            if key not in _FLOOR_KEYS:
                hint = nearest(key, set(_FLOOR_KEYS)) or f"it knows {', '.join(f'`{known}`' for known in _FLOOR_KEYS)}"
                raise ProvisionError(f"unknown key `{key}` in the variable `system_floor`", hint=hint)
        given: dict[str, Any] = {key: _version(key, value) for key, value in floor.items() if value is not None}
        if given.get("platform", "linux-64") not in PLATFORMS:
            hint = "it can be `linux-64` or `linux-aarch64`"
            raise ProvisionError(f"the platform `{given['platform']}` is not supported", hint=hint)
        locks, signers = variables.get("locks_directory"), variables.get("allowed_signers")
        return Settings(
            **_of_host(variables),
            locks_directory=folder / str(locks) if locks else None,
            allowed_signers=folder / Path(str(signers)).expanduser() if signers else None,
            network=_network(variables, folder),
            **({"archspec": "aarch64"} if given.get("platform") == "linux-aarch64" else {}) | given,
        )


def canonical_channels(channels: Iterable[str]) -> tuple[str, ...]:
    """The URLs of channels in their order; `nodefaults` is none, `defaults` stands for two."""
    urls: list[str] = []
    for channel in channels:
        urls += DEFAULTS if channel == "defaults" else () if channel == "nodefaults" else (canonical_channel(channel),)
    return tuple(dict.fromkeys(urls))


def canonical_channel(channel: str) -> str:
    """The URL that a channel's name stands for; a URL stays, without its last slash."""
    return channel.rstrip("/") if "://" in channel else f"{CONDA}/{channel.strip('/')}"


def mirrored(url: str, mirrors: Mapping[str, str]) -> str:
    """The address that serves a canonical URL: the mirror with the longest matching beginning, else the URL."""
    best = max((c for c in mirrors if url == c or url.startswith(c + "/")), key=len, default="")
    return mirrors[best] + url[len(best) :] if best else url


def canonical_url(url: str, mirrors: Mapping[str, str]) -> str:
    """The URL that a lock holds for what a mirror served, never with credentials.

    What is on a mirror's server keeps its place relative to the mirror's address, below the canonical one: a mirror
    at /pypi/simple that links to /pypi/files/x stands for https://pypi.org/files/x.
    """
    bare = clean(url)
    parts = urlsplit(bare)
    same_server = [pair for pair in mirrors.items() if urlsplit(clean(pair[1])).netloc == parts.netloc]
    best = max(
        same_server,
        key=lambda pair: len(posixpath.commonpath([urlsplit(pair[1]).path or "/", parts.path])),
        default=None,
    )
    if best is None:
        return bare
    canonical, mirror = best
    relative = posixpath.relpath(parts.path, urlsplit(mirror).path or "/")
    return urljoin(canonical + "/", relative)


def clean(text: str) -> str:
    """A URL, or text that holds some, without credentials."""
    return _CREDENTIALS.sub("", text)


def _of_host(variables: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "channel_mirrors": _mirrors(variables, "channel_mirrors", canonical_channel),
        "index_mirrors": _mirrors(variables, "index_mirrors", lambda url: url.rstrip("/")),
        "channel_logins": logins(variables, "channel_credentials"),
        "index_logins": logins(variables, "index_credentials"),
        "root": str(variables.get("conda_root", "/opt/conda")),
        "signed": _yes(variables, "require_signed_locks"),
        "older": _yes(variables, "allow_older_locks"),
    }


def _yes(variables: Mapping[str, Any], name: str) -> bool:
    """A variable that is true or false; the command line gives texts."""
    value = variables.get(name, False)
    said = (
        {"true": True, "yes": True, "false": False, "no": False}.get(value.lower()) if isinstance(value, str) else value
    )
    if not isinstance(said, bool):
        raise ProvisionError(f"the variable `{name}` is true or false, not `{value}`")
    return said


def _mapping(variables: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = variables.get(name) or {}
    if not isinstance(value, Mapping):
        raise ProvisionError(f"the variable `{name}` is no mapping")
    return value


def _mirrors(variables: Mapping[str, Any], name: str, canonical: Any) -> dict[str, str]:
    mirrors = {}
    for key, value in _mapping(variables, name).items():
        if urlsplit(str(value)).scheme not in ("http", "https"):
            hint = f"write `{name}: {{{key}: https://…}}`"
            raise ProvisionError(f"the mirror of `{key}` in the variable `{name}` is no http or https URL", hint=hint)
        keep_secret(str(value))
        mirrors[canonical(str(key))] = str(value).rstrip("/")
    return mirrors


def _version(key: str, value: object) -> str:
    if key not in ("platform", "archspec") and not (isinstance(value, str) and _VERSION.match(value)):
        raise ProvisionError(
            f"`{key}` in the variable `system_floor` is no version", hint='write it in quotes, such as "2.28"'
        )
    return str(value)


def _network(variables: Mapping[str, Any], folder: Path) -> dict[str, str]:
    found = proxies(variables)
    path = ca_file(variables, folder)
    return {**found, "SSL_CERT_FILE": str(path)} if path else found
