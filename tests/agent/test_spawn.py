"""Commands as a worker runs them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from provision.agent.resource import Refusal
from provision.agent.spawn import Cancelled, Watch
from provision.agent.system import System


@pytest.fixture
def system() -> System:
    return System(blob=str)


def sh(system: System, text: str, timeout: float = 10.0, **more: Any) -> Any:
    return system.run(["/bin/sh", "-c", text], timeout=timeout, **more)


def test_streams_status_and_input(system: System) -> None:
    done = sh(system, "cat; echo error >&2; exit 3", stdin=b"x" * 200_000)
    assert (done.returncode, len(done.stdout), done.stderr, done.timed_out) == (3, 200_000, "error\n", False)


def test_input_that_nobody_reads(system: System) -> None:
    assert sh(system, "exec true", stdin=b"x" * 2_000_000).returncode == 0


def test_signals_are_negative(system: System) -> None:
    assert sh(system, "kill -9 $$").returncode == -9


def test_the_deadline_ends_the_whole_group(system: System, tmp_path: Path) -> None:
    began = time.monotonic()
    done = sh(system, f"sleep 30 & echo $! > {tmp_path}/pid; wait", timeout=0.3)
    assert done.timed_out and done.returncode == -15 and time.monotonic() - began < 2
    time.sleep(0.05)
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists() or _zombie(tmp_path / "pid")


def _zombie(path: Path) -> bool:
    return ") Z" in Path(f"/proc/{path.read_text().strip()}/stat").read_text()


def test_large_output_keeps_its_start_and_its_end(system: System) -> None:
    done = sh(system, "echo first; head -c 5000000 /dev/zero | tr '\\0' x; echo; echo last", limit=1000)
    assert done.stdout.startswith("first\n") and done.stdout.endswith("\nlast\n")
    assert "\n[4999012 bytes left out]\n" in done.stdout and len(done.stdout) < 1100


def test_output_is_emitted_in_whole_characters(system: System) -> None:
    heard: list[str] = []
    done = sh(
        system,
        "printf '\\303'; sleep 0.1; printf '\\251\\n\\377'",
        emit=lambda **what: heard.append(what["output"]) if what["stream"] == "stdout" else None,
    )
    assert "".join(heard) == "é\n\\xff" == done.stdout


def test_environment_and_directory(system: System, tmp_path: Path) -> None:
    os.environ["PROVISION_SECRET"] = "x"
    done = sh(system, "env; pwd; umask", environment={"A": "1"}, directory=str(tmp_path))
    del os.environ["PROVISION_SECRET"]
    assert "A=1\n" in done.stdout and "SECRET" not in done.stdout and done.stdout.endswith(f"\n{tmp_path}\n0022\n")


def test_what_is_absent_is_named(system: System, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        system.run(["no-such-program"], timeout=1)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        system.run(["true"], timeout=1, directory=str(tmp_path / "nowhere"))
    (tmp_path / "file").write_text("no program")
    with pytest.raises(FileNotFoundError):
        system.run([str(tmp_path / "file")], timeout=1)
    with pytest.raises(Refusal, match="there is no user `nemo-42`"):
        system.run(["true"], timeout=1, user="nemo-42")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_another_user(system: System) -> None:
    done = sh(system, "id -un; id -Gn; echo $HOME", user="nobody")
    assert done.stdout.split() == ["nobody", "nogroup", "/nonexistent"]


def test_no_descriptor_is_lost(system: System) -> None:
    sh(system, "true")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        sh(system, "true")
        with pytest.raises(FileNotFoundError):
            system.run(["true"], timeout=1, directory="/nowhere")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_cancel_ends_it_and_is_raised(system: System) -> None:
    class Soon(Watch):
        def __init__(self) -> None:
            self.until = time.monotonic() + 0.3

        def cancelled(self) -> bool:
            return time.monotonic() > self.until

    system.watch = Soon()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        sh(system, "trap 'echo stopped; exit 0' TERM; sleep 30 & wait")
    assert time.monotonic() - began < 2


def test_within_answers_raises_and_gives_up(system: System) -> None:
    assert system.within(5, lambda: {"a": [1, "x" * 200_000]}) == {"a": [1, "x" * 200_000]}
    assert system.within(5, Path("/").stat).st_ino == Path("/").stat().st_ino
    with pytest.raises(FileNotFoundError):
        system.within(5, Path("/nowhere").stat)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        system.within(0.2, lambda: time.sleep(30))
    assert time.monotonic() - began < 1
