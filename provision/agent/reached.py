"""Why an address did not answer as wanted, from a program's own words, and which variable of the inventory helps.

For the errors of everything that fetches, on both sides. Must not fetch anything; what it does not know it leaves.
"""

from __future__ import annotations

__all__ = ["hint"]

_PROXY_LOGIN = ("407 proxy", "response 407", "proxy auth", "tunnel error", "tunnel failed", "tunnel connection failed")
_CERTIFICATE = ("unknownissuer", "certificate verif", "certificate_verify", "certificate is not trusted")
_LOGIN = ("unauthorized", "forbidden", "could not read username", "authentication failed", "error: 401", "error: 403")
_AWAY = (
    "dns error",
    "could not resolve",
    "failed to lookup",
    "name or service not known",
    "temporary failure in name resolution",
    "temporary failure resolving",
    "connection refused",
    "network is unreachable",
    "no route to host",
    "timed out",
    "connection timeout",
)


def hint(said: str, credentials: str, otherwise: str) -> str:
    """What an operator can set after these words; `credentials` is the variable of logins, "" where none is."""
    text = said.lower()
    if any(word in text for word in _PROXY_LOGIN):
        return (
            "the proxy refuses: write its user and password, `https_proxy: http://USER:PASSWORD@HOST:PORT` "
            "(and `http_proxy`), or let it pass this address"
        )
    if any(word in text for word in _CERTIFICATE):
        return "name the file of your own certificate authority in the variable `ca_file`"
    if credentials and any(word in text for word in _LOGIN):
        return "say who asks in the variable `%s`: `URL: {username: …, password: …}`, or `{token: …}`" % credentials
    if any(word in text for word in _AWAY):
        return "where the way out is a proxy, name it in the variables `http_proxy` and `https_proxy`; " + otherwise
    return otherwise
