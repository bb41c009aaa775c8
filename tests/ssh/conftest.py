from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.ssh.sshd import Sshd, available


@pytest.fixture(autouse=True)
def quiet_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without keys and configuration, and no agent."""
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return home


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Sshd]]:
    """Starts sshds, each with a name; they end with the test."""
    if not available():
        pytest.skip("needs root and sshd")
    with contextlib.ExitStack() as stack:

        def start(name: str = "sshd", host_keys: tuple[str, ...] = ("ed25519",), **settings: str) -> Sshd:
            return stack.enter_context(Sshd(tmp_path / name, settings, host_keys).running())

        yield start
