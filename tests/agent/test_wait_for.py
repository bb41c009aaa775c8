"""`wait_for` on this machine: ports, files and texts that come, stay away and go."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from resource_parts import done, say, server, verbs

from provision.agent import tcp
from provision.agent.resource import Refusal


def _later(action: Callable[[], Any]) -> threading.Timer:
    timer = threading.Timer(0.3, action)
    timer.start()
    return timer


def test_a_file_that_comes_with_its_text(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("starting\n")
    timer = _later(lambda: path.write_text("starting\nready on port 8080\n"))
    spec = {"path": str(path), "search_regex": r"^ready on (port) (?P<port>\d+)$", "sleep": 0, "timeout": 60}
    outcome = done("wait_for", spec)
    timer.join()
    assert (verbs(outcome), outcome.fields["match_groups"]) == ([], ["port", "8080"])
    assert outcome.fields["match_groupdict"] == {"port": "8080"}


def test_a_file_that_goes(tmp_path: Path) -> None:
    (tmp_path / "pid").touch()
    timer = _later((tmp_path / "pid").unlink)
    assert done("wait_for", {"path": str(tmp_path / "pid"), "state": "absent", "sleep": 0}).fields["elapsed"] < 60
    timer.join()


def test_what_does_not_come_fails_with_the_message_that_was_written(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(Refusal) as refused:
        done("wait_for", {"path": str(tmp_path / "x"), "timeout": 1, "msg": "The job does not start"})
    assert refused.value.summary == "The job does not start"
    assert refused.value.cause == f"not seen within 1 s; waited for `{tmp_path}/x` to be there"
    assert 1 <= time.monotonic() - began < 30


def test_a_check_does_not_wait(tmp_path: Path) -> None:
    assert "elapsed" not in done("wait_for", {"path": str(tmp_path / "x")}, check=True).fields


def test_a_port_that_listens_and_what_it_says() -> None:
    with server(lambda handler, _: say(handler, 200)) as (url, _):
        port = int(url.rpartition(":")[2])
        assert done("wait_for", {"port": port, "timeout": 30}).fields["elapsed"] < 30
        with pytest.raises(Refusal) as refused:
            done("wait_for", {"port": port, "timeout": 1, "state": "stopped"})
        assert refused.value.summary == f"waited in vain for 127.0.0.1:{port} to stop"
    assert done("wait_for", {"port": port, "timeout": 30, "state": "stopped"}).fields["elapsed"] < 30
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            with listening.accept()[0] as line:
                line.sendall(b"SSH-2.0-x\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        spec = {"port": listening.getsockname()[1], "search_regex": "SSH-(.*)-", "timeout": 30}
        assert done("wait_for", spec).fields["match_groups"] == ["2.0"]
        thread.join()


def test_connections_are_waited_for_until_they_are_gone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        one = socket.create_connection(("127.0.0.1", port))
        other, _ = listening.accept()
        spec = {"port": port, "state": "drained", "active_connection_states": ["ESTABLISHED"]}
        with pytest.raises(Refusal):
            done("wait_for", {**spec, "timeout": 1})
        assert done("wait_for", {**spec, "timeout": 1, "exclude_hosts": ["127.0.0.1"]}).fields["elapsed"] < 30
        for end in (one, other):
            end.close()
        assert done("wait_for", {**spec, "timeout": 30, "sleep": 0}).fields["elapsed"] < 30


def test_the_kernels_table_is_read_in_both_families() -> None:
    head = "  sl  local_address rem_address   st\n"
    four = "   0: 0100007F:1F90 0200000A:C350 01 00000000:00000000\n"
    mapped = "   1: 0000000000000000FFFF00000100007F:1F90 00000000000000000000000001000000:0016 06 0:0\n"
    assert tcp.parse(head + four + mapped) == [
        ("127.0.0.1", 8080, "10.0.0.2", "01"),
        ("127.0.0.1", 8080, "::1", "06"),
    ]
