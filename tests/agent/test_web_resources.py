"""`get_url` and `uri` against a real server: what is asked, what is kept, what is never told."""

from __future__ import annotations

import base64
import datetime
import hashlib
import ipaddress
import json
import socket
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from resource_parts import done, names, say, server, verbs

from provision.agent.resource import Refusal

CONTENT = b"weights\n" * 1000
DAY = datetime.timedelta(days=1)
SHA = hashlib.sha256(CONTENT).hexdigest()
BASIC = "Basic " + base64.b64encode(b"me:s3cret").decode()


def _content(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    if handler.headers.get("If-Modified-Since"):
        say(handler, 304)
    else:
        say(handler, 200, CONTENT)


def test_a_file_is_fetched_once_and_asked_about_after_that(tmp_path: Path) -> None:
    with server(_content) as (url, asked):
        spec = {"url": f"{url}/base.bin?token=1", "dest": str(tmp_path), "mode": "0640", "headers": {"X-Key": "k"}}
        planned = done("get_url", spec, check=True)
        assert verbs(planned) == [f"create {tmp_path}/base.bin"] and not asked
        made = done("get_url", spec)
        assert (made.fields["status_code"], made.fields["dest"]) == (200, f"{tmp_path}/base.bin")
        assert made.fields["checksum_src"] == hashlib.sha1(CONTENT).hexdigest()
        again, checked = done("get_url", spec), done("get_url", spec, check=True)
    assert (verbs(again), verbs(checked)) == ([], [])
    assert (tmp_path / "base.bin").read_bytes() == CONTENT
    assert (tmp_path / "base.bin").stat().st_mode & 0o777 == 0o640
    assert [("If-Modified-Since" in headers, headers["X-Key"]) for _, _, headers, _ in asked] == [
        (False, "k"), (True, "k"), (True, "k"),
    ]  # fmt: skip
    assert names(tmp_path) == ["base.bin"]


def test_other_content_replaces_a_file_and_equal_content_does_not(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(CONTENT)
    with server(lambda handler, _: say(handler, 200, CONTENT)) as (url, asked):
        spec = {"url": f"{url}/f", "dest": str(tmp_path / "f"), "force": True, "backup": True}
        assert verbs(done("get_url", spec)) == []
        (tmp_path / "f").write_text("old")
        assert verbs(done("get_url", spec, check=True)) == [f"change {tmp_path}/f"]
        assert (tmp_path / "f").read_text() == "old"
        changed = done("get_url", spec)
        assert all("If-Modified-Since" not in headers for _, _, headers, _ in asked)
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert Path(changed.fields["backup_file"]).read_text() == "old"


def test_a_wrong_checksum_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("old")
    with server(_content) as (url, _), pytest.raises(Refusal) as refused:
        done("get_url", {"url": f"{url}/f", "dest": str(tmp_path / "f"), "checksum": "sha256:" + "0" * 64})
    assert refused.value.summary == f"`{url}/f` is not what its checksum says"
    assert refused.value.cause == f"sha256 is {SHA}, and {'0' * 64} is wanted"
    assert names(tmp_path) == ["f"] and (tmp_path / "f").read_text() == "old"


def test_a_checksum_may_be_written_in_capitals(tmp_path: Path) -> None:
    with server(_content) as (url, asked):
        spec = {"url": f"{url}/f", "dest": str(tmp_path / "f"), "checksum": f"sha256:{SHA.upper()}"}
        assert verbs(done("get_url", spec)) == [f"create {tmp_path}/f"]
        assert verbs(done("get_url", spec)) == [] and len(asked) == 1


def test_a_list_of_checksums_names_the_file(tmp_path: Path) -> None:
    def answer(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        listing = f"{'1' * 64}  other\n{SHA} *./f\n".encode()
        say(handler, 200, listing if handler.path == "/SUMS" else CONTENT)

    with server(answer) as (url, asked):
        spec = {"url": f"{url}/f", "dest": str(tmp_path / "f"), "checksum": f"sha256:{url}/SUMS"}
        assert verbs(done("get_url", spec)) == [f"create {tmp_path}/f"]
        assert verbs(done("get_url", spec)) == []
        assert [path for _, path, _, _ in asked].count("/f") == 1
        with pytest.raises(Refusal) as refused:
            done("get_url", {**spec, "url": f"{url}/none"})
    assert refused.value.summary == "there is no checksum for `none`"


def test_a_file_that_breaks_off_is_not_kept(tmp_path: Path) -> None:
    with (
        server(lambda handler, _: say(handler, 200, b"half", claimed=100)) as (url, _),
        pytest.raises(Refusal) as refused,
    ):
        done("get_url", {"url": f"{url}/f", "dest": str(tmp_path / "f"), "timeout": 5.0})
    assert refused.value.cause in ("4 of 100 bytes came", "IncompleteRead(4 bytes read, 96 more expected)")
    assert names(tmp_path) == []


def test_a_server_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(Refusal) as refused:
            done(
                "get_url",
                {"url": f"http://127.0.0.1:{silent.getsockname()[1]}/", "dest": str(tmp_path), "timeout": 0.3},
            )
    assert "timed out" in refused.value.cause and time.monotonic() - began < 20


def test_an_error_of_the_server_is_told_without_credentials(tmp_path: Path) -> None:
    with server(lambda handler, _: say(handler, 404)) as (url, _), pytest.raises(Refusal) as refused:
        done("get_url", {"url": url.replace("//", "//me:s3cret@") + "/f", "dest": str(tmp_path / "f")})
    assert (refused.value.summary, refused.value.cause) == (f"cannot get `{url}/f`", "the server says 404 Not Found")


def test_credentials_go_where_they_are_asked_for_and_not_to_another_server(tmp_path: Path) -> None:
    with server(lambda handler, _: say(handler, 200, CONTENT)) as (other, elsewhere):

        def answer(handler: BaseHTTPRequestHandler, _: bytes) -> None:
            if not handler.headers.get("Authorization"):
                say(handler, 401, WWW_Authenticate='Basic realm="x"')
            else:
                say(handler, 302, Location=f"{other}/f")

        with server(answer) as (url, asked):
            login = {"url_username": "me", "url_password": "s3cret"}
            done("get_url", {"url": f"{url}/f", "dest": str(tmp_path / "a"), **login})
            done("get_url", {"url": f"{url}/f", "dest": str(tmp_path / "b"), "force_basic_auth": True, **login})
    assert [headers.get("Authorization") for _, _, headers, _ in asked] == [None, BASIC, BASIC]
    assert [headers.get("Authorization") for _, _, headers, _ in elsewhere] == [None, None]
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == CONTENT


def test_a_redirection_to_a_file_of_the_host_is_not_followed(tmp_path: Path) -> None:
    def away(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        say(handler, 302, Location="file:///etc/hostname")

    with server(away) as (url, _), pytest.raises(Refusal) as refused:
        done("get_url", {"url": f"{url}/f", "dest": str(tmp_path / "f")})
    assert "302" in refused.value.cause and "file" in refused.value.cause
    assert names(tmp_path) == []


def test_the_proxy_of_the_step_is_used(tmp_path: Path) -> None:
    with server(_content) as (url, asked):
        variables = {"http_proxy": url, "no_proxy": "spared.invalid"}
        done("get_url", {"url": "http://far.invalid/f", "dest": str(tmp_path / "f")}, environment=variables)
        assert [path for _, path, _, _ in asked] == ["http://far.invalid/f"]
        with pytest.raises(Refusal):
            spec = {"url": "http://far.invalid/g", "dest": str(tmp_path / "g"), "use_proxy": False}
            done("get_url", spec, environment=variables)
        assert len(asked) == 1


def _certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody else signed, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "an authority of our own")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + DAY)
    signed = made.add_extension(address, False).add_extension(x509.BasicConstraints(True, 0), True).sign(key, SHA256())
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "own.pem").write_bytes(key.private_bytes(*form) + signed.public_bytes(Encoding.PEM))
    return folder / "own.pem"


def test_a_certificate_has_to_be_signed_by_somebody_known(tmp_path: Path) -> None:
    certificate = _certificate(tmp_path)
    with server(lambda handler, _: say(handler, 200, b"told"), str(certificate)) as (url, asked):
        spec = {"url": url, "return_content": True}
        with pytest.raises(Refusal) as refused:
            done("uri", spec)
        assert "certificate" in refused.value.cause and refused.value.hint.startswith("give the certificate of its")
        assert refused.value.fields["status"] == -1 and not asked
        assert done("uri", {**spec, "ca_path": str(certificate)}).fields["content"] == "told"
        assert done("uri", {**spec, "validate_certs": False}).fields["content"] == "told"
        assert done("uri", spec, environment={"SSL_CERT_FILE": str(certificate)}).fields["content"] == "told"


def test_a_service_is_asked_and_its_answer_registered() -> None:
    def answer(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        say(handler, 201, body, Content_Type="application/json", X_Job="7", Set_Cookie="sid=1; Path=/")

    with server(answer) as (url, asked):
        body = {"model": "base", "steps": 20}
        spec = {"url": f"{url}/jobs", "method": "POST", "body": body, "body_format": "json", "status_code": [200, 201]}
        outcome = done("uri", {**spec, "return_content": True})
        assert done("uri", spec, check=True).fields == {"url": f"{url}/jobs"}
    assert (verbs(outcome), outcome.fields["json"], outcome.fields["content"]) == ([], body, json.dumps(body))
    kept = {key: outcome.fields[key] for key in ("status", "x_job", "cookies", "redirected", "url")}
    assert kept == {"status": 201, "x_job": "7", "cookies": {"sid": "1"}, "redirected": False, "url": f"{url}/jobs"}
    ((method, path, headers, sent),) = asked
    assert (method, path, headers["Content-Type"], json.loads(sent)) == ("POST", "/jobs", "application/json", body)


def test_a_form_is_sent() -> None:
    with server(lambda handler, _: say(handler, 200)) as (url, asked):
        form = {"a": "x y", "b": [1, 2]}
        done("uri", {"url": url, "method": "POST", "body": form, "body_format": "form-urlencoded"})
    assert asked[0][3] == b"a=x+y&b=1&b=2"
    assert asked[0][2]["Content-Type"] == "application/x-www-form-urlencoded"


def test_another_status_fails_with_what_is_registered() -> None:
    with server(lambda handler, _: say(handler, 503, b"starting")) as (url, _), pytest.raises(Refusal) as refused:
        done("uri", {"url": f"{url}/health"})
    assert refused.value.summary == f"`{url}/health` answers with status 503"
    assert refused.value.cause == "200 is expected; it says: starting"
    assert refused.value.fields["status"] == 503
    assert refused.value.fields["msg"] == "Status code was 503 and not [200]: HTTP Error 503: Service Unavailable"


@pytest.mark.parametrize(
    ("follow", "method", "seen"),
    [
        ("safe", "GET", ["GET", "GET"]),
        ("safe", "POST", ["POST"]),
        ("none", "GET", ["GET"]),
        ("all", "POST", ["POST", "POST"]),
    ],
)
def test_redirections_are_followed_as_told(follow: str, method: str, seen: list[str]) -> None:
    def answer(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        say(handler, 307, Location="/there") if handler.path == "/" else say(handler, 200)

    with server(answer) as (url, asked):
        code = 200 if len(seen) == 2 else 307
        spec = {"url": f"{url}/", "method": method, "follow_redirects": follow, "status_code": code}
        outcome = done("uri", {**spec, **({"body": "x"} if method == "POST" else {})})
    assert [one for one, _, _, _ in asked] == seen
    assert outcome.fields["redirected"] == (len(seen) == 2)
