"""Starts agents, and adds resources to them."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from agent_parts import Agent, Start, start_agent

from provision.agent.protocol import Ready
from provision.transport import archive as transport_archive
from provision.transport.archive import archive


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    agents: list[Agent] = []

    def begin(state: Path | None = None, **options: Any) -> Agent:
        agents.append(start_agent(state or tmp_path / "state", **options))
        return agents[-1]

    yield begin
    for agent in agents:
        with contextlib.suppress(Exception):
            agent.link.close()


@pytest.fixture
def resources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Adds a resource, by name and source, to the agents that are started from now on."""
    source = tmp_path / "source"
    shutil.copytree(transport_archive._SOURCE, source, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(transport_archive, "_SOURCE", source)

    def add(name: str, text: str) -> None:
        (source / "resources" / f"{name}.py").write_text(text)
        registry = source / "resources" / "__init__.py"
        registry.write_text(registry.read_text() + f'\nREGISTRY["{name}"] = "{name}"\n')
        archive.cache_clear()
        transport_archive._start.cache_clear()

    yield add
    archive.cache_clear()
    transport_archive._start.cache_clear()


@pytest.fixture
def agent(start: Start) -> Agent:
    started = start()
    assert isinstance(started.first, Ready), started.first
    return started
