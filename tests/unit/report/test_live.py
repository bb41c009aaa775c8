"""The live screen: a line a host, and counts where there are more hosts than lines."""

from __future__ import annotations

import io
import time

from rich.console import Console

from provision.events import Connected, HostEnded, RunStarted, StepOutput, StepProgress, StepStarted
from provision.report.live import LiveScreen


def screen(hosts: tuple[str, ...]) -> LiveScreen:
    made = LiveScreen()
    made.console = Console(file=io.StringIO(), width=120, height=12)
    made._live.console = made.console
    made.add(RunStarted("apply", "r", hosts, check=False))
    return made


def shown(made: LiveScreen) -> list[str]:
    made.close()
    stream = io.StringIO()
    Console(file=stream, width=120).print(made)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_a_host_has_a_line_with_its_step_progress_and_what_is_left() -> None:
    made = screen(("gpu-01", "gpu-02"))
    made.add(Connected("gpu-01", {}, 0.1))
    made.add(StepStarted("gpu-01", 1, "img2video : environment", None))
    made.add(StepProgress("gpu-01", 1, 25e6, 100e6, "bytes", "pytorch"))
    made.rows["gpu-01"].begun -= 10
    first, second, total = shown(made)
    assert first == "gpu-01         img2video : environment  " + "━" * 20 + " 25.0/100.0 MB, 30 s left pytorch  10 s"
    assert second.split() == ["gpu-02", "connecting"]
    assert total == "2 hosts: 2 busy, 0 done, 0 failed, 0 unreachable"


def test_a_silent_host_says_since_when_and_what_it_said_last() -> None:
    made = screen(("gpu-01",))
    made.add(StepStarted("gpu-01", 1, "build", None))
    made.add(StepOutput("gpu-01", 1, "stdout", "compiling\nlinking kernel 7\n"))
    made.rows["gpu-01"].heard -= 90
    made.rows["gpu-01"].begun -= 95
    assert shown(made)[0] == "gpu-01         build  95 s  silent for 90 s  linking kernel 7"


def test_many_hosts_collapse_to_counts_and_the_slowest() -> None:
    hosts = tuple(f"n{index:04}" for index in range(2000))
    made = screen(hosts)
    now = time.monotonic()
    for index, host in enumerate(hosts[:1500]):
        made.add(StepStarted(host, 1, "install" if index % 3 else "configure", None))
        made.rows[host].begun = now - index / 100
    for host in hosts[1500:1510]:
        made.add(HostEnded(host, 1.0))
    lines = shown(made)
    assert lines[:3] == ["  1000 hosts  install", "   500 hosts  configure", "   490 hosts  connecting"]
    assert lines[3].startswith("n1499 ") and lines[3].endswith("15 s")
    assert lines[-1] == "2000 hosts: 1990 busy, 10 done, 0 failed, 0 unreachable"
    assert len(lines) <= 12
