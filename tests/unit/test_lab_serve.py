"""The lab's file server: parts of files, and nothing outside its directory."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.lab.serve import Server, start


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    www = tmp_path / ".hidden" / "www"
    (www / "simple").mkdir(parents=True)
    (www / "simple/index.html").write_text("the index")
    (www / "data.conda").write_bytes(bytes(range(100)))
    (www / ".key").write_text("hidden")
    (tmp_path / "secret").write_text("secret")
    (www / "outside").symlink_to(tmp_path / "secret")
    return www


@pytest.fixture
def server(directory: Path) -> Iterator[tuple[str, int]]:
    with Server(directory, "127.0.0.1", 0) as served:
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield str(served.server_address[0]), int(served.server_address[1])
        served.shutdown()
        thread.join()


def get(server: tuple[str, int], path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection(*server, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())
    finally:
        connection.close()


def test_a_folder_is_its_index(server: tuple[str, int]) -> None:
    status, body, headers = get(server, "/simple/")
    assert (status, body) == (200, b"the index")
    assert headers["Content-type"].startswith("text/html")
    assert headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    ("span", "body", "said"),
    [
        ("bytes=0-4", bytes(range(5)), "bytes 0-4/100"),
        ("bytes=90-", bytes(range(90, 100)), "bytes 90-99/100"),
        ("bytes=95-500", bytes(range(95, 100)), "bytes 95-99/100"),
        ("bytes=-3", bytes(range(97, 100)), "bytes 97-99/100"),
    ],
)
def test_a_part_of_a_file(server: tuple[str, int], span: str, body: bytes, said: str) -> None:
    status, got, headers = get(server, "/data.conda", Range=span)
    assert (status, got, headers["Content-Range"]) == (206, body, said)


@pytest.mark.parametrize("span", ["bytes=100-", "bytes=7-3", "bytes=-0"])
def test_a_part_that_is_not_there(server: tuple[str, int], span: str) -> None:
    status, _, headers = get(server, "/data.conda", Range=span)
    assert (status, headers["Content-Range"]) == (416, "bytes */100")


def test_a_range_of_another_kind_is_the_whole_file(server: tuple[str, int]) -> None:
    assert get(server, "/data.conda", Range="bytes=0-1,4-5")[:2] == (200, bytes(range(100)))


@pytest.mark.parametrize(
    "path", ["/../secret", "/%2e%2e/secret", "/outside", "/.key", "/", "/nothing", "/../../secret"]
)
def test_nothing_else_is_given(server: tuple[str, int], path: str) -> None:
    status, body, _ = get(server, path)
    assert status == 404
    assert b"secret" not in body.replace(path.encode(), b"")


def test_one_connection_serves_many_requests(server: tuple[str, int]) -> None:
    connection = http.client.HTTPConnection(*server, timeout=10)
    for span in ("bytes=0-4", "", "bytes=5-9"):
        connection.request("GET", "/data.conda", headers={"Range": span} if span else {})
        answer = connection.getresponse()
        assert len(answer.read()) == (5 if span else 100)
    connection.close()


def test_it_is_a_process_that_ends_when_told(directory: Path) -> None:
    process = start(directory, "127.0.0.1", 0)
    process.terminate()
    assert process.wait(timeout=20) in (0, -15)
