"""Parts of apps that need no systemd: texts, digests, parsing, ports, health checks."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from provision.agent import (
    app_files,
    checkout,
    digest,
    health,
    packages,
    ports,
    processes,
    serving,
    systemd,
    unit_text,
    units,
)
from provision.agent.resource import Refusal
from provision.agent.system import System

INPUTS = app_files.Inputs(
    name="web",
    environment="web-py311",
    link="/opt/conda/envs/web-py311",
    generation="/opt/conda/envs/.generations/web-py311/a1a1a1a1a1a1-1",
    activation={"PATH": "/opt/conda/envs/.generations/web-py311/a1a1a1a1a1a1-1/bin:/bin", "LD_LIBRARY_PATH": "/x"},
    command=["python", "app.py", "--title", "50% of $HOME"],
    directory="/srv/web",
    user="app",
    port=7860,
    gpus=["0", "1"],
    variables={"MOTTO": 'it\'s "so"'},
    secrets={"HF_TOKEN": "hf_1"},
    secrets_path="/var/lib/provision/secrets/web.env",
    mounts=["/data", "/srv/my models"],
    health={"path": "/health", "expect": 200},
    code="c0ffee",
    configuration={"/etc/web.json": "abc"},
    key=b"k" * 32,
)


def test_unit_and_script(snapshot: object) -> None:
    made = app_files.files(INPUTS)
    assert made.unit == snapshot
    assert made.script == snapshot
    assert made.secrets == 'HF_TOKEN="hf_1"\n'


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"generation": "/other"}, ["generation", "unit"]),
        ({"code": "decade"}, ["code"]),
        ({"configuration": {"/etc/web.json": "abd"}}, ["configuration"]),
        ({"secrets": {"HF_TOKEN": "hf_2"}}, ["secrets"]),
        ({"variables": {}}, ["unit"]),
        ({"health": {"path": "/other"}}, []),
        ({"key": b"other" * 8}, list(digest.PARTS)),
    ],
)
def test_the_digest_tells_what_differs(change: dict[str, object], parts: list[str]) -> None:
    one, other = app_files.files(INPUTS), app_files.files(replace(INPUTS, **change))  # type: ignore[arg-type]
    assert digest.differing(one.digest, other.digest) == parts


def test_digests_that_are_none_differ_in_all() -> None:
    assert digest.differing(None, app_files.files(INPUTS).digest) == list(digest.PARTS)
    assert digest.differing(None, None) == []


def test_a_unit_tells_what_it_is_judged_by() -> None:
    made = app_files.files(
        replace(INPUTS, health={"path": "/", "expect": "ready", "start_timeout": 9, "interval": 0.2})
    )
    found = serving.expectation("web", made.unit)
    assert found == serving.Expectation("web", made.digest, 7860, "/", "ready", 9.0, 0.2)


def test_the_script_is_one_that_sh_takes(tmp_path: Path) -> None:
    script = tmp_path / "start.sh"
    script.write_text(app_files.files(INPUTS).script)
    assert subprocess.run(["sh", "-n", str(script)], check=False).returncode == 0


@pytest.mark.parametrize("value", ["plain", 'a "b"', "$HOME `id`", "back\\slash", "two\nlines", "'"])
def test_sh_reads_a_secrets_file_as_it_was_meant(value: str, tmp_path: Path) -> None:
    file = tmp_path / "web.env"
    file.write_text(app_files.secrets_text({"TOKEN": value}))
    done = subprocess.run(
        ["sh", "-c", '. "$0"; printf %s "$TOKEN"', str(file)], capture_output=True, text=True, check=True
    )
    assert done.stdout == value


def test_the_key_is_made_once_and_kept_with_the_first_change(tmp_path: Path) -> None:
    system = System(blob=str, state_directory=str(tmp_path / "state"))
    key = digest.load_key(system)
    assert digest.load_key(system) == key and not (tmp_path / "state").exists()
    digest.store_key(system)
    assert (tmp_path / "state/key").stat().st_mode & 0o777 == 0o600
    assert digest.load_key(System(blob=str, state_directory=str(tmp_path / "state"))) == key


def test_what_systemctl_shows_is_read() -> None:
    text = "Id=a.service\nMainPID=7\n\nId=b.service\nMainPID=0\nControlGroup=/system.slice/b=c\n"
    assert systemd.parse(text, 2) == [
        {"Id": "a.service", "MainPID": "7"},
        {"Id": "b.service", "MainPID": "0", "ControlGroup": "/system.slice/b=c"},
    ]
    with pytest.raises(ValueError, match="gave 2 units where 3"):
        systemd.parse(text, 3)


def test_a_service_on_a_host_without_systemd_is_refused() -> None:
    with pytest.raises(Refusal, match="service `web` needs systemd"):
        units.needs_systemd(System(blob=str, facts={"init": "none"}), "service `web`")


@pytest.mark.parametrize(
    ("word", "written"),
    [("plain", "plain"), ("a b", '"a b"'), ("50%", "50%%"), ("$x", "$$x"), ('"', '"\\""'), ("", '""'), (";", '";"')],
)
def test_words_of_commands_are_quoted(word: str, written: str) -> None:
    assert unit_text.quote(word, command=True) == written


def test_the_owner_of_a_port_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = ports.listeners(port)
        assert [(one.address, one.port) for one in found] == [("127.0.0.1", port)]
        assert ports.owner(found, []) == ports.owner(found, [os.getpid()]) == os.getpid()
    assert ports.listeners(port) == []
    assert ports.owner([], []) is None


def test_tables_of_sockets_are_read() -> None:
    table = [
        "  0: 00000000000000000000000000000000:1EB4 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 5123 1",
        "  1: 0100007F:1EB4 0100007F:9C40 01 0:0 00:0 0 0 0 5124 1",
        "  2: 0100007F:9C40 0100007F:1EB4 0A 0:0 00:0 0 0 0 5125 1",
    ]
    assert ports.parse(table, 7860) == [ports.Listener("::", 7860, 5123)]
    assert ports.reachable(ports.Listener("::", 7860, 5123)) == "::1"


def test_a_process_is_described() -> None:
    assert processes.environment(os.getpid()).get("PATH")
    assert processes.alive(os.getpid()) and not processes.alive(2**22 + 1)
    assert f"(pid {os.getpid()}" in processes.describe(os.getpid())
    assert 0 < processes.age(os.getpid()) < 100_000


@contextmanager
def answering(data: bytes, wait: float = 0) -> Iterator[int]:
    """A server that gives one answer, whatever is asked."""
    over = threading.Event()

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(data)
            over.wait(wait)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        over.set()
        thread.join()


@pytest.mark.parametrize(
    ("data", "expect", "problem"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nready", 200, ""),
        (b"HTTP/1.1 200 OK\r\n\r\nready", "ready", ""),
        (b"HTTP/1.1 200 OK\r\n\r\nloading", "ready", "answers HTTP 200, but without the text `ready`"),
        (b"HTTP/1.1 503 No\r\n\r\n", 200, "answers HTTP 503 where 200 is expected"),
        (b"HTTP/1.1 401 No\r\n\r\n", 401, ""),
        (b"SSH-2.0-x\r\n", 200, "answers something that is not HTTP"),
        (b"", 200, "closes the connection without a word"),
    ],
)
def test_answers_are_judged(data: bytes, expect: int | str, problem: str) -> None:
    with answering(data) as port:
        assert health.judge(health.ask("127.0.0.1", port, "/", 5), expect) == problem


def test_silence_and_refusal_are_told_apart() -> None:
    with answering(b"HTTP/1.1 200 OK\r\n", wait=5) as port:
        assert health.ask("127.0.0.1", port, "/", 0.1).problem == "does not answer within 0.1 s"
    assert health.ask("127.0.0.1", port, "/", 1).problem == "refuses connections"


def test_the_commit_of_a_checkout_is_read_without_git(tmp_path: Path) -> None:
    assert checkout.head(str(tmp_path)) is None
    (tmp_path / ".git/refs/heads").mkdir(parents=True)
    (tmp_path / ".git/HEAD").write_text("ref: refs/heads/main\n")
    assert checkout.head(str(tmp_path)) is None
    (tmp_path / ".git/packed-refs").write_text("# pack-refs\nc0ffee refs/heads/main\n")
    assert checkout.head(str(tmp_path)) == "c0ffee"
    (tmp_path / ".git/refs/heads/main").write_text("decade\n")
    assert checkout.head(str(tmp_path)) == "decade"
    (tmp_path / ".git/HEAD").write_text("facade\n")
    assert checkout.head(str(tmp_path)) == "facade"


def test_who_holds_the_package_managers_lock_is_named(tmp_path: Path) -> None:
    lock = tmp_path / "lock-frontend"
    text = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX)"
    text += "; print('held', flush=True); sys.stdin.read()"
    argv = [sys.executable, "-c", text, str(lock)]
    assert packages.holder([str(lock)]) is None
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        assert packages.holder([str(lock)]) == process.pid
        times = iter([0.0, 601.0])
        with pytest.raises(Refusal, match="the package manager is busy") as refusal:
            packages.wait_for_lock(lambda **_: None, 600, lambda: next(times), [str(lock)])
        assert f"(pid {process.pid}" in refusal.value.cause
        process.communicate("")
    packages.wait_for_lock(lambda **_: None, 600, locks=[str(lock)])


def test_what_dpkg_shows_is_read() -> None:
    text = "git\tii \t1:2.39\nnano\trc \t7.2\nlinux\thi \t6.1\n"
    assert packages.parse(text) == {"git": "1:2.39", "linux": "6.1"}


def test_the_end_of_a_failed_start_is_told() -> None:
    assert (
        serving.outcome("`web.log`", {"web": "", "api": ""}, True)
        == "what served before was put back and serves again: `api`, `web`"
    )
    assert serving.outcome("`web.log`", {"web": "it crashes"}, True) == "`web` was put back too, but it crashes"
    assert serving.outcome("`web.log`", {}, False).startswith("its unit was stopped; see `web.log`")
