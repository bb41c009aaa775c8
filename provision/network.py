"""How hosts and the control node reach what they fetch: proxies, authorities, logins, as the inventory's variables say.

Owns these variables: their forms, their errors, and what of them goes with a step. A login is a secret from here on,
wherever it was written. Must not fetch or connect; mirrors are `conda.mirrors`' matter.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from provision.agent.record import record
from provision.errors import ProvisionError
from provision.source import nearest

if TYPE_CHECKING:
    from provision.variables import Scope

__all__ = [
    "FETCHING",
    "NAMES",
    "Reach",
    "ca_file",
    "here",
    "keep_secret",
    "logged_in",
    "logins",
    "look",
    "of_step",
    "proxies",
    "under",
]

FETCHING = frozenset(("apt_repository", "conda_env", "get_url", "git", "package"))
"""Resources that fetch from elsewhere; what the others reach is named in a task, and so is the way to it."""
PROXIES = ("http_proxy", "https_proxy", "no_proxy")
NAMES = (*PROXIES, "ca_file", "git_credentials")
_CREDENTIALS = {"channel_credentials": "", "index_credentials": "__token__", "git_credentials": "oauth2"}
"""Who a token belongs to; nobody, where it is sent as a bearer's."""
_KEYS = ("username", "password", "token")


@record(frozen=True, slots=True)
class Reach:
    """What goes with a step: variables for what it runs, and authorities as content by SHA-256."""

    environment: Mapping[str, str] = field(default_factory=dict)
    trust: str | None = None
    blobs: Mapping[str, bytes | Path] = field(default_factory=dict)


NOTHING = Reach()


def of_step(resource: str, scope: Scope, folder: Path) -> Reach:
    """What a host's variables say for a step; relative paths start at `folder`, which is the inventory's.

    Raises ProvisionError where a variable is not as it must be, and what rendering raises.
    """
    if resource not in FETCHING or not any(scope.layer(name) for name in NAMES):
        return NOTHING
    values = {name: scope.find(name) for name in NAMES if scope.layer(name)}
    environment = proxies(values)
    if resource == "git":
        environment |= _git(logins(values, "git_credentials"))
    if not values.get("ca_file"):
        return Reach(environment)
    _refuse_of_host(scope)
    digest, content = _authorities(str(ca_file(values, folder)))
    return Reach(environment, digest, {digest: content})


def look(variables: Mapping[str, Any], folder: Path) -> None:
    """Raises ProvisionError where one of these variables of a host is not as it must be."""
    proxies(variables)
    ca_file(variables, folder)
    for name in _CREDENTIALS:
        logins(variables, name)


def under(reach: Reach, own: dict[str, str]) -> dict[str, str]:
    """The variables of a step: its own ones, which win whatever their case, over those of the network.

    Where it numbers a configuration for git, ours is left away: the two cannot be told apart.
    """
    if not reach.environment:
        return own
    said = {name.lower() for name in own}
    ours = (item for item in reach.environment.items() if item[0].lower() not in said)
    if "git_config_count" in said:
        ours = (item for item in ours if not item[0].startswith("GIT_CONFIG_"))
    return dict(ours) | own


def proxies(variables: Mapping[str, Any]) -> dict[str, str]:
    """The variables of proxies, in both spellings, as programs know one or the other. Raises ProvisionError."""
    found: dict[str, str] = {}
    for name in PROXIES:
        value = variables.get(name)
        if not value:
            continue
        if isinstance(value, list | tuple) and name == "no_proxy":
            value = ",".join(str(item) for item in value)
        if name != "no_proxy":
            keep_secret(value := _proxy(name, value))
        found[name] = found[name.upper()] = str(value)
    return found


def _proxy(name: str, value: Any) -> str:
    text = str(value)
    parts = _split(text)
    if parts is None or parts.scheme != "http" or not parts.hostname:
        raise ProvisionError(
            f"the variable `{name}` names no proxy",
            cause="a proxy is reached by `http://`, also for https" if "://" in text else "it is no address",
            hint=f"write `{name}: http://HOST:PORT`, with `USER:PASSWORD@` before HOST where it asks for them",
        )
    return text.rstrip("/")


def ca_file(variables: Mapping[str, Any], folder: Path) -> Path | None:
    """The file of the variable `ca_file`, looked at; None where there is none. Raises ProvisionError."""
    if not variables.get("ca_file"):
        return None
    path = folder / Path(str(variables["ca_file"])).expanduser()
    _authorities(str(path))
    return path


def here(network: Mapping[str, str]) -> dict[str, str]:
    """The variables of what fetches on this machine: its own authorities stand beside those of `ca_file`."""
    path = network.get("SSL_CERT_FILE")
    if not path:
        return dict(network)
    # imported here: only what solves and locks needs them
    from provision.agent import trust
    from provision.cache import cache_folder
    from provision.whole_file import write_whole_bytes

    joined = trust.joined(_authorities(path)[1], trust.own())
    place = cache_folder() / "ca" / f"{hashlib.sha256(joined).hexdigest()}.pem"
    if not place.exists():
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole_bytes(place, joined, durable=False)
    return {**network, "SSL_CERT_FILE": str(place)}


def _authorities(path: str) -> tuple[str, bytes]:
    try:
        status = Path(path).stat()
        return _read(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise ProvisionError(
            "cannot read the file of the variable `ca_file`",
            cause=f"`{path}`: {error.strerror or error}",
            hint="it is a file of this machine; a relative path starts at the inventory",
        ) from None


@functools.lru_cache(maxsize=64)
def _read(path: str, _time: int, _size: int) -> tuple[str, bytes]:
    """The SHA-256 and the content; once for all hosts while the file stays the same."""
    content = Path(path).read_bytes()
    if b"PRIVATE KEY-----" in content:
        raise ProvisionError(
            "the file of the variable `ca_file` holds a private key",
            cause=f"`{path}` would be readable by everybody on every host",
            hint="name a file with the certificates of authorities alone",
        )
    if b"-----BEGIN CERTIFICATE-----" not in content:
        raise ProvisionError(
            "the file of the variable `ca_file` holds no certificate",
            cause=f"`{path}` has no `-----BEGIN CERTIFICATE-----`",
            hint="`openssl x509 -inform der -in FILE` writes one in that form",
        )
    return hashlib.sha256(content).hexdigest(), content


def _refuse_of_host(scope: Scope) -> None:
    # imported here: few inventories name authorities
    from provision.host_values import host_names_in

    found = host_names_in(scope.raw("ca_file"), scope)
    if found:
        raise ProvisionError(
            "a host's values in the variable `ca_file`",
            cause="of the host are " + ", ".join(f"`{name}`" for name in sorted(found)),
            hint="it names a file of this machine: choose it by a variable of the inventory",
        )


def logins(variables: Mapping[str, Any], name: str) -> dict[str, str]:
    """Logins by the beginning of addresses, each as it would stand before an address's `@`. Raises ProvisionError."""
    written = variables.get(name) or {}
    if not isinstance(written, Mapping):
        raise ProvisionError(f"the variable `{name}` is no mapping", hint=_form(name))
    found = {}
    for url, login in written.items():
        parts = _split(str(url))
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            cause = (
                "it is no http or https URL" if parts is None or "@" not in parts.netloc else "it holds a login itself"
            )
            bare = str(url).rpartition("@")[2]
            raise ProvisionError(f"`{name}` cannot have a login for `{bare}`", cause=cause, hint=_form(name))
        found[str(url).rstrip("/")] = _login(name, str(url), login)
    return found


def _login(name: str, url: str, login: Any) -> str:
    keys = set(login) if isinstance(login, Mapping) else set()
    if keys not in ({"username", "password"}, {"token"}) or not all(isinstance(v, str) and v for v in login.values()):
        wrong = sorted(str(key) for key in keys - set(_KEYS))
        hint = (nearest(wrong[0], set(_KEYS)) if wrong else "") or _form(name)
        raise ProvisionError(f"`{name}` does not say who asks at `{url}`", hint=hint)
    user, word = login.get("username", _CREDENTIALS[name]), login.get("token") or login["password"]
    if ":" in user or any(ord(character) < 32 for character in user + word):
        raise ProvisionError(f"the login of `{name}` for `{url}` cannot be sent", cause="a user has no `:` in its name")
    written = f"{quote(user, safe='')}:{quote(word, safe='')}"
    _hide([word, f"{user}:{word}"])
    return written


def _form(name: str) -> str:
    return f"write `{name}: {{https://HOST/PATH: {{username: USER, password: PASSWORD}}}}`, or `{{token: TOKEN}}`"


def keep_secret(url: str) -> None:
    """The password in an address is a secret from here on."""
    parts = _split(url)
    login = parts.netloc.rpartition("@")[0] if parts else ""
    user, _, word = login.partition(":")
    if word or user:
        _hide([unquote(word or user), *([f"{unquote(user)}:{unquote(word)}"] if word else [])])


def _hide(texts: Iterable[str]) -> None:
    # imported here: a start without secrets does without
    from provision.secret.known import secret

    for text in texts:
        secret(text)


def logged_in(address: str, known: Mapping[str, str]) -> str:
    """The address with the login of the longest beginning that covers it; one that has a login keeps that."""
    scheme, sign, rest = address.partition("://")
    if not known or not sign or "@" in rest.partition("/")[0]:
        return address
    best = max((url for url in known if address == url or address.startswith(url + "/")), key=len, default="")
    return f"{scheme}://{known[best]}@{rest}" if best else address


def _git(known: Mapping[str, str]) -> dict[str, str]:
    """Logins as git's own configuration by variables, which no other user sees and no file holds."""
    # imported here: few inventories have logins
    from provision.agent.logins import header

    found = {"GIT_CONFIG_COUNT": str(len(known))} if known else {}
    for number, (url, login) in enumerate(known.items()):
        value = f"Authorization: {header(login)}"
        _hide([value.rpartition(" ")[2]])
        found |= {f"GIT_CONFIG_KEY_{number}": f"http.{url}.extraHeader", f"GIT_CONFIG_VALUE_{number}": value}
    return found


def _split(url: str) -> Any:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts
