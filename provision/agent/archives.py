"""Fetches packages of a lock from their mirrors into a folder, each checked against its SHA-256 before it counts.

For installers that know neither our mirrors nor our hashes. Must not unpack anything. Credentials of a mirror's
address go into a header, never into a file, an argument or an error.
"""

from __future__ import annotations

import os
from typing import Any, Callable, Dict, List

from . import logins, reached
from .resource import Emit, Refusal
from .system import Cancelled
from .wheels import without_credentials

__all__ = ["address", "fetch", "file_name", "proxies_of"]

_TRIES = 3
_QUIET = 60.0
"""Seconds without a byte after which a try has failed."""


def file_name(package: Dict[str, Any]) -> str:
    """Where a package lies below the folder: its platform and its file's name, as in a channel."""
    platform, _, name = str(package["url"]).rpartition("/")
    return "%s/%s" % (platform.rpartition("/")[2], name)


def address(url: str, mirrors: Dict[str, str]) -> str:
    """Where a canonical URL is fetched: at the mirror with the longest matching beginning, else as it is."""
    best = max((known for known in mirrors if url.startswith(known.rstrip("/") + "/")), key=len, default="")
    return mirrors[best].rstrip("/") + url[len(best.rstrip("/")) :] if best else url


def fetch(
    name: str,
    packages: List[Dict[str, Any]],
    folder: str,
    mirrors: Dict[str, str],
    environment: Dict[str, str],
    emit: Emit,
    cancelled: Callable[[], bool],
) -> None:
    """Fetch every package into `folder`; Refusal when one cannot be had or has another SHA-256, and Cancelled.

    `environment` holds the variables of proxies and certificates.
    """
    total = sum(package.get("size") or 0 for package in packages)
    done = [0]

    def read(count: int, label: str) -> None:
        if cancelled():
            raise Cancelled
        done[0] += count
        emit(done=done[0], total=max(total, done[0]), unit="bytes", label=label)

    for package in packages:
        target = os.path.join(folder, file_name(package))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        problem = _fetched(package, target, address(str(package["url"]), mirrors), environment, read)
        if problem:
            said = without_credentials("package %s: %s" % (package["name"], problem))
            hint = "see that the channels, or their mirrors, have these packages, and run again"
            hint = reached.hint(said, "channel_credentials", "what served still serves; " + hint)
            raise Refusal("cannot install the conda packages of `%s`" % name, said, hint)


def _fetched(
    package: Dict[str, Any],
    target: str,
    url: str,
    environment: Dict[str, str],
    read: Callable[[int, str], None],
) -> str:
    """What is wrong with a package after all tries, or "" once it is there."""
    import http.client

    problem = ""
    for _ in range(_TRIES):
        try:
            digest = _download(url, target, environment, lambda count: read(count, str(package["name"])))
        except (OSError, http.client.HTTPException, ValueError) as error:
            problem = "%s: %s" % (url, error)
            if 400 <= getattr(error, "code", 0) < 500:
                return problem
            continue
        if digest == package["sha256"]:
            return ""
        os.unlink(target)
        problem = "%s has SHA-256 %s, the lock says %s" % (url, digest, package["sha256"])
    return problem


def _download(url: str, target: str, environment: Dict[str, str], read: Callable[[int], None]) -> str:
    """The SHA-256 of what was written to `target`."""
    import hashlib

    digest = hashlib.sha256()
    with _open(url, environment) as answer, open(target, "wb") as file:
        for chunk in iter(lambda: answer.read(1 << 18), b""):
            file.write(chunk)
            digest.update(chunk)
            read(len(chunk))
    return digest.hexdigest()


def _open(url: str, environment: Dict[str, str]) -> Any:
    from urllib.request import ProxyHandler, Request, build_opener

    bare, header = logins.apart(url)
    scheme = bare.partition("://")[0]
    if scheme not in ("http", "https"):
        raise ValueError("packages are fetched by http or https, not by `%s`" % scheme)
    request = Request(bare)
    if header:
        request.add_unredirected_header("Authorization", header)
    handlers: List[Any] = [ProxyHandler(proxies_of(bare, environment))]
    if scheme == "https":
        handlers.append(_https(environment))
    return build_opener(*handlers).open(request, timeout=_QUIET)


def proxies_of(url: str, environment: Dict[str, str]) -> Dict[str, str]:
    """The proxy of each protocol by the usual variables; none where `no_proxy` names the URL's host or its domain."""
    known = {key.lower(): value for key, value in environment.items() if value}
    host = url.partition("://")[2].partition("/")[0].lower()
    names = ("." + host, "." + _bare(host))
    spared = [entry.strip().lower().lstrip(".") for entry in known.get("no_proxy", "").split(",") if entry.strip()]
    if "*" in spared or any(name.endswith("." + entry) for entry in spared for name in names):
        return {}
    chosen = {scheme: known.get(scheme + "_proxy") or known.get("all_proxy") for scheme in ("http", "https")}
    return {scheme: proxy for scheme, proxy in chosen.items() if proxy}


def _bare(host: str) -> str:
    """The host without its port."""
    name, sign, port = host.rpartition(":")
    return name if sign and port.isdigit() else host


def _https(environment: Dict[str, str]) -> Any:
    import ssl
    from urllib.request import HTTPSHandler

    known = {key.lower(): value for key, value in environment.items() if value}
    context = ssl.create_default_context(cafile=known.get("ssl_cert_file"), capath=known.get("ssl_cert_dir"))
    return HTTPSHandler(context=context)
