"""The shipped environments, locked from the lab's own channels and index; no hosts are needed."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.conda.environment import read
from provision.conda.lock import check, make_lock, read_lock
from provision.conda.mirrors import Settings
from provision.lab import channel, pyindex, rootfs, serve

pytestmark = pytest.mark.lab

ROLES = Path(__file__).parents[2] / "roles"
SECOND_CUDA = re.compile(r"(torch|triton|pytorch-triton|nvidia-.+)\Z")
PORT = 20000 + os.getpid() % 20000


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    www = tmp_path_factory.mktemp("www")
    cache = Path(os.environ.get("PROVISION_LAB_CACHE", "/var/cache/provision-lab"))
    channel.build(www, cache, rootfs.prepare("bookworm", print))
    pyindex.build(www, cache)
    server = serve.start(www, "127.0.0.1", PORT)
    wait_for(PORT)
    address = f"http://127.0.0.1:{PORT}"
    mirrors = {
        "channel_mirrors": {"https://conda.anaconda.org": f"{address}/conda"},
        "index_mirrors": {"https://pypi.org/simple": f"{address}/simple"},
        "locks_directory": "locks",
    }
    yield Settings.read(mirrors, tmp_path_factory.mktemp("project"))
    server.terminate()
    server.wait(10)


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


@pytest.mark.parametrize("role", ["img2video", "sd-webui", "llama-inference"])
def test_a_shipped_environment_locks_one_torch_and_one_cuda(role: str, settings: Settings) -> None:
    environment = read(ROLES / role / "environment.yml")
    told: list[str] = []
    lock = make_lock(environment, settings, report=told.append)
    assert told == []
    assert [package.name for package in lock.pip if SECOND_CUDA.match(package.name)] == []
    assert lock.expect == {"torch": "2.0.1", "cuda": "11.8"}
    assert (lock.floor["driver"], lock.floor["toolkit_driver"]) == ("450.80.02", "520.61.05")
    assert lock.simulated
    assert read_lock(environment, settings) == lock
    assert check(environment, lock, settings) == []
    assert str(PORT) not in "".join(path.read_text() for path in settings.locks_directory.iterdir())  # type: ignore[union-attr]
