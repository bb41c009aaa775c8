"""What steps reach the world with: logins of addresses, authorities in one file, and hints of what lacks."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from resource_parts import done, say, server

from provision.agent import logins, packages, reached, trust
from provision.agent.resource import Refusal
from provision.agent.resources import git
from provision.agent.spawn import Completed
from provision.agent.system import System

OURS = b"-----BEGIN CERTIFICATE-----\nours\n-----END CERTIFICATE-----\n"
SHA = hashlib.sha256(OURS).hexdigest()
BASIC = "Basic " + base64.b64encode(b"me:p@ss/word").decode()


class Blobs:
    """Gives content, and counts how often it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.path, self.asked = folder / SHA, 0
        folder.mkdir()
        self.path.write_bytes(OURS)

    def __call__(self, sha256: str) -> str:
        assert sha256 == SHA
        self.asked += 1
        return str(self.path)


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


@pytest.fixture
def host(tmp_path: Path, blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> System:
    """A host with authorities of its own."""
    own = tmp_path / "own.crt"
    own.write_bytes(b"the host's\n")
    monkeypatch.setattr(trust, "_OWN", (str(tmp_path / "absent"), str(own)))
    return System(blob=blobs, trust=SHA, state_directory=str(tmp_path / "state"))


@pytest.fixture(autouse=True)
def state(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()


@pytest.mark.parametrize(
    ("url", "bare", "value"),
    [
        ("https://c.example/x", "https://c.example/x", None),
        ("https://me:p%40ss%2Fword@c.example:8443/x", "https://c.example:8443/x", BASIC),
        ("https://:t%2Fk@c.example/x", "https://c.example/x", "Bearer t/k"),
    ],
)
def test_a_login_becomes_a_header(url: str, bare: str, value: str | None) -> None:
    assert logins.apart(url) == (bare, value)


def test_each_request_gets_the_login_of_its_longest_beginning() -> None:
    one, two = "https://me:one@c.example:8443", "https://me:two@c.example:8443/private"
    asked = logins.headers({"https://a/1": one, "https://a/2": two, "https://a/3": "https://d.example/"})
    assert asked is not None

    def password(host: str, path: str) -> str:
        found = asked(host, path)
        return base64.b64decode(found["Authorization"].partition(" ")[2]).decode() if found else ""

    assert password("C.example", "/private/noarch/a.conda") == "me:two"
    assert password("c.example", "/privately/a.conda") == "me:one"
    assert password("d.example", "/private") == ""
    assert logins.headers({"https://a/1": "https://d.example/"}) is None


def test_authorities_are_joined_once(host: System, blobs: Blobs, tmp_path: Path) -> None:
    path = trust.bundle(host)
    assert path == str(tmp_path / f"state/ca/{SHA}.pem")
    assert Path(path).read_bytes() == b"the host's\n" + OURS
    assert Path(path).stat().st_mode & 0o777 == 0o644
    assert Path(path).parent.stat().st_mode & 0o777 == 0o755
    assert (trust.bundle(host), blobs.asked) == (path, 1)


def test_authorities_follow_those_of_the_host(host: System, blobs: Blobs, tmp_path: Path) -> None:
    trust.bundle(host)
    own = tmp_path / "own.crt"
    own.write_bytes(b"the host's newer\n")
    os.utime(own, (1, 1))
    path = trust.bundle(host)
    assert path is not None
    assert Path(path).read_bytes() == b"the host's newer\n" + OURS
    assert blobs.asked == 2
    own.unlink()
    assert (trust.bundle(host), blobs.asked) == (path, 2)


def test_who_may_not_write_there_has_a_file_for_this_run(
    host: System, blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: path != host.state_directory)
    path = trust.bundle(host)
    assert path == f"{blobs.path}.pem"
    assert Path(path).read_bytes() == b"the host's\n" + OURS
    assert not (tmp_path / "state/ca").exists()


def test_a_host_without_authorities_trusts_the_step_s(
    host: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "_OWN", ())
    path = trust.bundle(host)
    assert path is not None
    assert Path(path).read_bytes() == OURS


def test_what_a_step_says_itself_wins(host: System, blobs: Blobs) -> None:
    host.environment = {"ssl_cert_file": "/own.pem"}
    assert trust.variables(host) == {}
    host.environment, host.trust = {}, None
    assert (trust.variables(host), trust.bundle(host), blobs.asked) == ({}, None, 0)


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ("client error (Connect)\nCaused by: tunnel error: unsuccessful", "the proxy refuses"),
        ("fatal: unable to access 'https://h/': CONNECT tunnel failed, response 407", "the proxy refuses"),
        ("<urlopen error Tunnel connection failed: 407 Proxy Authentication Required>", "the proxy refuses"),
        ("E: Failed to fetch http://h/x  407  Proxy Authentication Required", "the proxy refuses"),
        ("invalid peer certificate: UnknownIssuer", "`ca_file`"),
        ("server certificate verification failed. CAfile: x CRLfile: none", "`ca_file`"),
        ("Certificate verification failed: The certificate is NOT trusted.", "`ca_file`"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate", "`ca_file`"),
        ("HTTP status client error (401 Unauthorized) for url (https://h/x)", "`channel_credentials`"),
        ("HTTP Error 403: Forbidden", "`channel_credentials`"),
        ("fatal: could not read Username for 'https://h': terminal prompts disabled", "`channel_credentials`"),
        ("fatal: Authentication failed for 'https://h/x.git/'", "`channel_credentials`"),
        ("The requested URL returned error: 403", "`channel_credentials`"),
        ("dns error: failed to lookup address information", "`http_proxy` and `https_proxy`"),
        ("E: Could not resolve 'h'", "`http_proxy` and `https_proxy`"),
        ("sha256 407401403 is not what was locked", "nothing known"),
    ],
)
def test_what_lacks_is_named(said: str, word: str) -> None:
    assert word in reached.hint(said, "channel_credentials", "nothing known")


def test_without_a_variable_for_logins_none_is_named() -> None:
    assert reached.hint("HTTP Error 401: Unauthorized", "", "nothing known") == "nothing known"


class Ran:
    """Stands in for the running of commands: keeps what was run, and answers as told."""

    def __init__(self, code: int = 0, errors: str = "") -> None:
        self.code, self.errors = code, errors
        self.runs: list[tuple[list[str], dict[str, str]]] = []

    def __call__(self, argv: list[str], **options: Any) -> Completed:
        self.runs.append((list(argv), options.get("environment") or {}))
        return Completed(tuple(argv), self.code, "", self.errors, False)


def test_apt_and_git_are_told_whom_to_trust(host: System, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = Ran(128, "fatal: could not read Username for 'https://h': terminal prompts disabled")
    monkeypatch.setattr(System, "run", ran)
    with pytest.raises(Refusal):
        packages.apt(host, ["update"], lambda **_: None)
    assert f"--option=Acquire::https::CaInfo={trust.bundle(host)}" in ran.runs[0][0]
    with pytest.raises(Refusal) as refused:
        git.observe(git.Spec(repo="https://h/a.git", dest="/nowhere"), host)
    assert ran.runs[1][1]["GIT_SSL_CAINFO"] == trust.bundle(host)
    assert "`git_credentials`" in refused.value.hint
    host.environment = {"GIT_CONFIG_COUNT": "1", "GIT_SSL_CAINFO": "/own.pem"}
    with pytest.raises(Refusal) as refused:
        git.observe(git.Spec(repo="https://h/a.git", dest="/nowhere"), host)
    assert "GIT_SSL_CAINFO" not in ran.runs[2][1]
    assert "is refused for it" in refused.value.hint


def test_git_sends_the_login_of_its_variables(tmp_path: Path) -> None:
    def refuse(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        say(handler, 401)

    with server(refuse) as (url, asked):
        variables = {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"http.{url}/team.extraHeader",
            "GIT_CONFIG_VALUE_0": f"Authorization: {BASIC}",
        }
        for path in ("team/a.git", "other/a.git"):
            with pytest.raises(Refusal):
                done("git", {"repo": f"{url}/{path}", "dest": str(tmp_path / "a")}, environment=variables)
    sent = {path.split("/")[1]: headers.get("Authorization") for _, path, headers, _ in asked}
    assert sent == {"team": BASIC, "other": None}


def test_get_url_trusts_the_step_s_authorities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    made += ["-subj", "/CN=own", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key", "-out", "cert"]
    subprocess.run(made, cwd=tmp_path, check=True, capture_output=True)
    both = tmp_path / "both"
    both.write_text((tmp_path / "cert").read_text() + (tmp_path / "key").read_text())
    spec = {"dest": str(tmp_path / "f")}
    with server(lambda handler, _: say(handler, 200, b"x"), str(both)) as (url, _):
        options: dict[str, Any] = {"state_directory": str(tmp_path / "state")}
        with pytest.raises(Refusal) as refused:
            done("get_url", {**spec, "url": f"{url}/f"}, **options)
        assert "`ca_file`" in refused.value.hint
        done("get_url", {**spec, "url": f"{url}/f"}, trust="x", blob=lambda _: str(tmp_path / "cert"), **options)
    assert (tmp_path / "f").read_bytes() == b"x"
