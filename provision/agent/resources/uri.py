"""A question to a web service, with Ansible's meaning of `uri`. Changes nothing on the host."""

from __future__ import annotations

import json
import os
from dataclasses import field
from typing import Any, Dict, List, Optional, Union

from .. import web
from ..record import record
from ..resource import Action, Emit, Refusal
from ..system import System
from ..wheels import without_credentials

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe", "probe"]

_WHOLE = 3600.0
_LIMIT = 64 << 20
_TAIL = 2000
_FORMATS = {"json": "application/json", "form-urlencoded": "application/x-www-form-urlencoded", "raw": ""}
_FOLLOW = ("all", "none", "safe", "urllib2", "yes", "no")


@record(frozen=True)
class Spec:
    """An address, how it is asked, and the status that is expected.

    - uri:
        url: http://127.0.0.1:8080/api/jobs
        method: POST
        body_format: json
        body: {model: base, steps: 20}
        status_code: [200, 201]
        return_content: true
      register: job

    `timeout`: seconds without a byte. `creates` and `removes` are paths: it is not asked where the first exists or the
    second does not.
    """

    url: str
    method: str = "GET"
    body: Any = None
    body_format: str = "raw"
    status_code: Union[int, str, List[int]] = 200
    return_content: bool = False
    headers: Dict[str, str] = field(default_factory=dict)
    timeout: float = 30.0
    follow_redirects: str = "safe"
    creates: Optional[str] = None
    removes: Optional[str] = None
    url_username: Optional[str] = None
    url_password: Optional[str] = None
    force_basic_auth: bool = False
    validate_certs: bool = True
    ca_path: Optional[str] = None
    client_cert: Optional[str] = None
    client_key: Optional[str] = None
    use_proxy: bool = True
    http_agent: str = "provision"

    def __post_init__(self) -> None:
        web.check(self.url, self.timeout)
        if not self.method.isascii() or not self.method.isalpha():
            raise ValueError("method is one word, like GET or POST")
        if self.body_format not in _FORMATS:
            raise ValueError("body_format is one of %s" % ", ".join(_FORMATS))
        if self.follow_redirects not in _FOLLOW:
            raise ValueError("follow_redirects is one of %s" % ", ".join(_FOLLOW[:4]))
        if self.body_format == "raw" and not isinstance(self.body, (str, type(None))):
            raise ValueError("a body that is no text needs `body_format`")
        self.expected()
        self.data()

    def expected(self) -> List[int]:
        """The status codes that are right; ValueError for what is none."""
        if isinstance(self.status_code, str):
            return [int(word) for word in self.status_code.split(",")]
        return [self.status_code] if isinstance(self.status_code, int) else list(self.status_code)

    def data(self) -> Optional[bytes]:
        """The body as it is sent; ValueError for one that is no form."""
        if self.body is None or isinstance(self.body, str):
            text = self.body
        elif self.body_format == "json":
            text = json.dumps(self.body)
        else:
            from urllib.parse import urlencode

            try:
                text = urlencode(self.body, doseq=True)
            except TypeError:
                raise ValueError("body is no form: it is a mapping of names to values") from None
        return None if text is None else text.encode("utf-8")


@record(frozen=True)
class State:
    """`reason`: why it is not asked, "" when it is."""

    reason: str = ""


def observe(spec: Spec, system: System) -> State:
    """Whether `creates` or `removes` make the question needless."""
    if spec.creates is not None and os.path.exists(spec.creates):
        return State("skipped, since '%s' exists" % spec.creates)
    if spec.removes is not None and not os.path.exists(spec.removes):
        return State("skipped, since '%s' does not exist" % spec.removes)
    return State()


def decide(spec: Spec, state: State) -> List[Action]:
    """Nothing, ever: asking changes nothing here."""
    return []


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """There is nothing to apply."""
    return {}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`url`, and why it was not asked."""
    found = {"url": without_credentials(spec.url)}
    return {**found, "stdout": state.reason} if state.reason else found


def probe(spec: Spec, state: State, system: System, emit: Emit) -> Dict[str, Any]:
    """Ask, and give what Ansible registers; Refusal, with all that, for an answer of another status."""
    if state.reason or system.check:
        return {}
    import time

    request, began = _request(spec), time.monotonic()
    with web.answered(request, web.environment_of(system), _WHOLE) as reply:
        content = b""
        for part in web.parts(reply, request):
            content += part
            if len(content) > _LIMIT:
                raise Refusal(
                    "the answer of `%s` is too large" % without_credentials(spec.url),
                    "it has more than %d MiB" % (_LIMIT >> 20),
                    "fetch it with `get_url`",
                )
    wrong = reply.status not in spec.expected()
    found = _registered(spec, reply, content, spec.return_content)
    found["elapsed"] = int(time.monotonic() - began)
    if wrong:
        raise _unexpected(spec, reply, content, found)
    return found


def _request(spec: Spec) -> web.Request:
    headers = dict(spec.headers)
    kind = _FORMATS[spec.body_format]
    if kind and "content-type" not in {name.lower() for name in headers}:
        headers["Content-Type"] = kind
    return web.Request(
        url=spec.url,
        method=spec.method.upper(),
        headers=headers,
        data=spec.data(),
        timeout=spec.timeout,
        username=spec.url_username,
        password=spec.url_password,
        force_basic_auth=spec.force_basic_auth,
        validate_certs=spec.validate_certs,
        ca_path=spec.ca_path,
        client_cert=spec.client_cert,
        client_key=spec.client_key,
        use_proxy=spec.use_proxy,
        http_agent=spec.http_agent,
        follow={"yes": "all", "no": "none"}.get(spec.follow_redirects, spec.follow_redirects),
    )


def _registered(spec: Spec, reply: Any, content: bytes, whole: bool) -> Dict[str, Any]:
    from email.message import Message

    headers: Message = reply.headers
    found: Dict[str, Any] = {}
    for name in headers:
        found[name.replace("-", "_").lower()] = ", ".join(str(value) for value in headers.get_all(name, []))
    url = without_credentials(str(reply.url))
    size = headers.get("Content-Length") or "unknown"
    good = 200 <= reply.status < 400
    told = "OK (%s bytes)" % size if good else "HTTP Error %d: %s" % (reply.status, reply.reason)
    found.update(status=reply.status, url=url, redirected=url != without_credentials(spec.url), msg=told)
    pairs = [value.partition(";")[0].partition("=") for value in headers.get_all("Set-Cookie", [])]
    found["cookies"] = {name.strip(): value for name, _, value in pairs}
    found["cookies_string"] = "; ".join("%s=%s" % item for item in found["cookies"].items())
    text = content.decode(headers.get_content_charset() or "utf-8", "backslashreplace")
    kind = headers.get_content_subtype() if "Content-Type" in headers else ""
    if kind == "json" or kind.endswith("+json"):
        try:
            found["json"] = json.loads(text)
        except ValueError:
            pass
    return {**found, "content": text} if whole else found


def _unexpected(spec: Spec, reply: Any, content: bytes, found: Dict[str, Any]) -> Refusal:
    wanted = spec.expected()
    found["msg"] = "Status code was %d and not %s: %s" % (reply.status, wanted, found["msg"])
    said = content[:_TAIL].decode("utf-8", "backslashreplace").strip()
    return Refusal(
        "`%s` answers with status %d" % (without_credentials(spec.url), reply.status),
        "%s is expected%s" % (" or ".join(str(code) for code in wanted), "; it says: " + said if said else ""),
        "",
        found,
    )
