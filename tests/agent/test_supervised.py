"""Apps on a host without systemd: how their unit is read, their logs, and what is followed of those."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.agent import app_files, supervised, supervisor_files, supervisor_rpc, tools, unit_text, units
from provision.agent.resource import Refusal
from provision.agent.resources.app_logs import BURST, RATE, TOTAL, Bounded, Full
from provision.agent.system import System
from provision.plain import launch

VALUE = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\t"), max_size=30)
LAUNCH = Path(launch.__file__)


@given(command=st.lists(VALUE, min_size=1), value=VALUE)
def test_a_unit_is_read_as_it_was_meant(command: list[str], value: str) -> None:
    plan = unit_text.UnitPlan("web", ["/bin/x", *command], "/srv", "app", {"MOTTO": value, "B": "1"}, unset=["B"])
    service = launch.read(unit_text.with_digest(unit_text.render(plan), "d1g-e5t"))
    assert launch.words(service["ExecStart"][0], command=True) == ["/bin/x", *command]
    assert launch.environment(service, {"A": "0"}) == {"A": "0", "MOTTO": value, "PROVISION_DIGEST": "d1g-e5t"}
    assert (service["User"], service["WorkingDirectory"]) == (["app"], ["/srv"])


@given(value=VALUE, other=VALUE)
def test_a_secrets_file_is_read_as_it_was_meant(value: str, other: str) -> None:
    assert launch.read_secrets(app_files.secrets_text({"A": value, "B": other})) == {"A": value, "B": other}


def test_what_is_started_is_the_app_itself_with_its_secrets(tmp_path: Path) -> None:
    (tmp_path / "web.env").write_text('TOKEN="hf \\"1\\""\n')
    print_it = "import json, os; print(json.dumps([os.getpid(), os.getcwd(), dict(os.environ)]))"
    plan = unit_text.UnitPlan(
        "web",
        [sys.executable, "-c", print_it],
        str(tmp_path),
        "root",
        {"A": "b c"},
        secrets_file=str(tmp_path / "web.env"),
    )
    (tmp_path / "web.service").write_text(unit_text.render(plan))
    argv = [sys.executable, "-IS", str(LAUNCH), str(tmp_path), str(tmp_path), "web"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first, second = process.stdout.read().splitlines()
    assert first.startswith(supervisor_files.STARTED)
    pid, directory, variables = json.loads(second)
    assert (pid, directory) == (process.pid, str(tmp_path))
    expected = {"A": "b c", "TOKEN": 'hf "1"', "PROVISION_APP": "web", "USER": "root"}
    assert expected.items() <= variables.items()
    assert (tmp_path / "web.starts").read_text() == "1\n"


def test_what_an_earlier_start_left_is_ended(tmp_path: Path) -> None:
    plan = unit_text.UnitPlan("left-over-of-test", ["/bin/true"], "/", "root", {})
    (tmp_path / "left-over-of-test.service").write_text(unit_text.render(plan))
    left = subprocess.Popen(["sleep", "60"], env={"PROVISION_APP": "left-over-of-test"})
    argv = [sys.executable, "-IS", str(LAUNCH), str(tmp_path), str(tmp_path), "left-over-of-test"]
    starting = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    assert left.wait(10) == -15
    assert starting.wait(10) == 0


def test_a_unit_that_cannot_be_started_says_why(tmp_path: Path) -> None:
    plan = unit_text.UnitPlan("web", ["/no/such/program"], "/", "root", {})
    (tmp_path / "web.service").write_text(unit_text.render(plan))
    argv = [sys.executable, "-IS", str(LAUNCH), str(tmp_path), str(tmp_path), "web"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("provision: cannot start `web`: FileNotFoundError: ")


def test_a_log_is_read_from_a_start_on(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    log.write_text("provision: starts at 100 (then)\nold\nprovision: starts at 200 (now)\nnew\nnewer\n")
    assert supervisor_files.tail(str(log), 2) == ["new", "newer"]
    assert supervisor_files.tail(str(log), 9, 150.7) == ["provision: starts at 200 (now)", "new", "newer"]
    assert supervisor_files.tail(str(log), 9, 300) == []
    assert supervisor_files.tail(str(tmp_path / "none.log"), 9) == []


def test_the_last_part_of_a_long_log_begins_with_a_whole_line(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    log.write_text("".join(f"line {number:06}\n" for number in range(60_000)))
    found = supervisor_files.tail(str(log), 10**6)
    assert found[-1] == "line 059999"
    assert all(len(line) == len("line 000000") for line in found)


@contextmanager
def supervisor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[System]:
    """A real supervisor for this test alone, with every path below `tmp_path`."""
    folder = {"UNITS": "apps", "BINARIES": "bin", "LOGS": "log", "LOG": "log/supervisord.log", "_RUN": "run"}
    for name, place in {**folder, "_CONFIGURATION": "supervisor.conf", "_LOGIN": "login.sh"}.items():
        monkeypatch.setattr(supervisor_files, name, str(tmp_path / place))
    monkeypatch.setattr(supervisor_files, "START", str(tmp_path / "bin/start-apps"))
    monkeypatch.setattr(supervisor_rpc, "SOCKET", str(tmp_path / "run/supervisor.sock"))
    from provision.plain.archive import supervisor_archive

    archive = supervisor_archive()
    system = System(
        blob=lambda _: str(archive.path),
        facts={"init": "none", "python_path": sys.executable},
        state_directory=str(tmp_path / "state"),
    )
    (tmp_path / "state" / "tools").mkdir(parents=True)
    assert len(units.outdated(system, archive.sha256)) == 5
    units.bring(system, archive.sha256)
    assert Path(supervisor_files.LOGS).stat().st_mode & 0o007 == 0
    monkeypatch.setenv("PROVISION_APP", "web")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the login")
    assert units.outdated(system, archive.sha256) == []
    try:
        yield system
    finally:
        if supervisor_rpc.processes() is not None:
            supervisor_rpc.call("shutdown")


def until(condition: object, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.skipif(os.geteuid() != 0, reason="supervisor runs as root on hosts")
def test_a_real_supervisor_keeps_a_unit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = unit_text.MADE_BY + unit_text.render(unit_text.UnitPlan("web", ["/bin/sleep", "60"], "/", "root", {}))
    with supervisor(monkeypatch, tmp_path) as system:

        def shown(name: str) -> str:
            return units.fresh(system, ["web"])["web"][name]

        assert shown("LoadState") == "not-found"
        units.install(system, "web", text)
        assert [shown(name) for name in ("LoadState", "ActiveState", "UnitFileState")] == [
            "loaded",
            "inactive",
            "disabled",
        ]
        units.restart(system, "web")
        units.control(system, "enable", "web")
        assert [shown(name) for name in ("ActiveState", "SubState", "UnitFileState")] == [
            "active",
            "running",
            "enabled",
        ]
        first = int(shown("MainPID"))
        until(lambda: Path(f"/proc/{first}/comm").read_text() == "sleep\n")
        os.kill(first, 9)
        until(lambda: (shown("NRestarts"), shown("SubState"), shown("ExecMainStatus")) == ("1", "running", "SIGKILL"))
        keeper = int((tmp_path / "run/supervisord.pid").read_text())
        assert b"of the login" not in Path(f"/proc/{keeper}/environ").read_bytes()
        os.kill(keeper, 9)
        until(lambda: not Path(f"/proc/{first}").exists())
        until(lambda: supervisor_rpc.processes() is not None and shown("SubState") == "running")
        units.restart(system, "web")
        until(lambda: shown("NRestarts") == "0" and shown("SubState") == "running")
        assert units.names(system) == ["web"]
        assert units.journal(system, "web", 1)[0].startswith(supervisor_files.STARTED)
        units.control(system, "stop", "web")
        assert (shown("ActiveState"), shown("MainPID")) == ("inactive", "0")
        units.remove(system, "web")
        assert shown("LoadState") == "not-found"
        until(lambda: supervisor_rpc.processes() is None)
        assert subprocess.run([supervisor_files.START], check=False).returncode == 0
        assert supervisor_rpc.processes() is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("folder", ["", "apps", "bin"])
def test_root_runs_nothing_from_where_others_may_write(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: str
) -> None:
    for name, place in {"UNITS": "apps", "BINARIES": "bin", "LOGS": "log"}.items():
        monkeypatch.setattr(supervisor_files, name, str(tmp_path / place))
    monkeypatch.setattr(tools, "supervisor_directory", lambda system, archive: "")
    (tmp_path / folder).mkdir(exist_ok=True)
    os.chown(tmp_path / folder, pwd.getpwnam("nobody").pw_uid, -1)
    with pytest.raises(Refusal, match="is not trusted"):
        units.bring(System(blob=str, facts={"init": "none"}), "0" * 64)


def test_without_supervisor_a_start_says_what_brings_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(supervisor_files, "START", str(tmp_path / "start-apps"))
    monkeypatch.setattr(supervisor_rpc, "SOCKET", str(tmp_path / "supervisor.sock"))
    with pytest.raises(Refusal, match="there is no supervisor on this host"):
        supervised.control(System(blob=str, facts={"init": "none"}), "start", "web")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_is_followed_is_bounded_in_a_second_and_in_all() -> None:
    told: list[str] = []
    clock = Clock()
    bounded = Bounded(lambda **what: told.append(what["output"]), clock)
    line = "x" * 1023 + "\n"
    for _ in range(BURST // 1024 + 100):
        bounded(output=line)
    assert len(told) == BURST // 1024
    clock.now = 1.0
    bounded(output=line)
    assert told[-2:] == [f"[100 lines left out: more than {RATE >> 10} KiB a second]\n", line]
    bounded(output="y" * BURST)
    clock.now = 60.0
    bounded(output="the end of that line\n" + line)
    assert told[-2:] == [f"[1 lines left out: more than {RATE >> 10} KiB a second]\n", line]
    with pytest.raises(Full):
        while True:
            clock.now += 10
            bounded(output=line * 400)
    assert sum(map(len, told)) <= TOTAL + 4096
