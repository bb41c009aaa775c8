"""The agent on real hosts, over real connections, on the Python that each of them has."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from provision.agent import protocol
from provision.agent.protocol import End, Ready, Result, Step
from provision.lab.fleet import Lab
from provision.transport import Target, Unreachable
from provision.transport.connecting import connect
from provision.transport.launch import launch
from provision.transport.link import Link
from provision.transport.ssh import SshConnection

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def mixed() -> Iterator[Lab]:
    own = Lab(f"test-{os.getpid()}-agent")
    try:
        own.up({"gpu": 1, "bullseye": 1})
        yield own
    finally:
        own.down()


@contextlib.contextmanager
def started(lab: Lab, name: str) -> Iterator[tuple[SshConnection, Link]]:
    folder = lab.inventory.parent
    target = Target(
        name,
        lab.host(name).address,
        user="root",
        private_key_file=str(folder / "id_ed25519"),
        known_hosts=[str(folder / "known_hosts")],
    )
    connection = connect(target)
    hello = {"type": "hello", "version": protocol.VERSION, "run": "r", "operator": "o", "lock": "exclusive"}
    link = launch(connection, target, {**hello, "facts": True, "host": name})
    try:
        yield connection, link
    finally:
        link.close()
        connection.close()


def results(link: Link, *steps: Step) -> list[Result]:
    link.run(1, steps)
    found: list[Result] = []
    while True:
        event = link.receive(60)
        if isinstance(event, Result):
            found.append(event)
        if isinstance(event, End):
            return found


@pytest.mark.parametrize(("name", "python"), [("gpu-01", "3.11."), ("bullseye-01", "3.9.")])
def test_a_step_of_each_kind_converges(mixed: Lab, name: str, python: str) -> None:
    steps = [
        Step(1, "file", {"path": "/srv/agent", "state": "directory", "mode": "0755"}),
        Step(2, "file", {"path": "/srv/agent/conf", "content": "x\n", "mode": "0640"}),
        Step(3, "link", {"path": "/srv/agent/link", "target": "/data"}),
        Step(4, "service", {"name": "ssh", "state": "started"}),
        Step(5, "user", {"name": "app1"}),
        Step(6, "command", {"argv": ["id", "-un"]}, user="app1"),
    ]
    with started(mixed, name) as (_, link):
        ready = link.receive(30)
        assert isinstance(ready, Ready), ready
        assert ready.facts["python"].startswith(python)
        assert ready.facts["init"] == "systemd"
        assert (ready.facts["simulated"], len(ready.facts["gpu"]["devices"])) == (True, 4)
        assert ready.facts["gpu"]["driver"] == "535.104.05"
        first = results(link, *steps)
        assert [result.error for result in first] == [None] * 6
        assert first[5].fields["stdout"] == "app1"
        assert [result.status for result in results(link, *steps)] == ["ok"] * 5 + ["changed"]


def test_the_end_of_the_connection_ends_all_on_the_host(mixed: Lab) -> None:
    host = mixed.host("bullseye-01")
    with started(mixed, "bullseye-01") as (connection, link):
        assert isinstance(link.receive(30), Ready)
        link.run(1, [Step(1, "command", {"argv": ["sleep", "61.25"]})])
        wait_for(lambda: "61.25" in commands(host.pid), 5)
        connection.close()
        wait_for(lambda: "61.25" not in commands(host.pid) and "-IS" not in commands(host.pid), 10)


def test_a_host_that_dies_is_noticed(mixed: Lab) -> None:
    with started(mixed, "gpu-01") as (_, link):
        assert isinstance(link.receive(30), Ready)
        link.run(1, [Step(1, "command", {"argv": ["sleep", "60"]})])
        began = time.monotonic()
        mixed.host("gpu-01").kill()
        with pytest.raises(Unreachable):
            while True:
                link.receive(45)
        assert time.monotonic() - began < 40


def commands(pid: int | None) -> str:
    """Command lines of all processes in a host, seen from outside."""
    namespace = Path(f"/proc/{pid}/ns/pid").readlink()
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and (folder / "ns/pid").readlink() == namespace:
                found.append((folder / "cmdline").read_text())
        except OSError:
            continue
    return "\n".join(found)


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
