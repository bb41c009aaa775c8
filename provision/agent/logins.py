"""Logins that stand in addresses, and the header that each becomes.

`USER:PASSWORD@` is sent as basic authentication, `:TOKEN@` without a user as a bearer's. Must not fetch anything.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Optional, Tuple

__all__ = ["apart", "bare", "header", "headers"]

Headers = Callable[[str, str], Optional[Dict[str, str]]]
"""What rattler asks for each request, by host and path."""


def apart(url: str) -> Tuple[str, Optional[str]]:
    """The address without its login, and this as the value of the header `Authorization`."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    login, sign, host = host.rpartition("@")
    if not sign:
        return url, None
    return "%s://%s%s%s" % (scheme, host, slash, path), header(login)


def header(login: str) -> str:
    """A login as it stands in an address, quoted, as the value of the header."""
    import base64
    from urllib.parse import unquote

    user, _, word = login.partition(":")
    if not user:
        return "Bearer " + unquote(word)
    return "Basic " + base64.b64encode(("%s:%s" % (unquote(user), unquote(word))).encode()).decode()


def bare(mirrors: Dict[str, str]) -> Dict[str, str]:
    """Mirrors by canonical address, without logins."""
    return {canonical: apart(address)[0] for canonical, address in mirrors.items()}


def headers(mirrors: Dict[str, str]) -> Optional[Headers]:
    """What tells rattler the header of a request, None where no mirror has a login.

    rattler itself takes a login from an address only where no mirror led to it. Ports are not told apart.
    """
    known: List[Tuple[str, str, str]] = []
    for address in mirrors.values():
        url, value = apart(address)
        if value is not None:
            host, _, path = url.partition("://")[2].partition("/")
            known.append((_without_port(host.lower()), "/" + path.rstrip("/"), value))
    known.sort(key=lambda entry: -len(entry[1]))

    def found(host: str, path: str) -> Optional[Dict[str, str]]:
        for name, prefix, value in known:
            if host.lower() == name and (prefix == "/" or path == prefix or path.startswith(prefix + "/")):
                return {"Authorization": value}
        return None

    return found if known else None


def _without_port(host: str) -> str:
    name, sign, port = host.rpartition(":")
    return name if sign and port.isdigit() else host
