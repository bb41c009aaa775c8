from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .sshd import Sshd, available

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """These start real sshds, which the part of the tests without hosts does not wait for."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)


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

        def start(
            name: str = "sshd", host_keys: tuple[str, ...] = ("ed25519",), setup: str = "", **settings: str
        ) -> Sshd:
            return stack.enter_context(Sshd(tmp_path / name, settings, host_keys, setup).running())

        yield start


@pytest.fixture
def stable(tmp_path: Path) -> Callable[[object], str]:
    """An error's text without what differs from run to run: folders, ports, fingerprints."""

    def clean(error: object) -> str:
        text = str(error).replace(str(tmp_path), "/tmp/x")
        text = re.sub(r"SHA256:[A-Za-z0-9+/]{43}", "SHA256:...", text)
        text = re.sub(r"(port |-p |127\.0\.0\.1\]:)\d+", r"\g<1>NNNN", text)
        return re.sub(r"\b\d+\.\d+\.\d+\.\d+(?= port 5\d+)", "127.0.0.1", text)

    return clean
