"""The agent as it runs on a host: bootstrap, pump, workers, journal, lock."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from agent_parts import PYTHON, Agent, Start, await_true

from provision.agent import protocol
from provision.agent.protocol import Beat, End, Fatal, Output, Progress, Ready, Result, Started, Step
from provision.transport import Unreachable

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

WAIT_FILE = '''
import time
from dataclasses import dataclass
from typing import Any
from ..resource import Action, Verb

@dataclass(frozen=True)
class Spec:
    """Runs a program, and must not be interrupted."""
    program: str
    must_finish: bool = True
    prepare: str = ""

def observe(spec: Spec, system: Any) -> None:
    return None

def decide(spec: Spec, state: None) -> Any:
    return [Action(Verb.RUN, spec.program, {"program": spec.program}, must_finish=spec.must_finish)]

def apply(action: Action, system: Any, emit: Any) -> Any:
    done = system.run(["/bin/sh", "-c", action.arguments["program"]], timeout=60, emit=emit)
    return {"rc": done.returncode}
'''
STUCK = WAIT_FILE.replace("    done =", "    time.sleep(60)\n    done =")
Add = Callable[[str, str], None]


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def resident(pid: int) -> int:
    """Bytes of memory that a process has in use."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def write(path: Path, content: str = "hello\n", number: int = 1, **more: object) -> Step:
    return Step(number, "file", {"path": str(path), "content": content, "mode": "0644"}, **more)  # type: ignore[arg-type]


def shell(command: str, number: int = 1, **more: object) -> Step:
    return Step(number, "command", {"argv": ["/bin/sh", "-c", command]}, **more)  # type: ignore[arg-type]


def test_a_batch_comes_back_in_order_and_the_second_time_unchanged(agent: Agent, tmp_path: Path) -> None:
    steps = [write(tmp_path / f"file{number}", number=number) for number in range(30)]
    events = agent.run(*steps)
    assert [event.step for event in events if isinstance(event, Result)] == list(range(30))
    assert {event.status for event in events if isinstance(event, Result)} == {"changed"}
    assert events[-1] == End(1)
    assert {result.status for result in agent.results(*steps)} == {"ok"}


def test_the_archive_is_sent_once_and_then_compiled(start: Start, tmp_path: Path) -> None:
    agent = start()
    agent.link.close()
    assert agent.channel.returncode() == 0
    kept = sorted(path.name.partition(".")[2] for path in (tmp_path / "state/agent").iterdir())
    assert kept == ["", f"cpython-{''.join(map(str, version_of(agent)))}"]
    assert stat.S_IMODE((tmp_path / "state/agent").stat().st_mode) == 0o700
    assert isinstance(start().first, Ready)


def version_of(agent: Agent) -> tuple[int, int]:
    said = subprocess.run([PYTHON, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True)
    major, minor = said.stdout.split()
    return int(major), int(minor)


def test_a_damaged_archive_or_a_folder_of_others_is_not_used(start: Start, tmp_path: Path) -> None:
    start().link.close()
    archive = next(path for path in (tmp_path / "state/agent").iterdir() if not path.suffix)
    archive.write_text("{}")
    assert isinstance(start().first, Ready)
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == archive.name


def test_a_folder_that_others_can_write_is_refused(start: Start, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state/agent").mkdir()
    (tmp_path / "state/agent").chmod(0o777)
    fatal = start().first
    assert isinstance(fatal, Fatal) and fatal.kind == "state"
    assert fatal.cause == f"others than its owner can write {tmp_path}/state/agent"


def test_facts(start: Start) -> None:
    ready = start(facts=True).first
    assert isinstance(ready, Ready)
    assert ready.facts["hostname"] == os.uname().nodename
    assert ready.facts["python"].startswith("3.")
    assert set(ready.facts["gpu"]) >= {"driver", "cuda", "devices", "simulated"}
    assert ready.facts["simulated"] is ready.facts["gpu"]["simulated"]


def test_output_comes_while_a_step_runs(agent: Agent) -> None:
    began = time.monotonic()
    agent.begin(shell("echo first; sleep 1; echo second"))
    assert agent.until(Output).text == "first\n"
    assert time.monotonic() - began < 0.8
    assert agent.until(Output).text == "second\n"
    assert agent.until(Result).fields["rc"] == 0


def test_failed_steps_stop_the_batch_unless_they_say_continue(agent: Agent) -> None:
    statuses = [result.status for result in agent.results(shell("exit 3"), shell("true", 2))]
    assert statuses == ["failed", "skipped"]
    statuses = [result.status for result in agent.results(shell("exit 3", on_failure="continue"), shell("true", 2))]
    assert statuses == ["failed", "changed"]


def test_items_of_a_loop_run_on_after_a_failure_and_nothing_behind_them(agent: Agent) -> None:
    for nobody in ({}, {"user": "nobody"}):  # one worker, and two
        steps = [
            shell("exit 3", 1, on_failure="later"),
            shell("true", 2, on_failure="later"),
            shell("true", 3, **nobody),
            shell("true", 4),
        ]
        assert [result.status for result in agent.results(*steps)] == ["failed", "changed", "changed", "skipped"]
    assert [result.status for result in agent.results(shell("true", 5))] == ["changed"]


def test_the_environment_of_a_command_is_clean(agent: Agent) -> None:
    (result,) = agent.results(shell("env", environment={"http_proxy": "http://proxy"}))
    variables = dict(line.split("=", 1) for line in result.fields["stdout_lines"])
    assert (
        {"PATH", "LANG", "HOME", "http_proxy"}
        <= set(variables)
        <= {"PATH", "LANG", "HOME", "http_proxy", "PWD", "_", "SHLVL", "OLDPWD"}
    )


@ROOT
def test_steps_run_as_their_user_with_no_descriptor_of_the_agent(agent: Agent) -> None:
    program = "id -un; id -Gn; ls /proc/self/fd | tr '\\n' ' '"
    for user, name in ((None, "root"), ("nobody", "nobody"), ("root", "root")):
        (result,) = agent.results(shell(program, user=user))
        assert result.fields["stdout_lines"][:2] == [name, "nogroup" if name == "nobody" else name]
        assert result.fields["stdout_lines"][2].split() == ["0", "1", "2", "3"]


@ROOT
def test_users_take_turns_in_the_order_of_the_steps(agent: Agent, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    log.chmod(0o666)
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents[:3]:
        folder.chmod(folder.stat().st_mode | 0o011)
    users = [None, "nobody", None, "nobody", "nobody"]
    results = agent.results(*(shell(f"id -un >> {log}", number, user=user) for number, user in enumerate(users)))
    assert [result.status for result in results] == ["changed"] * 5
    assert log.read_text().split() == [user or "root" for user in users]


@ROOT
def test_an_unknown_user_fails_its_steps(agent: Agent) -> None:
    results = agent.results(shell("true", user="nemo-42"), shell("true", 2))
    assert [result.status for result in results] == ["failed", "skipped"]
    assert results[0].error == {
        "summary": "cannot run as `nemo-42`",
        "cause": "there is no such user",
        "hint": "create the user before",
    }


def test_content_is_asked_for_on_need_and_removed_after_the_run(agent: Agent, tmp_path: Path) -> None:
    data = os.urandom(300_000)
    sha256 = hashlib.sha256(data).hexdigest()
    step = Step(1, "file", {"path": str(tmp_path / "big"), "content_blob": sha256, "mode": "0600"})
    assert [result.status for result in agent.results(step, blobs={sha256: data})] == ["changed"]
    assert (tmp_path / "big").read_bytes() == data
    assert [result.status for result in agent.results(step)] == ["ok"]
    agent.link.close()
    assert not [path for path in (agent.state / "blobs").rglob("*") if path.is_file()]


@ROOT
def test_content_reaches_another_user(agent: Agent) -> None:
    data = b"x" * 70000
    sha256 = hashlib.sha256(data).hexdigest()
    for folder in [agent.state, *agent.state.parents[:3]]:
        folder.chmod(folder.stat().st_mode | 0o011)
    path = Path("/tmp") / f"provision-test-{os.getpid()}"
    step = Step(1, "file", {"path": str(path), "content_blob": sha256, "mode": "0600"}, user="nobody")
    try:
        assert [result.status for result in agent.results(step, blobs={sha256: data})] == ["changed"]
        assert path.owner() == "nobody"
    finally:
        path.unlink(missing_ok=True)


def test_wrong_content_ends_the_run(agent: Agent, tmp_path: Path) -> None:
    sha256 = hashlib.sha256(b"right").hexdigest()
    agent.begin(
        Step(1, "file", {"path": str(tmp_path / "x"), "content_blob": sha256, "mode": "0600"}), blobs={sha256: b"wrong"}
    )
    fatal = agent.until(Fatal)
    assert fatal.kind == "protocol" and "instead of" in fatal.cause
    assert not (tmp_path / "x").exists()


def test_a_handler_survives_kill_9_and_is_forgotten_when_it_ran(start: Start, tmp_path: Path) -> None:
    agent = start()
    agent.begin(write(tmp_path / "conf", notify=["restart nginx"]), shell("sleep 60", 2))
    agent.until(Result)
    os.kill(agent.pid, signal.SIGKILL)
    with pytest.raises(Unreachable):
        agent.rest()
    again = start()
    assert isinstance(again.first, Ready) and again.first.pending == ["restart nginx"]
    assert agent_statuses(again, write(tmp_path / "conf", notify=["restart nginx"])) == ["ok"]
    assert agent_statuses(again, shell("false", clears=["restart nginx"])) == ["failed"]
    again.link.close()
    again = start()
    assert isinstance(again.first, Ready) and again.first.pending == ["restart nginx"]
    assert agent_statuses(again, shell("true", clears=["restart nginx"])) == ["changed"]
    again.link.close()
    assert start().first == Ready({}, [])


def agent_statuses(agent: Agent, *steps: Step) -> list[str]:
    return [result.status for result in agent.results(*steps)]


def test_handlers_are_forgotten_on_request(start: Start, tmp_path: Path) -> None:
    agent = start()
    agent.run(write(tmp_path / "conf", notify=["a", "b"]))
    agent.link.forget(["a"])
    agent.link.close()
    assert start().first == Ready({}, ["b"])


def test_the_journal_says_who_changed_what(start: Start, tmp_path: Path) -> None:
    agent = start(run="run-7", operator="anna@control")
    agent.run(write(tmp_path / "conf", name="Configuration"), write(tmp_path / "conf", number=2))
    agent.link.close()
    (line,) = (agent.state / "journal/changes").read_text().splitlines()
    entry = json.loads(line)
    assert (entry["run"], entry["operator"], entry["step"]) == ("run-7", "anna@control", "Configuration")
    assert entry["actions"] == [{"verb": "create", "target": str(tmp_path / "conf")}]


def test_a_second_run_is_told_who_holds_the_host(start: Start) -> None:
    first = start(run="run-1", operator="anna@control", host="gpu-01")
    fatal = start(run="run-2", operator="ben@laptop").first
    assert isinstance(fatal, Fatal) and fatal.kind == "locked"
    assert fatal.summary == "another run works on this host"
    assert fatal.cause.startswith("run run-1 of anna@control holds it since 20") and f"(pid {first.pid})" in fatal.cause
    same = start(run="run-1", operator="anna@control", host="gpu-07").first
    assert isinstance(same, Fatal)
    assert same.cause == "`gpu-01` and `gpu-07` lead to one machine"
    first.link.close()
    assert isinstance(start().first, Ready)


def test_runs_that_only_look_share_the_lock_and_leave_no_trace(start: Start) -> None:
    exclusive = start()
    exclusive.link.close()
    assert await_true(lambda: not running(exclusive.pid), 5.0) < 5.0
    lock = exclusive.state / "lock"
    before = (lock.read_bytes(), lock.stat().st_mtime_ns)
    shared = [start(lock="shared", run=f"look-{number}") for number in (1, 2)]
    assert all(isinstance(agent.first, Ready) for agent in shared)
    refused = start()
    assert isinstance(refused.first, Fatal) and refused.first.kind == "locked"
    assert "run look-" in refused.first.cause
    assert isinstance(start(lock="none").first, Ready)
    for agent in shared:
        agent.link.close()
        assert await_true(lambda pid=agent.pid: not running(pid), 5.0) < 5.0
    assert (lock.read_bytes(), lock.stat().st_mtime_ns) == before
    assert [path.name for path in lock.parent.glob("lock*")] == ["lock"]


@pytest.mark.parametrize("program", ["sleep 60", "trap '' TERM; sleep 60 & wait; sleep 60"])
def test_kill_9_of_the_agent_ends_its_processes_and_frees_the_lock(start: Start, program: str, tmp_path: Path) -> None:
    agent = start()
    agent.begin(shell(f"echo $$; {program}"))
    leader = int(agent.until(Output).text)
    os.kill(agent.pid, signal.SIGKILL)
    assert await_true(lambda: not running(leader), 1.0) < 1.0
    assert isinstance(start().first, Ready)


def test_the_end_of_input_ends_all(start: Start) -> None:
    agent = start()
    agent.begin(shell("echo $$; sleep 60"))
    leader = int(agent.until(Output).text)
    (worker,) = children(agent.pid)
    agent.channel._process.stdin.close()  # type: ignore[union-attr]
    await_true(lambda: not running(leader) and not running(worker) and not running(agent.pid), 3.0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all(start: Start, number: int) -> None:
    agent = start()
    agent.begin(shell("echo $$; sleep 60"))
    leader = int(agent.until(Output).text)
    os.kill(agent.pid, number)
    results = [event for event in agent.rest() if isinstance(event, Result)]
    assert results[0].error is not None and results[0].error["summary"] == "cancelled"
    await_true(lambda: not running(leader) and not running(agent.pid), 3.0)


def test_a_cancel_ends_the_running_step_and_skips_the_rest(agent: Agent) -> None:
    agent.begin(shell("echo $$; sleep 60"), shell("true", 2))
    leader = int(agent.until(Output).text)
    agent.link.cancel()
    results = [event for event in agent.rest() if isinstance(event, Result)]
    assert [result.status for result in results] == ["failed", "skipped"]
    assert not running(leader)
    await_true(lambda: not running(agent.pid), 2.0)


def test_a_cancel_at_the_step_boundary_lets_the_step_end(agent: Agent) -> None:
    agent.begin(shell("echo go; sleep 0.5"), shell("true", 2))
    agent.until(Output)
    agent.link.cancel(now=False)
    results = [event for event in agent.rest() if isinstance(event, Result)]
    assert [result.status for result in results] == ["changed", "skipped"]


def test_what_does_not_heed_a_cancel_is_interrupted(resources: Add, start: Start) -> None:
    resources("stuck", STUCK)
    agent = start()
    agent.begin(Step(1, "stuck", {"program": "", "must_finish": False}))
    agent.until(Started)
    began = time.monotonic()
    agent.link.cancel()
    results = [event for event in agent.rest() if isinstance(event, Result)]
    assert results[0].status == "failed"
    assert time.monotonic() - began < 10
    await_true(lambda: not running(agent.pid), 1.0)


def test_what_must_finish_does_and_keeps_the_lock(resources: Add, start: Start, tmp_path: Path) -> None:
    resources("finishing", WAIT_FILE)
    done = tmp_path / "done"
    agent = start(run="run-1")
    agent.begin(Step(1, "finishing", {"program": f"echo $$; sleep 2.5; touch {done}"}))
    leader = int(agent.until(Output).text)
    agent.channel._process.stdin.close()  # type: ignore[union-attr]
    refused = start(run="run-2").first
    assert isinstance(refused, Fatal) and "\nit must finish this first: run echo" in refused.cause
    await_true(lambda: not running(leader), 4.0)
    assert done.exists()
    await_true(lambda: not running(agent.pid), 1.0)
    assert isinstance(start().first, Ready)


def test_what_must_finish_does_so_after_kill_9(resources: Add, start: Start, tmp_path: Path) -> None:
    resources("finishing", WAIT_FILE)
    done = tmp_path / "done"
    agent = start()
    agent.begin(Step(1, "finishing", {"program": f"echo $$; sleep 2.5; touch {done}"}))
    agent.until(Output)
    for pid in [agent.pid, *children(agent.pid)]:
        os.kill(pid, signal.SIGKILL)
    assert isinstance(start().first, Fatal)
    await_true(done.exists, 4.0)
    assert isinstance(start().first, Ready)


def test_a_worker_that_dies_fails_its_step(agent: Agent) -> None:
    agent.begin(shell("echo $$; sleep 60", name="Long"), shell("true", 2))
    leader = int(agent.until(Output).text)
    os.kill(children(agent.pid)[0], signal.SIGKILL)
    results = [event for event in agent.rest() if isinstance(event, Result)]
    assert [result.status for result in results] == ["failed", "skipped"]
    assert results[0].error == {"summary": "`Long` was ended", "cause": "its process ended with signal 9", "hint": ""}
    await_true(lambda: not running(leader), 1.0)
    assert agent_statuses(agent, shell("true")) == ["changed"]


def test_a_flood_of_output_delays_nothing_and_is_kept_on_the_host(agent: Agent) -> None:
    agent.begin(shell("head -c 30000000 /dev/zero | tr '\\0' 'x'"))
    time.sleep(2.5)  # nobody reads; the agent must not wait for that
    events = agent.rest()
    result = next(event for event in events if isinstance(event, Result))
    assert result.status == "changed" and result.seconds < 2.5
    assert result.cut == ["stdout", "stdout_lines"]
    text = "".join(event.text for event in events if isinstance(event, Output) and event.stream == "stdout")
    (note,) = [event.text for event in events if isinstance(event, Output) and event.stream == "stderr"]
    spool = agent.state / "output/output-of-step-1"
    assert len(text) + spool.stat().st_size == 30_000_000
    assert note == f"[{spool.stat().st_size} bytes of output are only in {spool}]\n"


def test_output_that_is_no_text_arrives(agent: Agent) -> None:
    (result,) = agent.results(shell("printf 'caf\\351 \\033[31mred\\n'"))
    assert result.fields["stdout"] == "caf\\xe9 \x1b[31mred"


def test_background_processes_do_not_hold_a_step(agent: Agent) -> None:
    began = time.monotonic()
    (result,) = agent.results(shell("sleep 30 & echo $!"))
    assert time.monotonic() - began < 3
    os.kill(int(result.fields["stdout"]), signal.SIGKILL)


def test_silence_of_the_control_node_ends_the_agent(
    resources: Add, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    from provision.transport import archive

    path = archive._SOURCE / "protocol.py"
    path.write_text(path.read_text().replace("SILENCE = 30.0", "SILENCE = 1.0").replace("EVERY = 5.0", "EVERY = 0.3"))
    archive.archive.cache_clear()
    archive._start.cache_clear()
    agent = start()
    received = agent.link.received
    agent.begin(shell("sleep 60"))
    fatal = agent.until(Fatal)
    assert fatal.kind == "silence"
    assert agent.link.received - received > 3 * len(protocol.encode(protocol.to_message(Beat())))
    await_true(lambda: not running(agent.pid), 3.0)


def test_a_wrong_message_ends_the_agent_in_words(agent: Agent) -> None:
    agent.link.send({"type": "nonsense"})
    fatal = agent.until(Fatal)
    assert (fatal.kind, fatal.cause) == ("protocol", "ProtocolError: an unknown message 'nonsense'")


def test_progress_and_output_of_a_resource(resources: Add, start: Start) -> None:
    emitting = WAIT_FILE.replace("    done =", '    emit(done=1, total=2, unit="packages", label="torch")\n    done =')
    resources("emitting", emitting)
    events = start().run(Step(1, "emitting", {"program": "true"}))
    assert Progress(1, 1, 2, "packages", "torch") in events


def test_another_version_is_refused(start: Start) -> None:
    fatal = start(version=99).first
    assert isinstance(fatal, Fatal) and fatal.cause == "the control node speaks version 99, this agent 1"


def test_a_run_s_output_is_bounded_and_the_agent_stays_small(agent: Agent) -> None:
    agent.begin(shell("head -c 400000000 /dev/zero | tr '\\0' 'x'; echo end"), shell("echo next", 2))
    peaks, sent, events = [0], 0, []
    while not isinstance(event := agent.until(Output | Result), Result):
        peaks.append(max(map(resident, [agent.pid, *children(agent.pid)])))
        sent += len(event.text)
        events.append(event)
    assert event.cut == ["stdout", "stdout_lines"]
    assert sent < 20 << 20
    assert "are not kept" in events[-1].text
    assert max(peaks) < 64 << 20
    assert [event.status for event in agent.rest() if isinstance(event, Result)] == ["changed"]
