"""HTTP requests of steps: proxies and certificates as told, credentials only to their own server, always a deadline.

Must not decide what an answer means. Credentials never stand in an error.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import field
from typing import Any, Dict, Iterator, Optional, Tuple

from . import reached, trust
from .archives import proxies_of
from .record import record
from .resource import Refusal
from .system import System
from .wheels import without_credentials

__all__ = ["Request", "answered", "check", "deadline", "environment_of", "parts", "told"]

_CHUNK = 1 << 18
_FOLLOW = ("all", "none", "safe", "urllib2")


@record(frozen=True)
class Request:
    """What is asked. `follow`: which redirections are followed, as Ansible's `follow_redirects` says it."""

    url: str
    method: str = "GET"
    headers: Dict[str, str] = field(default_factory=dict)
    data: Optional[bytes] = None
    timeout: float = 10.0
    username: Optional[str] = None
    password: Optional[str] = None
    force_basic_auth: bool = False
    validate_certs: bool = True
    ca_path: Optional[str] = None
    client_cert: Optional[str] = None
    client_key: Optional[str] = None
    use_proxy: bool = True
    http_agent: str = "provision"
    follow: str = "urllib2"


def check(url: str, timeout: float) -> None:
    """ValueError for what is no address of the web, or no time."""
    if not url.startswith(("http://", "https://")) or any(character <= " " for character in url):
        raise ValueError("url %r is no http or https address" % without_credentials(url))
    if timeout <= 0:
        raise ValueError("timeout is a number of seconds over 0")


def environment_of(system: System) -> Dict[str, str]:
    """Variables of proxies and certificates: the host's own, and over these the step's."""
    names = ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "ssl_cert_file", "ssl_cert_dir")
    found = {key.lower(): value for key, value in os.environ.items() if key.lower() in names}
    own = {**trust.variables(system), **system.environment}
    found.update((key.lower(), value) for key, value in own.items() if key.lower() in names)
    return found


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """What is within ends after so many seconds with a TimeoutError, wherever it waits."""
    import signal

    def ring(*_: Any) -> None:
        raise TimeoutError("no end within %g s" % seconds)

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def answered(request: Request, environment: Dict[str, str], seconds: float) -> Iterator[Any]:
    """The server's answer, whatever its status (`status`, `reason`, `headers`, `url`, `read`), and `seconds` for all.

    Refusal where there is none, or not in time.
    """
    reply = None
    try:
        with deadline(seconds):
            reply = _answer(request, environment)
            yield reply
    except TimeoutError as error:
        raise told(request, error) from None
    finally:
        if reply is not None:
            reply.close()


def _answer(request: Request, environment: Dict[str, str]) -> Any:
    import http.client
    from urllib.parse import urlsplit

    url, username, password = _apart(request)
    login = _login(username, password) if username is not None else ""
    try:
        reply = _opened(request, url, login if request.force_basic_auth else "", environment)
        same = urlsplit(reply.url)[:2] == urlsplit(url)[:2]
        if reply.status == 401 and login and not request.force_basic_auth and same:
            reply.close()
            return _opened(request, url, login, environment)
        return reply
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise told(request, error) from None


def _opened(request: Request, url: str, login: str, environment: Dict[str, str]) -> Any:
    from urllib.error import HTTPError

    try:
        prepared = _prepared(request, url, login)
        return _opener(request, url, environment).open(prepared, timeout=request.timeout)
    except HTTPError as error:
        return error


def _login(username: str, password: Optional[str]) -> str:
    import base64

    return "Basic " + base64.b64encode(("%s:%s" % (username, password or "")).encode("utf-8")).decode()


def parts(stream: Any, request: Request) -> Iterator[bytes]:
    """The content of an answer as it comes; Refusal where it breaks off."""
    import http.client

    try:
        while True:
            chunk = stream.read(_CHUNK)
            if not chunk:
                return
            yield chunk
    except (OSError, http.client.HTTPException) as error:
        raise told(request, error) from None


def told(request: Request, error: BaseException) -> Refusal:
    """No answer, or only half of one, as an error without credentials."""
    reason = getattr(error, "reason", None)
    said = str(reason if reason is not None else error) or type(error).__name__
    for secret in (request.password, request.username):
        said = said.replace(secret, "***") if secret else said
    hint = reached.hint(said, "", "see that the host reaches it")
    if "CERTIFICATE" in said.upper():
        hint = "give the certificate of its authority in `ca_path` or `ca_file`, or correct the server's"
    shown = without_credentials(request.url)
    return Refusal("cannot get `%s`" % shown, without_credentials(said), hint, {"status": -1, "url": shown})


def _apart(request: Request) -> Tuple[str, Optional[str], Optional[str]]:
    """The address without user and password, and these."""
    from urllib.parse import unquote

    scheme, _, rest = request.url.partition("://")
    host, slash, path = rest.partition("/")
    user, sign, bare = host.rpartition("@")
    if not sign:
        return request.url, request.username, request.password
    name, _, word = user.partition(":")
    url = "%s://%s%s%s" % (scheme, bare, slash, path)
    return url, request.username or unquote(name), request.password or unquote(word)


def _prepared(request: Request, url: str, login: str) -> Any:
    from urllib.request import Request as Prepared

    prepared = Prepared(url, data=request.data, method=request.method)
    prepared.add_header("User-agent", request.http_agent)
    for name, value in request.headers.items():
        prepared.add_header(name, value)
    if login:
        prepared.add_header("Authorization", login)
    return prepared


def _opener(request: Request, url: str, environment: Dict[str, str]) -> Any:
    import urllib.request as library

    opener = library.OpenerDirector()
    for handler in (
        library.ProxyHandler(proxies_of(url, environment) if request.use_proxy else {}),
        library.UnknownHandler(),
        library.HTTPHandler(),
        library.HTTPDefaultErrorHandler(),
        library.HTTPErrorProcessor(),
        library.HTTPSHandler(context=_context(request, environment)),
        _redirection(request.follow),
    ):
        opener.add_handler(handler)
    return opener


def _context(request: Request, environment: Dict[str, str]) -> Any:
    import ssl

    cafile = request.ca_path or environment.get("ssl_cert_file")
    context = ssl.create_default_context(cafile=cafile, capath=environment.get("ssl_cert_dir"))
    if not request.validate_certs:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if request.client_cert:
        context.load_cert_chain(request.client_cert, request.client_key)
    return context


def _redirection(follow: str) -> Any:
    """Follows what `follow` lets it, to http and https only; credentials stay with their server."""
    from urllib.parse import urlsplit
    from urllib.request import HTTPRedirectHandler

    class Redirection(HTTPRedirectHandler):
        def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
            method = req.get_method()
            if follow == "none" or (follow == "safe" and method not in ("GET", "HEAD")):
                return None
            old, new = urlsplit(req.full_url), urlsplit(newurl)
            if new.scheme not in ("http", "https"):
                return None
            keeps = follow == "all" and (code in (307, 308) or method == "HEAD")
            if keeps and method not in ("GET", "HEAD"):
                made: Any = type(req)(newurl, data=req.data, headers=dict(req.headers), method=method)
            else:
                if method not in ("GET", "HEAD", "POST") and follow == "all":
                    req.method = "GET"
                known = 307 if code == 308 else code  # older Pythons do not know it
                made = super().redirect_request(req, fp, known, msg, headers, newurl)
            if made is not None and (old.scheme, old.netloc) != (new.scheme, new.netloc):
                for name in ("Authorization", "Cookie"):
                    made.remove_header(name)
            return made

        http_error_308 = HTTPRedirectHandler.http_error_302

    return Redirection()
